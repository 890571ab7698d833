"""A small world's jobs against the provider's invoice, where no tables are compared.

``verdict.py`` compares the whole lakes of workers that were killed; here are the worlds of the
engine's tests, in which runs end by themselves under a failing network (``network.py``) and in
storms (``storms.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from proof.verdict import MAY_HOLD, Outcome
from transcription_pipeline.domain.job import make_attempt_id

_MOST_ATTEMPTS = 9
_ENDS = {"stored", "published"}


def tell_apart(scene: Any) -> None:
    """Let the invoice show whose each charge is. Plaud's names no attempt, but the audio's length."""
    if scene.provider == "plaud":
        scene.emulator.configure(fetch_audio=True)


def judge_scene(scene: Any, outcome: Outcome, *, may_wait_for: str = "") -> None:
    """Hold every recording's end against the invoice; what is wrong goes into ``outcome``.

    A recording may still wait for ``may_wait_for``, a cause; nothing may be charged for it then.
    """
    jobs = scene.jobs()
    owners = {
        make_attempt_id(job["job_id"], number): key
        for key, job in jobs.items()
        for number in range(1, _MOST_ATTEMPTS)
    }
    if scene.provider == "plaud":
        recordings = scene.tools.ledger.read_recordings()
        owners |= {_name_by_length(row["duration_ms"] or 0): row["key"] for row in recordings}
    charges: Counter[str] = Counter()
    for line in scene.emulator.invoice():
        owner = owners.get(line["attempt_token"] or _name_by_length(line["audio_ms"]))
        if owner is None:
            outcome.paid_twice.append(f"a charge nobody asked for: {line['provider_job_id']}")
        else:
            charges[owner] += 1
    outcome.paid_twice += [f"{key}: {n} charges" for key, n in charges.items() if n > 1]
    for key, job in jobs.items():
        waits = bool(may_wait_for) and job["cause"] == may_wait_for
        if job["attempt_state"] in _ENDS:
            if charges[key] == 0:
                outcome.lost.append(f"{key}: {job['attempt_state']}, but never charged")
        elif job["attempt_state"] == "held" and scene.provider in MAY_HOLD:
            paid = "charged" if charges[key] else "not charged"
            outcome.held[f"{job['cause']} ({paid})"] += 1
        elif not waits or charges[key]:
            outcome.lost.append(f"{key}: {job['state']}, {job['attempt_state']} ({job['cause']})")
    missing = set(scene.keys.values()) - set(jobs)
    outcome.lost += [f"{key}: unknown to the ledger" for key in missing]


def _name_by_length(audio_ms: int) -> str:
    """Name a recording by its length: they differ by 10 ms, and decoders by less."""
    return f"{round(audio_ms, -1)} ms"
