"""The SQL of changes, built once: compiling a statement costs more than running it.

What belongs here: parametrised statements over ``schema.py``; their parameters start with ``b_`` so
that none is mistaken for a column. ``applying.py`` fills and runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BindParameter,
    Integer,
    Text,
    bindparam,
    case,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from transcription_pipeline.domain.job import DEAD_STATES, AttemptState, JobState
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.ledger import schema

MOVABLE_COLUMNS = (
    "provider_job_id",
    "region",
    "account",
    "audio_url_sha256",
    "url_expires_at",
    "sent_at",
    "accepted_at",
    "completed_at",
    "stored_at",
    "published_at",
    "deadline_at",
    "cost_micros",
    "currency",
    "cost_source",
    "billed_ms",
    "raw_key",
    "raw_sha256",
)
"""Columns a move may set; a value of None leaves the column as it is."""

OPEN_STATES = frozenset({AttemptState.SENDING, AttemptState.AMBIGUOUS, AttemptState.HELD})
"""While an attempt is in one of these its request is kept, sealed; any other move erases it."""

_a, _j = schema.attempts.c, schema.jobs.c
MOVE = (
    update(schema.attempts)
    .where(_a.attempt_id == bindparam("b_attempt_id"), _a.state == bindparam("b_from_state"))
    .values(
        state=bindparam("b_to_state"),
        fence=bindparam("b_fence"),
        cause=bindparam("b_cause"),
        detail=bindparam("b_detail"),
        updated_at=bindparam("b_at"),
        request_sealed=case(
            (
                bindparam("b_keeps_request", type_=Integer) == 1,
                func.coalesce(bindparam("b_request_sealed", type_=Text), _a.request_sealed),
            ),
            else_=None,
        ),
        **{c: func.coalesce(bindparam(f"b_{c}"), getattr(_a, c)) for c in MOVABLE_COLUMNS},
    )
)
_IS_NOT_ERASED = or_(
    _j.state != JobState.QUARANTINED.value, _j.cause != QuarantineReason.ERASED.value
)
JOB_AFTER_MOVE = (
    update(schema.jobs)
    .where(_j.job_id == bindparam("b_job_id"), _IS_NOT_ERASED)
    .values(
        state=bindparam("b_job_state"),
        cause=bindparam("b_cause"),
        detail=bindparam("b_detail"),
        scheduled_at=bindparam("b_scheduled_at"),
        deadline_at=func.coalesce(bindparam("b_deadline_at"), _j.deadline_at),
        updated_at=bindparam("b_at"),
    )
)
COUNT_ATTEMPT = (
    update(schema.jobs)
    .where(_j.job_id == bindparam("b_job_id"))
    .values(
        attempt_count=bindparam("b_number"),
        cause=None,
        detail=None,
        scheduled_at=None,
        updated_at=bindparam("b_at"),
    )
)
FENCE = (
    select(schema.leases.c.fence)
    .where(
        schema.leases.c.day == bindparam("b_day"),
        schema.leases.c.provider == bindparam("b_provider"),
    )
    .with_for_update(read=True)  # PostgreSQL: no takeover until this transaction is over
)
# Statements are made once: making one costs as much as running it.
IDS: BindParameter[Sequence[str]] = bindparam("b_ids", expanding=True)
STATES = select(_a.attempt_id, _a.state).where(_a.attempt_id.in_(IDS)).with_for_update()
LIVE_STATES = (
    select(_a.job_id, _a.state)
    .where(_a.job_id.in_(IDS), _a.state.not_in([s.value for s in DEAD_STATES]))
    .with_for_update()
)
EVIDENCE = insert(schema.evidence)
_e, _other = schema.evidence.c, schema.attempts.alias("other").c
_IS_ANOTHERS = exists().where(
    _other.provider == _a.provider, _other.provider_job_id == _e.provider_job_id
)
REOPEN = (
    update(schema.jobs)
    .where(
        _j.state == JobState.HELD.value,
        _j.job_id.in_(
            select(_a.job_id).where(
                _a.attempt_id == bindparam("b_attempt_id"),
                _a.provider_job_id.is_(None),
                _e.attempt_id == _a.attempt_id,
                _e.provider_job_id.is_not(None),
                ~_IS_ANOTHERS,
            )
        ),
    )
    .values(state=JobState.IN_PROGRESS.value, scheduled_at=None)
)
ATTEMPT = insert(schema.attempts)
TRAIL = insert(schema.transitions)
