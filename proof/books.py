"""A small world's jobs against the provider's invoice, where no tables are compared.

``verdict.py`` compares the whole lakes of workers that were killed; here are the worlds of the
engine's tests, in which runs end by themselves under a failing network (``network.py``) and in
storms (``storms.py``).
"""

from __future__ import annotations

from typing import Any

from proof.verdict import Outcome, count_charges, find_objection, name_attempts, name_length

_ENDS = {"stored", "published"}


def tell_apart(scene: Any) -> None:
    """Let the invoice show whose each charge is. Plaud's names no attempt, but the audio's length."""
    if scene.provider == "plaud":
        scene.emulator.configure(fetch_audio=True)


def judge_scene(
    scene: Any, outcome: Outcome, *, may_wait_for: str = "", most_held: int | None = None
) -> None:
    """Hold every recording's end against the invoice; what is wrong goes into ``outcome``.

    A recording may still wait for ``may_wait_for``, a cause; nothing may be charged for it then.
    No more than ``most_held`` may be held; None: as many as nobody can know of.
    """
    jobs, ledger = scene.jobs(), scene.tools.ledger
    owners = name_attempts(jobs)
    if scene.provider == "plaud":
        recordings = ledger.read_recordings()
        owners |= {name_length(row["duration_ms"] or 0): row["key"] for row in recordings}
    charges = count_charges(scene.emulator.invoice(), owners, outcome)
    held = 0
    for key, job in jobs.items():
        waits = bool(may_wait_for) and job["cause"] == may_wait_for
        if job["attempt_state"] in _ENDS:
            if charges[key] == 0:
                outcome.lost.append(f"{key}: {job['attempt_state']}, but never charged")
        elif job["attempt_state"] == "held":
            held += 1
            paid = "charged" if charges[key] else "not charged"
            if objection := find_objection(ledger, job):
                outcome.lost.append(f"{key}: {objection} ({job['cause']}, {paid})")
            else:
                outcome.held[f"{job['cause']} ({paid})"] += 1
        elif not waits or charges[key]:
            outcome.lost.append(f"{key}: {job['state']}, {job['attempt_state']} ({job['cause']})")
    if most_held is not None and held > most_held:
        outcome.lost.append(f"{held} recordings are held, {most_held} may be")
    missing = set(scene.keys.values()) - set(jobs)
    outcome.lost += [f"{key}: unknown to the ledger" for key in missing]
