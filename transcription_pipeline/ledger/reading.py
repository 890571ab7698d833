"""What can be asked of the ledger without changing it.

Every method is one short read transaction. ``Ledger`` inherits these; nobody uses this class alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, or_, select

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
from transcription_pipeline.ledger.applying import in_chunks
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline.ledger.rows import (
    WorkItem,
    select_work,
    to_attempt,
    to_job,
    to_work_item,
)
from transcription_pipeline.ledger.sealing import Seal

_r, _j, _a = schema.recordings.c, schema.jobs.c, schema.attempts.c


@dataclass(frozen=True, slots=True)
class Partition:
    """A day of one provider with work that is due."""

    day: str
    provider: str
    due_count: int


class LedgerReading:
    """The questions."""

    _engine: Engine
    seal: Seal

    def _read(self) -> Connection:
        connection = self._engine.connect().execution_options(is_read=True)
        if self._engine.dialect.name == "postgresql":
            # As SQLite does by itself: all questions of one reading see the same moment.
            return connection.execution_options(isolation_level="REPEATABLE READ")
        return connection

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
        query = (
            select(_j.day, _j.provider, func.count())
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
            .where(_j.day == day, _j.provider == provider, _a.state.in_([s.value for s in states]))
            .order_by(_a.recording_id)
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

    def find_request(self, attempt_id: str) -> bytes | None:
        """Return the exact bytes of a paid request whose outcome is open, where they were kept."""
        with self._read() as connection:
            query = select(_a.request_sealed).where(_a.attempt_id == attempt_id)
            sealed = connection.execute(query).scalar()
        return self.seal.open(sealed) if sealed else None

    def find_gate(self, provider: str, at: datetime) -> str | None:
        """Return why the provider gets no paid request now; None when it may."""
        c = schema.gates.c
        query = select(c.reason).where(c.provider == provider, c.until_at > to_text(at))
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

    def count_states(self) -> dict[str, Any]:
        """Count what every recording × provider is; see ``tp status`` for the shape.

        ``unaccounted`` is computed from the other side: providers promised to recordings, minus
        the jobs that exist for them.
        """
        with self._read() as connection:
            recordings = connection.execute(select(func.count()).select_from(schema.recordings))
            quarantined = connection.execute(
                select(func.count()).where(_r.quarantine_reason.is_not(None))
            )
            wanted = connection.execute(select(func.coalesce(func.sum(_r.provider_count), 0)))
            pairs = select(_j.recording_id, _j.provider).distinct().subquery()
            present = connection.execute(select(func.count()).select_from(pairs))
            by_state = connection.execute(
                select(_j.provider, _j.state, func.count()).group_by(_j.provider, _j.state)
            )
            by_provider: dict[str, dict[str, int]] = {}
            for provider, state, count in by_state:
                counts = by_provider.setdefault(
                    provider, {s.value: 0 for s in JobState if s is not JobState.QUARANTINED}
                )
                if state != JobState.QUARANTINED.value:
                    counts[state] = count
            return {
                "recordings": int(recordings.scalar_one()),
                "by_provider": dict(sorted(by_provider.items())),
                "quarantined": int(quarantined.scalar_one()),
                "unaccounted": max(0, int(wanted.scalar_one()) - int(present.scalar_one())),
            }

    def list_stale_days(self) -> list[str]:
        """Return days whose catalogue tables are not what the ledger is now."""
        p = schema.publications.c
        with self._read() as connection:
            written = dict(connection.execute(select(p.day, p.fingerprint)).tuples().all())
        present = self.take_fingerprints()
        return sorted(day for day, print_ in present.items() if written.get(day) != print_)

    def take_fingerprints(self, day: str | None = None) -> dict[str, str]:
        """Return, per day, a text that changes with the day's recordings and jobs.

        Counts by state stand in it beside the newest instant, because a change may be committed
        after another that carries a later instant.
        """
        recordings = select(
            _r.day, func.count(), func.max(_r.updated_at), func.count(_r.quarantine_reason)
        ).group_by(_r.day)
        jobs = (
            select(_j.day, _j.state, func.count(), func.max(_j.updated_at))
            .group_by(_j.day, _j.state)
            .order_by(_j.day, _j.state)
        )
        if day is not None:
            recordings, jobs = recordings.where(_r.day == day), jobs.where(_j.day == day)
        parts: dict[str, list[str]] = {}
        with self._read() as connection:
            for row in (*connection.execute(recordings), *connection.execute(jobs)):
                parts.setdefault(row[0], []).append(" ".join(map(str, row[1:])))
        return {found: "|".join(texts) for found, texts in parts.items()}

    def read_recordings(self, day: str | None = None) -> list[dict[str, Any]]:
        """Return recordings as plain rows, ordered by identity; all days with None."""
        query = select(schema.recordings).order_by(_r.recording_id)
        return self._rows(query if day is None else query.where(_r.day == day))

    def read_jobs(
        self,
        day: str | None = None,
        *,
        provider: str | None = None,
        recording_id: str | None = None,
        state: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs with their newest attempt as plain rows, ordered by recording and provider."""
        last = select(_a.job_id, func.max(_a.number).label("number")).group_by(_a.job_id).subquery()
        columns = [
            _a[name].label(f"attempt_{name}" if name in ("state", "deadline_at") else name)
            for name in _NEWEST_ATTEMPT
        ]
        query = (
            select(schema.jobs, _r.key, *columns)
            .join(schema.recordings, _r.recording_id == _j.recording_id)
            .outerjoin(last, last.c.job_id == _j.job_id)
            .outerjoin(schema.attempts, (_a.job_id == _j.job_id) & (_a.number == last.c.number))
            .order_by(_j.recording_id, _j.provider, _j.job_id)
        )
        wants = {_j.day: day, _j.provider: provider, _j.recording_id: recording_id, _j.state: state}
        for column, wanted in wants.items():
            query = query if wanted is None else query.where(column == wanted)
        return self._rows(query)

    def read_history(self, recording_id: str) -> list[dict[str, Any]]:
        """Return every transition of every attempt at one recording, oldest first."""
        t = schema.transitions
        query = (
            select(t, _a.provider, _a.number)
            .join(schema.attempts, _a.attempt_id == t.c.attempt_id)
            .where(_a.recording_id == recording_id)
            .order_by(t.c.transition_id)
        )
        return self._rows(query)

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def _is_due(at: datetime) -> Any:
    return or_(_j.scheduled_at.is_(None), _j.scheduled_at <= to_text(at))


_NEWEST_ATTEMPT = (
    "attempt_id",
    "state",
    "provider_job_id",
    "region",
    "reserved_micros",
    "cost_micros",
    "currency",
    "cost_source",
    "billed_ms",
    "sent_at",
    "completed_at",
    "stored_at",
    "raw_key",
    "raw_sha256",
    "deadline_at",
)
"""What ``read_jobs`` shows of a job's newest attempt."""
