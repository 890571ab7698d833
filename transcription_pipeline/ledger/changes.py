"""What may be written to the ledger about attempts, and how a group of such writes is applied.

A change is a value; ``apply_changes`` puts many into one transaction and answers for each whether
it held. Decisions (openings, moves) are fenced by the partition's lease; evidence is not, because a
worker that lost its lease still saw what it saw. Called by ``ledger.py`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    insert,
    select,
    text,
    update,
)

from transcription_pipeline.domain.job import (
    DEAD_STATES,
    AttemptState,
    JobState,
    is_legal_move,
    job_state_after,
)
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.errors import (
    BudgetExceeded,
    IllegalTransition,
    LeaseLost,
    LedgerError,
)
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.instants import to_text

_CHUNK = 500
"""Identifiers per IN list: far below both databases' limits on bound parameters."""


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
    and reserve would exceed the cap: looked up and reserved in one transaction.
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
    """A job fails before any attempt: this provider cannot take this recording."""

    job_id: str
    cause: str
    at: datetime


Change = Probed | OpenAttempt | Saw | Move | Postpone | Refuse

MOVABLE_COLUMNS = (
    "provider_job_id",
    "region",
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
_MOVE = (
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
_JOB_AFTER_MOVE = (
    update(schema.jobs)
    .where(_j.job_id == bindparam("b_job_id"))
    .values(
        state=bindparam("b_job_state"),
        cause=bindparam("b_cause"),
        detail=bindparam("b_detail"),
        scheduled_at=bindparam("b_scheduled_at"),
        deadline_at=func.coalesce(bindparam("b_deadline_at"), _j.deadline_at),
        updated_at=bindparam("b_at"),
    )
)
_COUNT_ATTEMPT = (
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
_FENCE = (
    select(schema.leases.c.fence)
    .where(
        schema.leases.c.day == bindparam("b_day"),
        schema.leases.c.provider == bindparam("b_provider"),
    )
    .with_for_update(read=True)  # PostgreSQL: no takeover until this transaction is over
)
# Statements are made once: making one costs as much as running it.
_IDS: BindParameter[Sequence[str]] = bindparam("b_ids", expanding=True)
_STATES = select(_a.attempt_id, _a.state).where(_a.attempt_id.in_(_IDS)).with_for_update()
_LIVE_STATES = (
    select(_a.job_id, _a.state)
    .where(_a.job_id.in_(_IDS), _a.state.not_in([s.value for s in DEAD_STATES]))
    .with_for_update()
)
_EVIDENCE = insert(schema.evidence)
_ATTEMPT = insert(schema.attempts)
_TRAIL = insert(schema.transitions)


def apply_changes(
    connection: Connection, changes: Sequence[Change], lease: Lease | None
) -> list[LedgerError | None]:
    """Apply every change that holds, inside the caller's transaction.

    Returns:
        One entry per change, in order: None when it was written, else why it was not.
    """
    refusals: list[LedgerError | None] = [None] * len(changes)
    _insert_evidence(connection, [c for c in changes if isinstance(c, Saw)])
    if lease is not None and not _holds(connection, lease):
        lost = LeaseLost(f"partition {lease.day}/{lease.provider}: another worker took over")
        return [None if isinstance(c, Saw) else lost for c in changes]
    _apply_probes(connection, [c for c in changes if isinstance(c, Probed)])
    opens = [(i, c) for i, c in enumerate(changes) if isinstance(c, OpenAttempt)]
    _apply_openings(connection, opens, lease.fence if lease else 0, refusals)
    moves = [(i, c) for i, c in enumerate(changes) if isinstance(c, Move)]
    _apply_moves(connection, moves, lease.fence if lease else 0, refusals)
    _apply_to_jobs(connection, [c for c in changes if isinstance(c, Postpone | Refuse)])
    return refusals


def _holds(connection: Connection, lease: Lease) -> bool:
    here = {"b_day": lease.day, "b_provider": lease.provider}
    return connection.execute(_FENCE, here).scalar() == lease.fence


def _insert_evidence(connection: Connection, seen: Sequence[Saw]) -> None:
    if seen:
        rows = [
            {
                "attempt_id": s.attempt_id,
                "kind": s.kind,
                "provider_job_id": _plain(s.provider_job_id),
                "cause": _plain(s.cause),
                "detail": _plain(s.detail),
                "at": to_text(s.at),
            }
            for s in seen
        ]
        connection.execute(_EVIDENCE, rows)


def _apply_probes(connection: Connection, probes: Sequence[Probed]) -> None:
    recordings, jobs = schema.recordings, schema.jobs
    for probe in probes:
        values: dict[str, Any] = {"updated_at": to_text(probe.at)}
        if probe.facts:
            facts = probe.facts
            values |= {name: getattr(facts, name) for name in facts.__slots__}
        values["quarantine_reason"] = probe.quarantine_reason
        values["quarantine_detail"] = _plain(probe.detail)
        where = recordings.c.recording_id == probe.recording_id
        connection.execute(update(recordings).where(where).values(**values))
        if probe.quarantine_reason:
            unpaid = (jobs.c.recording_id == probe.recording_id) & (jobs.c.attempt_count == 0)
            connection.execute(
                update(jobs)
                .where(unpaid)
                .values(
                    state=JobState.QUARANTINED.value,
                    cause=probe.quarantine_reason,
                    detail=_plain(probe.detail),
                    updated_at=to_text(probe.at),
                )
            )


def _apply_openings(
    connection: Connection,
    openings: Sequence[tuple[int, OpenAttempt]],
    fence: int,
    refusals: list[LedgerError | None],
) -> None:
    if not openings:
        return
    live = _states_of(connection, _LIVE_STATES, [o.job_id for _, o in openings])
    spent: dict[tuple[str, str], int] = {}
    rows, counts = [], []
    for index, o in openings:
        if o.job_id in live:
            refusals[index] = IllegalTransition(o.attempt_id, "none", "intent", live[o.job_id])
            continue
        if o.cap_micros is not None:
            purse = (o.provider, to_text(o.at)[:10])
            if purse not in spent:
                _guard_purse(connection, o.provider)
                spent[purse] = _spent(connection, *purse)
            if spent[purse] + (o.reserved_micros or 0) > o.cap_micros:
                refusals[index] = BudgetExceeded(
                    f"{o.provider}: {spent[purse]} of {o.cap_micros} micros are taken"
                )
                continue
            spent[purse] += o.reserved_micros or 0
        rows.append(
            {
                "attempt_id": o.attempt_id,
                "job_id": o.job_id,
                "recording_id": o.recording_id,
                "provider": o.provider,
                "number": o.number,
                "state": AttemptState.INTENT.value,
                "fence": fence,
                "reserved_micros": o.reserved_micros,
                "currency": o.currency,
                "created_at": to_text(o.at),
                "updated_at": to_text(o.at),
            }
        )
        counts.append({"b_job_id": o.job_id, "b_number": o.number, "b_at": to_text(o.at)})
    if rows:
        # One order of rows for every writer, or two wait for each other (PostgreSQL).
        rows.sort(key=lambda row: str(row["job_id"]))
        counts.sort(key=lambda row: str(row["b_job_id"]))
        connection.execute(_ATTEMPT, rows)
        connection.execute(_COUNT_ATTEMPT, counts)


def _guard_purse(connection: Connection, provider: str) -> None:
    # PostgreSQL lets two transactions add up the same purse; SQLite has one writer anyway.
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(hashtext(:purse))")
        connection.execute(lock, {"purse": f"budget/{provider}"})


def _spent(connection: Connection, provider: str, day: str) -> int:
    # A dead attempt frees what it reserved, but not what it was charged all the same.
    is_dead = _a.state.in_([s.value for s in DEAD_STATES])
    reserved = case((is_dead, 0), else_=_a.reserved_micros)
    query = select(func.coalesce(func.sum(func.coalesce(_a.cost_micros, reserved, 0)), 0)).where(
        _a.provider == provider, _a.created_at >= day
    )
    return int(connection.execute(query).scalar_one())


def _apply_moves(
    connection: Connection,
    moves: Sequence[tuple[int, Move]],
    fence: int,
    refusals: list[LedgerError | None],
) -> None:
    if not moves:
        return
    found = _states_of(connection, _STATES, [m.attempt_id for _, m in moves])
    rows: list[dict[str, Any]] = []
    trail: list[dict[str, Any]] = []
    for index, m in moves:
        state = found.get(m.attempt_id, "absent")
        if state != m.from_state.value or not is_legal_move(m.from_state, m.to_state):
            refusals[index] = IllegalTransition(m.attempt_id, m.from_state, m.to_state, state)
            continue
        unknown = m.values.keys() - {*MOVABLE_COLUMNS, "request_sealed"}
        if unknown:
            refusals[index] = LedgerError(f"a move cannot set {sorted(unknown)}")
            continue
        found[m.attempt_id] = m.to_state.value
        rows.append(_move_parameters(m, fence))
        trail.append(
            {
                "attempt_id": m.attempt_id,
                "from_state": m.from_state.value,
                "to_state": m.to_state.value,
                "fence": fence,
                "cause": _plain(m.cause),
                "at": to_text(m.at),
            }
        )
    if rows:
        # One order of rows for every writer; moves of one attempt keep theirs.
        rows.sort(key=lambda row: str(row["b_job_id"]))
        connection.execute(_MOVE, rows)
        connection.execute(_JOB_AFTER_MOVE, rows)
        connection.execute(_TRAIL, trail)


def _move_parameters(m: Move, fence: int) -> dict[str, Any]:
    row = {f"b_{name}": _to_column(m.values.get(name)) for name in MOVABLE_COLUMNS}
    return row | {
        "b_attempt_id": m.attempt_id,
        "b_job_id": m.job_id,
        "b_from_state": m.from_state.value,
        "b_to_state": m.to_state.value,
        "b_fence": fence,
        "b_cause": _plain(m.cause),
        "b_detail": _plain(m.detail),
        "b_at": to_text(m.at),
        "b_job_state": (m.job_state or job_state_after(m.to_state)).value,
        "b_scheduled_at": to_text(m.scheduled_at),
        "b_request_sealed": m.values.get("request_sealed"),
        "b_keeps_request": int(m.to_state in OPEN_STATES),
    }


def _to_column(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value)
    return to_text(value) if isinstance(value, datetime) else value


def _plain(value: str | None) -> str | None:
    """Replace what PostgreSQL or UTF-8 cannot hold: a refused text must not cost a paid job's id."""
    if value is None or value.isprintable():
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _apply_to_jobs(connection: Connection, changes: Sequence[Postpone | Refuse]) -> None:
    for change in changes:
        values: dict[str, Any] = {"cause": _plain(change.cause), "updated_at": to_text(change.at)}
        if isinstance(change, Postpone):
            values["scheduled_at"] = to_text(change.scheduled_at)
        else:
            values["state"] = JobState.FAILED.value
        connection.execute(update(schema.jobs).where(_j.job_id == change.job_id).values(**values))


def _states_of(connection: Connection, query: Select[Any], ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in in_chunks(ids):
        rows = connection.execute(query, {"b_ids": chunk})
        found.update({row[0]: row[1] for row in rows})
    return found


def in_chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list of identifiers into pieces that fit one IN list."""
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
