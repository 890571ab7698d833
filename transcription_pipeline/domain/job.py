"""Jobs and attempts: their identities, their states and the only moves between states.

Pure. The ledger enforces what is written here with conditional updates and a unique index;
``pipeline.py`` asks for the moves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class AttemptState(StrEnum):
    """Where one paid submission stands."""

    INTENT = "intent"  # decided and durable; nothing sent
    SENDING = "sending"  # the request may be on the wire
    AMBIGUOUS = "ambiguous"  # sent, and no answer that can be believed
    HELD = "held"  # only a person, or the provider's own word, can tell
    ACCEPTED = "accepted"  # the provider named its job
    COMPLETED = "completed"  # the provider says it is done
    STORED = "stored"  # the raw answer is durable in the lake
    PUBLISHED = "published"  # its rows stand in the tables
    BAD_RESULT = "bad_result"  # stored, but cannot be normalised
    REJECTED = "rejected"  # the provider refused the request; unpaid
    ABANDONED = "abandoned"  # proved never accepted, or given up by a named person
    FAILED = "failed"  # the provider says the job failed


class JobState(StrEnum):
    """What every recording × provider is at any time, exactly one of."""

    IN_PROGRESS = "in_progress"
    PUBLISHED = "published"
    FAILED = "failed"
    HELD = "held"
    QUARANTINED = "quarantined"


_S = AttemptState
MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    # ABANDONED from INTENT: the signed URL died before anything was sent.
    _S.INTENT: frozenset({_S.SENDING, _S.ABANDONED}),
    # Back to INTENT only with proof that nothing was sent, or that the provider refused for now.
    _S.SENDING: frozenset({_S.ACCEPTED, _S.INTENT, _S.REJECTED, _S.AMBIGUOUS}),
    _S.AMBIGUOUS: frozenset({_S.ACCEPTED, _S.INTENT, _S.ABANDONED, _S.HELD}),
    _S.HELD: frozenset({_S.ACCEPTED, _S.ABANDONED}),
    _S.ACCEPTED: frozenset({_S.COMPLETED, _S.FAILED, _S.HELD}),
    _S.COMPLETED: frozenset({_S.STORED, _S.BAD_RESULT, _S.HELD}),
    _S.STORED: frozenset({_S.PUBLISHED, _S.BAD_RESULT}),
    _S.BAD_RESULT: frozenset({_S.STORED}),
    # A rebuild publishes again from the same raw answer.
    _S.PUBLISHED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.ABANDONED: frozenset(),
    _S.FAILED: frozenset(),
}
"""The state machine: from → allowed to. Everything absent is refused."""

DEAD_STATES = frozenset({_S.REJECTED, _S.ABANDONED, _S.FAILED})
"""States that free the job for another attempt; all others count as live."""

_JOB_STATE = {
    _S.HELD: JobState.HELD,
    _S.PUBLISHED: JobState.PUBLISHED,
    _S.BAD_RESULT: JobState.FAILED,
    _S.REJECTED: JobState.FAILED,
    _S.FAILED: JobState.FAILED,
}


def job_state_after(state: AttemptState) -> JobState:
    """Return what the job is once its newest attempt is in ``state`` and no further one is due."""
    return _JOB_STATE.get(state, JobState.IN_PROGRESS)


def is_legal_move(from_state: AttemptState, to_state: AttemptState) -> bool:
    """Say whether the state machine has this move."""
    return to_state in MOVES[from_state]


def make_options_json(options: Mapping[str, Any]) -> str:
    """Serialise options canonically: sorted keys, no spaces, absent rather than null."""
    present = {name: value for name, value in options.items() if value is not None}
    return json.dumps(present, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def make_job_id(recording_id: str, provider: str, options_json: str) -> str:
    """Derive the job's identity from the wish itself, so that asking twice finds the first."""
    text = "\0".join((recording_id, provider, options_json))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def make_attempt_id(job_id: str, number: int) -> str:
    """Derive the identity of the job's ``number``-th attempt (1-based).

    Derived, not random: a ledger rebuilt from nothing looks for the same token at the provider.
    """
    return hashlib.sha256(f"{job_id}\0{number}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Job:
    """Our one wish: a recording, a provider, and options."""

    job_id: str
    recording_id: str
    provider: str
    options_json: str
    day: str
    """Partition day, ``YYYY-MM-DD``."""
    state: JobState = JobState.IN_PROGRESS
    cause: str | None = None
    """None while in progress without trouble and when published."""
    scheduled_at: datetime | None = None
    """Not to be worked on before; None means at once."""
    deadline_at: datetime | None = None
    created_at: datetime | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options as written in ``options_json``."""
        value: dict[str, Any] = json.loads(self.options_json)
        return value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a job to its provider: the thing that costs money."""

    attempt_id: str
    job_id: str
    recording_id: str
    provider: str
    number: int
    state: AttemptState
    fence: int = 0
    """Grows with every takeover; a write with an older fence is refused."""
    provider_job_id: str | None = None
    region: str | None = None
    account: str | None = None
    """Tells the credential it was sent with from another; None where that makes no difference."""
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    completed_at: datetime | None = None
    stored_at: datetime | None = None
    url_expires_at: datetime | None = None
    """When the signed audio URL dies; None where no URL was handed out."""
    audio_url_sha256: str | None = None
    """Recognises the URL we handed out without keeping it: it is a key to the audio."""
    deadline_at: datetime | None = None
    cause: str | None = None
    raw_key: str | None = None
    raw_sha256: str | None = None
    cost_micros: int | None = None
    currency: str | None = None
