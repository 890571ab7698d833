"""Recordings, attempts and moves for the ledger's tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from threading import Barrier
from typing import Any, TypeVar

from transcription_pipeline.domain.job import AttemptState, make_attempt_id
from transcription_pipeline.domain.recording import AudioObject
from transcription_pipeline.errors import LedgerError
from transcription_pipeline.ledger.changes import Change, Lease, Move, OpenAttempt
from transcription_pipeline.ledger.ledger import Ledger

T = TypeVar("T")

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DAY = "2026-11-21"
FIRST_DAY = date(2026, 1, 1)
PROVIDER = "assemblyai"
S = AttemptState
HAPPY_PATH = (S.INTENT, S.SENDING, S.ACCEPTED, S.COMPLETED, S.STORED, S.PUBLISHED)


def after(**delta: float) -> datetime:
    """Return an instant so long after ``AT``."""
    return AT + timedelta(**delta)


def make_audio(number: int, *, size_bytes: int = 1_000, at: datetime = AT) -> AudioObject:
    """Make the ``number``-th object of the bucket."""
    return AudioObject("calls", f"inbox/{number:05}.mp3", f"etag-{number}", size_bytes, at)


def record(
    ledger: Ledger,
    *audios: AudioObject,
    wishes: Mapping[str, Mapping[str, object]] | None = None,
    at: datetime = AT,
) -> int:
    """Record objects that all go to the same providers."""
    found = [(audio, wishes or {PROVIDER: {}}) for audio in audios]
    return ledger.record_recordings(found, first_day=FIRST_DAY, at=at)


def find_job_id(ledger: Ledger, audio: AudioObject, provider: str = PROVIDER) -> str:
    """Return the job of a recording."""
    (row,) = [
        job
        for job in ledger.read_jobs(recording_id=audio.recording_id)
        if job["provider"] == provider
    ]
    job_id: str = row["job_id"]
    return job_id


def make_opening(job_id: str, number: int = 1, at: datetime = AT, **money: Any) -> OpenAttempt:
    """Make the opening of a job's attempt."""
    attempt_id = make_attempt_id(job_id, number)
    return OpenAttempt(attempt_id, job_id, "recording", PROVIDER, number, at, **money)


def make_move(job_id: str, before: AttemptState, to: AttemptState, **rest: Any) -> Move:
    """Make a move of a job's first attempt."""
    number, at = rest.pop("number", 1), rest.pop("at", AT)
    return Move(make_attempt_id(job_id, number), job_id, before, to, at, **rest)


def make_path(job_id: str, to: AttemptState, **rest: Any) -> list[Change]:
    """Make the opening and every move of the happy path up to a state."""
    path = HAPPY_PATH[: HAPPY_PATH.index(to) + 1]
    moves = [make_move(job_id, a, b, **rest) for a, b in pairwise(path)]
    return [make_opening(job_id, rest.get("number", 1)), *moves]


def commit(ledger: Ledger, *changes: Change, lease: Lease | None = None) -> None:
    """Commit changes one after another, none of which may be refused."""
    for change in changes:
        assert ledger.commit([change], lease) == [None]


def plan_jobs(ledger: Ledger, count: int) -> list[str]:
    """Record so many recordings and return their jobs."""
    audios = [make_audio(number) for number in range(count)]
    record(ledger, *audios)
    jobs = {job["recording_id"]: job["job_id"] for job in ledger.read_jobs()}
    return [jobs[audio.recording_id] for audio in audios]


def race(count: int, act: Callable[[int], T]) -> list[T]:
    """Let threads do something at the same moment; return what each got."""
    barrier = Barrier(count)

    def run(number: int) -> T:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def count_written(outcomes: Sequence[Sequence[LedgerError | None]]) -> int:
    """Count the changes that were written."""
    return sum(refusal is None for outcome in outcomes for refusal in outcome)
