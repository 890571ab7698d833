"""From rows of the ledger to the values of ``domain/``.

What belongs here: types and names of columns on one side, of fields on the other. Only
``reading.py`` asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select

from transcription_pipeline.domain.job import Attempt, AttemptState, Job, JobState
from transcription_pipeline.domain.recording import AudioFacts, Recording
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.instants import from_text

_a = schema.attempts.c


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One job with its recording and its live attempt, as a run finds it."""

    job: Job
    recording: Recording
    attempt: Attempt | None
    """None when no attempt is live: a first or a further one may be opened."""
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """When this ledger took over a lake that another one, or a newer copy of it, had paid for."""

    at: datetime
    since: datetime | None
    """What was sent from then on is not known here; None: whatever was sent before ``at``."""


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed for good at no cost, and from which nobody has taken over yet."""

    job_id: str
    recording_id: str
    key: str
    """Complete object key of the recording."""


ATTEMPT_COLUMNS = tuple(Attempt.__slots__)


def select_work() -> Select[Any]:
    """Select a job, its recording and its live attempt; the caller joins them."""
    return select(
        schema.jobs,
        *(column.label(f"r_{column.name}") for column in schema.recordings.columns),
        *(_a[name].label(f"a_{name}") for name in ATTEMPT_COLUMNS),
    )


def to_work_item(row: Row[Any]) -> WorkItem:
    """Read what ``select_work`` selected."""
    m = row._mapping
    recording = {c.name: m[f"r_{c.name}"] for c in schema.recordings.columns}
    attempt = {name: m[f"a_{name}"] for name in ATTEMPT_COLUMNS}
    return WorkItem(
        job=to_job(m),
        recording=_to_recording(recording),
        attempt=to_attempt(attempt) if attempt["attempt_id"] else None,
        attempt_count=m["attempt_count"],
    )


def to_job(m: Any) -> Job:
    """Read a row of jobs."""
    return Job(
        job_id=m["job_id"],
        recording_id=m["recording_id"],
        provider=m["provider"],
        options_json=m["options_json"],
        day=m["day"],
        state=JobState(m["state"]),
        cause=m["cause"],
        scheduled_at=from_text(m["scheduled_at"]),
        deadline_at=from_text(m["deadline_at"]),
        created_at=from_text(m["created_at"]),
    )


def _to_recording(m: dict[str, Any]) -> Recording:
    facts = None
    if m["duration_ms"] is not None:
        facts = AudioFacts(**{name: m[name] for name in AudioFacts.__slots__})
    return Recording(
        recording_id=m["recording_id"],
        bucket=m["bucket"],
        key=m["key"],
        etag=m["etag"],
        size_bytes=m["size_bytes"],
        last_modified_at=from_text(m["last_modified_at"]),
        version_id=m["version_id"],
        facts=facts,
        quarantine_reason=m["quarantine_reason"],
    )


def to_attempt(m: Any) -> Attempt:
    """Read a row of attempts."""
    values = {name: m[name] for name in ATTEMPT_COLUMNS}
    for name in values:
        if name.endswith("_at"):
            values[name] = from_text(values[name])
    values["state"] = AttemptState(values["state"])
    return Attempt(**values)
