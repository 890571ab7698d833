"""How a group of changes becomes one transaction.

``apply_changes`` answers for each change whether it held. Decisions (openings, moves) are fenced by
the partition's lease; evidence is not, because a worker that lost its lease still saw what it saw.
Called by ``ledger.py`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    func,
    not_,
    or_,
    update,
)

from transcription_pipeline.domain.job import (
    AttemptState,
    JobState,
    is_legal_move,
    job_state_after,
)
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import (
    IllegalTransition,
    LeaseLost,
    LedgerError,
)
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.changes import (
    Change,
    Lease,
    Move,
    OpenAttempt,
    Postpone,
    Probed,
    Refuse,
    Saw,
)
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline.ledger.purses import Purses
from transcription_pipeline.ledger.statements import (
    ATTEMPT,
    COUNT_ATTEMPT,
    EVIDENCE,
    FENCE,
    JOB_AFTER_MOVE,
    LIVE_STATES,
    MOVABLE_COLUMNS,
    MOVE,
    OPEN_STATES,
    REOPEN,
    STATES,
    TRAIL,
)

_CHUNK = 500
"""Identifiers per IN list: far below both databases' limits on bound parameters."""
_a, _j = schema.attempts.c, schema.jobs.c
_HELD = AttemptState.HELD


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
        _reopen(connection, [c for c in changes if isinstance(c, Saw)])
        return [None if isinstance(c, Saw) else lost for c in changes]
    _apply_probes(connection, [c for c in changes if isinstance(c, Probed)])
    opens = [(i, c) for i, c in enumerate(changes) if isinstance(c, OpenAttempt)]
    _apply_openings(connection, opens, lease.fence if lease else 0, refusals)
    moves = [(i, c) for i, c in enumerate(changes) if isinstance(c, Move)]
    _apply_moves(connection, moves, lease.fence if lease else 0, refusals)
    _apply_to_jobs(connection, [c for c in changes if isinstance(c, Postpone | Refuse)])
    _reopen(connection, changes)
    return refusals


def _holds(connection: Connection, lease: Lease) -> bool:
    here = {"b_day": lease.day, "b_provider": lease.provider}
    return connection.execute(FENCE, here).scalar() == lease.fence


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
        connection.execute(EVIDENCE, rows)


def _reopen(connection: Connection, changes: Sequence[Change]) -> None:
    """Let what is held go on once evidence tells which job of the provider's it became.

    A worker that was overtaken may see that answer before or after its attempt is held.
    """
    told = {c.attempt_id for c in changes if isinstance(c, Saw) and c.provider_job_id}
    told |= {c.attempt_id for c in changes if isinstance(c, Move) and c.to_state is _HELD}
    states = _states_of(connection, STATES, sorted(told)) if told else {}
    if held := [named for named, state in states.items() if state == _HELD.value]:
        connection.execute(REOPEN, [{"b_attempt_id": named} for named in held])


def _apply_probes(connection: Connection, probes: Sequence[Probed]) -> None:
    recordings, jobs = schema.recordings, schema.jobs
    for probe in probes:
        values: dict[str, Any] = {"updated_at": to_text(probe.at)}
        if probe.facts:
            facts = probe.facts
            values |= {name: getattr(facts, name) for name in facts.__slots__}
        values["quarantine_reason"] = probe.quarantine_reason
        values["quarantine_detail"] = _plain(probe.detail)
        is_erased = recordings.c.quarantine_reason.is_not_distinct_from(
            QuarantineReason.ERASED.value
        )
        where = (recordings.c.recording_id == probe.recording_id) & ~is_erased
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
    live = _states_of(connection, LIVE_STATES, [o.job_id for _, o in openings])
    purses = Purses(connection)
    rows, counts = [], []
    for index, o in openings:
        if o.job_id in live:
            refusals[index] = IllegalTransition(o.attempt_id, "none", "intent", live[o.job_id])
            continue
        refusals[index] = purses.take(o)
        if refusals[index]:
            continue
        rows.append(
            {
                "attempt_id": o.attempt_id,
                "job_id": o.job_id,
                "recording_id": o.recording_id,
                "provider": o.provider,
                "route": o.route,
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
        connection.execute(ATTEMPT, rows)
        connection.execute(COUNT_ATTEMPT, counts)


def _apply_moves(
    connection: Connection,
    moves: Sequence[tuple[int, Move]],
    fence: int,
    refusals: list[LedgerError | None],
) -> None:
    if not moves:
        return
    found = _states_of(connection, STATES, [m.attempt_id for _, m in moves])
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
        connection.execute(MOVE, rows)
        connection.execute(JOB_AFTER_MOVE, rows)
        connection.execute(TRAIL, trail)


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
            here = _j.job_id == change.job_id
        else:
            values["state"] = JobState.FAILED.value
            # What was put aside meanwhile, or decided by a person, stays as it is.
            here = (_j.job_id == change.job_id) & (_j.state == JobState.IN_PROGRESS.value)
        connection.execute(update(schema.jobs).where(here).values(**values))


def _states_of(connection: Connection, query: Select[Any], ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in in_chunks(ids):
        rows = connection.execute(query, {"b_ids": chunk})
        found.update({row[0]: row[1] for row in rows})
    return found


def maybe_paid() -> ColumnElement[bool]:
    """Say in SQL that an attempt may have cost something: nobody told or proved the contrary."""
    is_dead = _a.state.in_([AttemptState.REJECTED.value, AttemptState.ABANDONED.value])
    is_free = (_a.state == AttemptState.FAILED.value) & (_a.cost_micros == 0)
    return not_(or_(is_dead, func.coalesce(is_free, False)))


def in_chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list of identifiers into pieces that fit one IN list."""
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
