"""What the pipeline asks of the ledger without changing it.

What people and tables ask is in ``overview.py``. Every method is one short read transaction. ``Ledger`` inherits these; nobody uses this class alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, literal, not_, or_, select

from transcription_pipeline.domain.job import (
    DEAD_STATES,
    Attempt,
    AttemptState,
    Job,
    JobState,
)
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.errors import LedgerError
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.applying import in_chunks, maybe_paid
from transcription_pipeline.ledger.instants import from_text, to_text
from transcription_pipeline.ledger.overview import FEW, LedgerOverview
from transcription_pipeline.ledger.rows import (
    FailedJob,
    WorkItem,
    select_work,
    to_attempt,
    to_job,
    to_work_item,
)
from transcription_pipeline.ledger.sealing import Seal

_r, _j, _a = schema.recordings.c, schema.jobs.c, schema.attempts.c

ADOPTED = "ledger_was_adopted"
"""Evidence of an attempt that another ledger may have sent."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A day of one provider with work that is due."""

    day: str
    provider: str
    due_count: int
    sent_count: int
    """Of these, jobs with a request that was sent, or may have been."""


class LedgerReading(LedgerOverview):
    """The questions."""

    seal: Seal
    gate: str | None = None
    """Why whoever uses this ledger sends nothing paid to any provider; None: see ``find_gate``."""

    def find_known_recordings(self, ids: Sequence[str]) -> set[str]:
        """Return those of ``ids`` that the ledger has."""
        known: set[str] = set()
        with self._read() as connection:
            for chunk in in_chunks(ids):
                query = select(_r.recording_id).where(_r.recording_id.in_(chunk))
                known.update(connection.execute(query).scalars())
        return known

    def list_due_partitions(self, at: datetime, *, is_fresh: bool | None = None) -> list[Partition]:
        """Return the partitions in which at least one job may be worked on now.

        ``is_fresh`` keeps to jobs that were never attempted (True) or were (False).
        """
        seen = []
        if is_fresh is not None:
            seen = [_j.attempt_count == 0 if is_fresh else _j.attempt_count > 0]
        unsent = [state.value for state in (*DEAD_STATES, AttemptState.INTENT)]
        sent = (_a.job_id == _j.job_id) & _a.state.not_in(unsent)  # one per job at most
        query = (
            select(_j.day, _j.provider, func.count(), func.count(_a.attempt_id))
            .select_from(schema.jobs.outerjoin(schema.attempts, sent))
            .where(_j.state == JobState.IN_PROGRESS.value, _is_due(at), *seen)
            .group_by(_j.day, _j.provider)
            .order_by(_j.day, _j.provider)
        )
        with self._read() as connection:
            return [Partition(*row) for row in connection.execute(query)]

    def list_partitions(self) -> list[tuple[str, str]]:
        """Return every (day, provider) that has jobs."""
        query = select(_j.day, _j.provider).distinct().order_by(_j.day, _j.provider)
        with self._read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def list_work(self, day: str, provider: str, at: datetime) -> list[WorkItem]:
        """Return the partition's jobs that are in progress and due, longest audio first.

        Jobs whose answer is stored are left out: what they wait for is the next write of tables.
        Longest first because the makespan of a batch is bounded below by its longest job; audio
        of unknown length is ordered by size.
        """
        source = schema.jobs.join(schema.recordings, _j.recording_id == _r.recording_id).outerjoin(
            schema.attempts,
            (_a.job_id == _j.job_id) & _a.state.not_in([s.value for s in DEAD_STATES]),
        )
        query = (
            select_work()
            .select_from(source)
            .where(
                _j.day == day,
                _j.provider == provider,
                _j.state == JobState.IN_PROGRESS.value,
                or_(_a.state.is_(None), _a.state != AttemptState.STORED.value),
                _is_due(at),
            )
            .order_by(func.coalesce(_r.duration_ms, 0).desc(), _r.size_bytes.desc(), _j.job_id)
        )
        with self._read() as connection:
            return [to_work_item(row) for row in connection.execute(query)]

    def list_attempts(
        self, day: str, provider: str, states: Sequence[AttemptState]
    ) -> list[Attempt]:
        """Return the partition's attempts in the given states, ordered by recording."""
        query = (
            select(schema.attempts)
            .join(schema.jobs, _j.job_id == _a.job_id)
            .where(
                _j.day == day,
                _j.provider == provider,
                _j.state != JobState.QUARANTINED.value,  # erased
                _a.state.in_([s.value for s in states]),
            )
            .order_by(_a.recording_id)
        )
        with self._read() as connection:
            return [to_attempt(row._mapping) for row in connection.execute(query)]

    def find_attempts(self, named: str) -> list[Attempt]:
        """Return the attempts whose id begins so; at most a few."""
        begins = _a.attempt_id.startswith(named, autoescape=True) & literal(named != "")
        query = select(schema.attempts).where(begins).order_by(_a.attempt_id).limit(FEW)
        with self._read() as connection:
            return [to_attempt(row._mapping) for row in connection.execute(query)]

    def find_last_sent(self, providers: Collection[str]) -> datetime | None:
        """Return when an attempt was last sent to one of some providers; None before the first."""
        query = select(func.max(_a.sent_at)).where(_a.provider.in_(providers))
        with self._read() as connection:
            return from_text(connection.execute(query).scalar())

    def is_proved_unsent(self, job_id: str, adopted_at: datetime) -> bool:
        """Say whether the provider, or a person, told since then that no other ledger sent a job."""
        e = schema.evidence.c
        query = (
            select(func.count())
            .select_from(schema.attempts.join(schema.evidence, e.attempt_id == _a.attempt_id))
            .where(_a.job_id == job_id, _a.state == AttemptState.ABANDONED.value)
            .where(e.kind == ADOPTED, e.at >= to_text(adopted_at))
        )
        with self._read() as connection:
            return connection.execute(query).scalar_one() > 0

    def list_attempts_at(self, recording_id: str) -> list[Attempt]:
        """Return every attempt at one recording, by provider and number."""
        query = (
            select(schema.attempts)
            .where(_a.recording_id == recording_id)
            .order_by(_a.provider, _a.number)
        )
        with self._read() as connection:
            return [to_attempt(row._mapping) for row in connection.execute(query)]

    def get_job(self, job_id: str) -> Job:
        """Return one job; raises ``LedgerError`` when absent."""
        with self._read() as connection:
            row = connection.execute(select(schema.jobs).where(_j.job_id == job_id)).one_or_none()
        if row is None:
            raise LedgerError(f"job {job_id} is not in the ledger")
        return to_job(row._mapping)

    def find_options(self, job_ids: Sequence[str]) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the options of many jobs, as canonical JSON and decoded."""
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        with self._read() as connection:
            for chunk in in_chunks(job_ids):
                query = select(_j.job_id, _j.options_json).where(_j.job_id.in_(chunk))
                found |= {r[0]: (r[1], json.loads(r[1])) for r in connection.execute(query)}
        return found

    def find_providers(self, recording_ids: Sequence[str]) -> dict[str, set[str]]:
        """Return, per recording, the providers that have a job for it."""
        found: dict[str, set[str]] = {recording_id: set() for recording_id in recording_ids}
        with self._read() as connection:
            for chunk in in_chunks(recording_ids):
                query = select(_j.recording_id, _j.provider).where(_j.recording_id.in_(chunk))
                for recording_id, provider in connection.execute(query):
                    found[recording_id].add(provider)
        return found

    def find_evidence_of_acceptance(self, attempt_id: str) -> str | None:
        """Return the provider's job id if any evidence of this attempt carries one."""
        c = schema.evidence.c
        query = (
            select(c.provider_job_id)
            .where(c.attempt_id == attempt_id, c.provider_job_id.is_not(None))
            .order_by(c.evidence_id)
        )
        with self._read() as connection:
            return connection.execute(query).scalars().first()

    def find_other_owner(self, attempt_id: str, provider: str, provider_job_id: str) -> str | None:
        """Return which other attempt has this job of the provider's; None when none has."""
        query = select(_a.attempt_id).where(
            _a.provider == provider,
            _a.provider_job_id == provider_job_id,
            _a.attempt_id != attempt_id,
        )
        with self._read() as connection:
            return connection.execute(query).scalar()

    def find_request(self, attempt_id: str) -> bytes | None:
        """Return the exact bytes of a paid request whose outcome is open, where they were kept."""
        with self._read() as connection:
            query = select(_a.request_sealed).where(_a.attempt_id == attempt_id)
            sealed = connection.execute(query).scalar()
        return self.seal.open(sealed) if sealed else None

    def find_gate(self, provider: str, at: datetime) -> str | None:
        """Return why the provider gets no paid request now; None when it may."""
        if self.gate:
            return self.gate
        c = schema.gates.c
        query = select(c.reason).where(c.provider == provider, c.until_at > to_text(at))
        with self._read() as connection:
            return connection.execute(query).scalar()

    def find_lapsed_gate(self, provider: str, at: datetime) -> str | None:
        """Return why the provider got no paid request until a while ago, and none was accepted since."""
        c = schema.gates.c
        query = select(c.reason).where(c.provider == provider, c.until_at <= to_text(at))
        with self._read() as connection:
            return connection.execute(query).scalar()

    def find_wait_model(self, provider: str) -> WaitModel | None:
        """Return what was learned of the provider's pace, if anything."""
        c = schema.wait_models.c
        with self._read() as connection:
            text = connection.execute(
                select(c.parameters_json).where(c.provider == provider)
            ).scalar()
        return WaitModel.from_json(text) if text else None

    def list_failed_unpaid(self) -> list[FailedJob]:
        """Return jobs that failed at no cost and whose fallback is undecided, in order of recording.

        Without cost: never sent, refused, proved never to have arrived, or failed with a cost of 0.
        """
        may_cost = exists().where(_a.job_id == _j.job_id, maybe_paid())
        query = (
            select(_j.job_id, _j.recording_id, _r.key)
            .join(schema.recordings, _r.recording_id == _j.recording_id)
            .where(_j.state == JobState.FAILED.value, _j.fallback_at.is_(None), not_(may_cost))
            .order_by(_j.recording_id, _j.job_id)
        )
        with self._read() as connection:
            return [FailedJob(*row) for row in connection.execute(query)]

    def find_last_delivery(self) -> int:
        """Return the number of the newest webhook; 0 before the first."""
        with self._read() as connection:
            query = select(func.max(schema.webhook_deliveries.c.delivery_id))
            return connection.execute(query).scalar() or 0

    def list_deliveries(self, provider: str, after: int) -> list[tuple[int, str]]:
        """Return (number, provider's job id) of the webhooks received since the one of a number."""
        c = schema.webhook_deliveries.c
        query = (
            select(c.delivery_id, c.provider_job_id)
            .where(c.provider == provider, c.delivery_id > after)
            .order_by(c.delivery_id)
        )
        with self._read() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]


def _is_due(at: datetime) -> Any:
    return or_(_j.scheduled_at.is_(None), _j.scheduled_at <= to_text(at))
