"""How each row of ``table.py`` is brought about: what an emulator, or the spool, is told.

Each takes a scene with one recording, ``KEY``, that nobody has looked at yet. Emulators are told
through their control interface; in this process the recogniser's own books are written instead.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from transcription_pipeline.domain.job import AttemptState, make_attempt_id
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.ledger.changes import Move, OpenAttempt, Probed
from transcription_pipeline.pipeline import discover
from transcription_pipeline_tests.audio.sample_set import FOLDER
from transcription_pipeline_tests.engine.scene import Scene

Act = Callable[[Scene], None]
KEY = "calls/a b+ü.wav"
_ERRORS = {"scriptivox": {"error": "PROCESSING_ERROR"}}
"""What a job fails with; the others' default is one that is documented."""
_URL_LIFE_S = 2
"""Signatures name whole seconds, and Aitronos fetches before it answers the submit."""
_QUEUE_S = 1_800.0
_S = AttemptState


def nothing(scene: Scene) -> None:
    """Let things go their way."""


def submits(**rule: Any) -> Act:
    """Say what goes wrong with submits."""
    return lambda scene: (
        scene.emulator and scene.emulator.set_faults({"operation": "submit", **rule})
    )


def submit_status(status: int, **rule: Any) -> Act:
    """Say with which status submits are answered."""
    return submits(action="status", status=status, **rule)


def looks(**rule: Any) -> Act:
    """Say what goes wrong with every look, single and by list."""
    operations = ("get", "list", "sentences")
    return lambda scene: scene.emulator.set_faults(*({"operation": o, **rule} for o in operations))


def heal(scene: Scene) -> None:
    """Let everything be well again, and the jobs be over."""
    if scene.emulator:
        scene.emulator.set_faults()
        scene.pass_time(60)


def slow(scene: Scene) -> None:
    """Let jobs take longer than the first run."""
    if scene.emulator:
        scene.emulator.configure(job_s=30.0)


def slow_and(other: Act) -> Act:
    """Let jobs take longer than the first run, and something go wrong besides."""

    def both(scene: Scene) -> None:
        slow(scene)
        other(scene)

    return both


def speak(scene: Scene) -> None:
    """Let there be something to hear for the recogniser; emulators speak a script."""
    if not scene.emulator:
        scene.tools.audio.put(KEY, (FOLDER / "delivery.wav").read_bytes())
        rediscover(scene)


def say_nothing(scene: Scene) -> None:
    """Let the recording be silent."""
    if scene.emulator:
        scene.emulator.configure(word_count=0)


def rediscover(scene: Scene) -> None:
    """Forget the recording that was there in favour of the one that is there now."""
    (old,) = scene.keys
    at = scene.tools.now()
    scene.tools.ledger.commit([Probed(old, at, quarantine_reason="source_gone")])
    discover(scene.tools)
    rows = scene.tools.ledger.read_recordings()
    scene.keys = {r["recording_id"]: r["key"] for r in rows if r["recording_id"] != old}


def fail_jobs(scene: Scene) -> None:
    """Let every job fail; the recogniser fails at what is no audio and passed for some."""
    if scene.emulator:
        rule = {"action": "job_error", **_ERRORS.get(scene.provider, {})}
        submits(**rule)(scene)
        return
    scene.tools.audio.put(KEY, (FOLDER / "text.mp3").read_bytes())
    rediscover(scene)
    (recording_id,) = scene.keys
    facts = AudioFacts("wav", "pcm_s16le", 8_000, 1, 1_000)
    scene.tools.ledger.commit([Probed(recording_id, scene.tools.now(), facts)])


def accept_only(scene: Scene) -> None:
    """Let the job be accepted, and not be over for a while."""
    if scene.emulator:
        scene.emulator.configure(job_s=100_000.0)
    else:
        _accept_by_hand(scene)


def forget(scene: Scene) -> None:
    """Let the service know nothing of the job: from now on another account asks for it."""
    if scene.emulator:
        name = "client_id" if scene.provider == "plaud" else "api_key"
        scene.use(**{name: "another-account"})


def cut_looks(scene: Scene) -> None:
    """Let every look end in the middle of its answer; the spool's answer is cut, too."""
    if scene.emulator:
        slow_and(looks(action="truncate"))(scene)
        return
    spool = scene.spool
    spool.mkdir()
    (spool / f"{_accept_by_hand(scene)}.json").write_bytes(b'{"engine": "pocketsph')


def _accept_by_hand(scene: Scene) -> str:
    """Write down an attempt as a run would have that was killed after the answer was made."""
    (row,) = scene.jobs().values()
    at, job_id = scene.tools.now(), row["job_id"]
    attempt_id = make_attempt_id(job_id, 1)
    named = {"provider_job_id": attempt_id, "accepted_at": at}
    changes = [
        OpenAttempt(attempt_id, job_id, row["recording_id"], scene.provider, 1, at),
        Move(attempt_id, job_id, _S.INTENT, _S.SENDING, at),
        Move(attempt_id, job_id, _S.SENDING, _S.ACCEPTED, at, values=named),
    ]
    for change in changes:
        assert scene.tools.ledger.commit([change]) == [None]
    return attempt_id


_QUEUES: Mapping[str, Mapping[str, Any]] = {
    "aitronos": {"fetch_audio": True, "queue_s": _QUEUE_S},
    "assemblyai": {"fetch_audio": True, "concurrency": 0},
    "plaud": {"download_s": 60, "queue_s": _QUEUE_S},
    "scriptivox": {"fetch_audio": True, "created_s": _QUEUE_S, "created_timeout_s": 0.0},
}


def queue_past_the_url(scene: Scene) -> None:
    """Let the job wait at the service for longer than the audio's address lives."""
    scene.limit(url_expires_s=_URL_LIFE_S)
    scene.emulator.configure(**_QUEUES[scene.provider])


def let_begin(scene: Scene) -> None:
    """Let the job begin, now that its address is dead; the next one is fetched at once."""
    if scene.provider != "plaud":  # whose addresses die by the emulator's clock
        time.sleep(_URL_LIFE_S + 0.1)
    scene.limit(url_expires_s=60)
    if scene.provider == "assemblyai":
        scene.emulator.configure(concurrency=50)
        _submit_as_a_stranger(scene.emulator.base_url)
    scene.pass_time(_QUEUE_S + 1)
    if scene.provider == "scriptivox":
        scene.emulator.configure(created_s=0.0)


def _submit_as_a_stranger(base_url: str) -> None:
    """Make the queue move: it does when a job comes in. This one is refused its audio, unpaid."""
    request = urllib.request.Request(
        f"{base_url}/v2/transcript",
        b'{"audio_url": "http://127.0.0.1:9/nothing.wav"}',
        {"Authorization": "stranger", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
