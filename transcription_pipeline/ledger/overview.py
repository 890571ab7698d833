"""What people, tables and checks ask of the ledger: counts, catalogues, histories.

What the pipeline asks in order to work is in ``reading.py``. Every method is one short read
transaction; ``LedgerReading`` inherits them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, literal, or_, select

from transcription_pipeline.domain.job import JobState
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.database import in_our_words
from transcription_pipeline.ledger.instants import from_text, to_text
from transcription_pipeline.ledger.rows import Adoption

FEW = 10
"""Recordings shown of those a name fits."""
_r, _j, _a = schema.recordings.c, schema.jobs.c, schema.attempts.c


class LedgerOverview:
    """The ledger seen as a whole."""

    _engine: Engine

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with in_our_words("read"), self._engine.connect() as connection:
            options: dict[str, Any] = {"is_read": True}
            if self._engine.dialect.name == "postgresql":
                # As SQLite does by itself: all questions of one reading see the same moment.
                options["isolation_level"] = "REPEATABLE READ"
            yield connection.execution_options(**options)

    def read_identity(self) -> tuple[str, int]:
        """Return which ledger this is and its epoch, see ``engine/claim.py``."""
        c = schema.identity.c
        with self._read() as connection:
            row = connection.execute(select(c.ledger_id, c.epoch)).one()
        return row.ledger_id, row.epoch

    def find_adoption(self) -> Adoption | None:
        """Return the last time a person let this ledger take over; None when nobody did."""
        c = schema.identity.c
        with self._read() as connection:
            row = connection.execute(select(c.adopted_at, c.unknown_since)).one()
        at = from_text(row.adopted_at)
        return Adoption(at, from_text(row.unknown_since)) if at else None

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

    def find_erased(self, day: str) -> set[str]:
        """Return the recordings of a day that have a tombstone."""
        erased = _r.quarantine_reason == QuarantineReason.ERASED.value
        with self._read() as connection:
            query = select(_r.recording_id).where(_r.day == day, erased)
            return set(connection.execute(query).scalars())

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

    def find_recordings(self, named: str) -> list[dict[str, Any]]:
        """Return the recordings of this key, or whose id begins so; at most a few."""
        begins = _r.recording_id.startswith(named, autoescape=True)
        query = select(schema.recordings).where(or_(_r.key == named, begins & literal(named != "")))
        return self._rows(query.order_by(_r.recording_id).limit(FEW))

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

    def read_evidence(self, recording_id: str) -> list[dict[str, Any]]:
        """Return what was seen of every attempt at one recording, oldest first."""
        e = schema.evidence.c
        query = (
            select(e.at, _a.provider, _a.number, e.kind, e.cause, e.detail, e.provider_job_id)
            .join(schema.attempts, _a.attempt_id == e.attempt_id)
            .where(_a.recording_id == recording_id)
            .order_by(e.evidence_id)
        )
        return self._rows(query)

    def find_first_seen(
        self, attempt_id: str, kind: str, since: datetime | None = None
    ) -> datetime | None:
        """Return when something of a kind was first seen of an attempt, ``since`` then; else None."""
        e = schema.evidence.c
        query = select(func.min(e.at)).where(e.attempt_id == attempt_id, e.kind == kind)
        if since:
            query = query.where(e.at >= to_text(since))
        with self._read() as connection:
            return from_text(connection.execute(query).scalar())

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._read() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


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
