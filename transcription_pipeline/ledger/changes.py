"""What may be written to the ledger about attempts: values, nothing else.

``applying.py`` puts many of them into one transaction. Everybody who decides something about an
attempt says so with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from transcription_pipeline.domain.job import AttemptState, JobState
from transcription_pipeline.domain.recording import AudioFacts


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to decide about one partition, until somebody else takes it over."""

    day: str
    provider: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Probed:
    """The audio of a recording was looked at: facts, or a reason to put it aside."""

    recording_id: str
    at: datetime
    facts: AudioFacts | None = None
    quarantine_reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """A new attempt in state ``intent``; refused while the job has a live one.

    With ``cap_micros`` it is also refused when what the provider's attempts of this UTC day cost
    and reserve would exceed the cap, and with ``route_cap_micros`` when those of this ``route`` would:
    looked up and reserved in one transaction. What has no price fits no cap.
    """

    attempt_id: str
    job_id: str
    recording_id: str
    provider: str
    number: int
    at: datetime
    reserved_micros: int | None = None
    currency: str | None = None
    cap_micros: int | None = None
    route: str | None = None
    """The pattern of the route by which the recording is sent; None where none names it any more."""
    route_cap_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Saw:
    """Evidence: something observed that bears on an attempt."""

    attempt_id: str
    kind: str
    at: datetime
    provider_job_id: str | None = None
    cause: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """An attempt goes from one state to another; ``values`` are further columns to set."""

    attempt_id: str
    job_id: str
    from_state: AttemptState
    to_state: AttemptState
    at: datetime
    cause: str | None = None
    detail: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    job_state: JobState | None = None
    """None: as the state machine says (``job_state_after``)."""
    scheduled_at: datetime | None = None
    """When the job is due again; None means now."""


@dataclass(frozen=True, slots=True)
class Postpone:
    """A job waits, with a cause, until a stated instant; no attempt moves."""

    job_id: str
    scheduled_at: datetime
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Refuse:
    """A job in progress fails without a live attempt: its provider cannot take its recording."""

    job_id: str
    cause: str
    at: datetime


Change = Probed | OpenAttempt | Saw | Move | Postpone | Refuse
