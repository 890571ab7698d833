"""The door to the ledger: what the pipeline, the sensors and the commands may do with it.

Writes are here and in ``changes.py``; what people decide in ``deciding.py``, leases and gates in ``guarding.py``, questions that only read
in ``reading.py`` and ``overview.py``, whose methods this class inherits. All methods block and are safe to call from any thread; on an event loop use
``group_commit.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, select, update

from transcription_pipeline.domain.job import (
    AttemptState,
    Job,
    JobState,
    make_job_id,
    make_options_json,
)
from transcription_pipeline.domain.recording import AudioObject
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.errors import LedgerBusy, LedgerError
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.applying import apply_changes, in_chunks
from transcription_pipeline.ledger.changes import Change, Lease
from transcription_pipeline.ledger.database import open_engine
from transcription_pipeline.ledger.deciding import LedgerDecisions
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline.ledger.rows import FailedJob
from transcription_pipeline.ledger.sealing import Seal

DELIVERIES_KEPT = timedelta(days=7)
"""Webhooks older than this are forgotten: they are hints, and their jobs are over."""
Wishes = Mapping[str, Mapping[str, object]]
"""Provider → options: what a route wants for one recording."""


class Ledger(LedgerDecisions):
    """One open ledger. Every public write is one durable transaction."""

    def __init__(self, engine: Engine, seal: Seal | None = None) -> None:
        self._engine = engine
        self.seal = seal or Seal(key=None, key_file=None)
        on_disk = engine.dialect.name == "sqlite" and engine.url.database
        self.folder = Path(engine.url.database or "").resolve().parent if on_disk else None
        """Where this machine keeps it; None in memory and on a server."""

    @classmethod
    def open(cls, url: str, *, key: str | None = None) -> Ledger:
        """Open the ledger at ``url``, creating or migrating it as needed.

        ``key`` seals requests whose outcome is open; None keeps a key file beside SQLite.

        Raises ``ConfigurationError`` for a URL that cannot hold a ledger.
        """
        engine = open_engine(url)
        database = engine.url.database if engine.dialect.name == "sqlite" else None
        return cls(engine, Seal(key=key, key_file=Path(f"{database}.key") if database else None))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def close_all_gates(self, reason: str) -> Ledger:
        """Return the same ledger for a worker that is to send nothing new; it closes with this one."""
        ledger = copy(self)
        ledger.gate = reason
        return ledger

    def record_recordings(
        self, found: Iterable[tuple[AudioObject, Wishes]], *, first_day: date, at: datetime
    ) -> int:
        """Remember recordings and the jobs their routes want; return how many were new.

        A recording × provider that has a job keeps it, whatever its options: a changed
        configuration never pays twice by itself. Recordings from before ``first_day`` belong to it,
        those from after ``at``, which another clock may write, to its day.

        Safe to repeat: yes, by the identity of recordings and jobs.
        """
        rows: dict[str, dict[str, object]] = {}
        jobs: list[dict[str, object]] = []
        now = to_text(at)
        for audio, wishes in found:
            recording_id = audio.recording_id
            if recording_id in rows:
                continue
            day = max(min(audio.day, at.date()), first_day).isoformat()
            rows[recording_id] = {
                "recording_id": recording_id,
                "bucket": audio.bucket,
                "key": audio.key,
                "version_id": audio.version_id,
                "etag": audio.etag,
                "size_bytes": audio.size_bytes,
                "last_modified_at": to_text(audio.last_modified_at),
                "day": day,
                "first_seen_at": now,
                "updated_at": now,
                "provider_count": len(wishes),
            }
            jobs += [
                _job_row(recording_id, day, provider, options, now)
                for provider, options in wishes.items()
            ]
        if not rows:
            return 0
        with self._write() as connection:
            known = self._known(connection, list(rows))
            fresh = [row for recording_id, row in rows.items() if recording_id not in known]
            if not fresh:
                return 0
            # Another process may write the same at this moment (PostgreSQL): what it wrote first
            # is its, with its jobs. One order for everybody, or two writers wait for each other.
            fresh.sort(key=lambda row: str(row["recording_id"]))
            written = connection.execute(
                self._insert(schema.recordings)
                .on_conflict_do_nothing()
                .returning(schema.recordings.c.recording_id),
                fresh,
            )
            ids = set(written.scalars())
            new_jobs = [job for job in jobs if job["recording_id"] in ids]
            if new_jobs:
                connection.execute(self._insert(schema.jobs).on_conflict_do_nothing(), new_jobs)
        return len(ids)

    def record_job(
        self, recording_id: str, provider: str, options: Mapping[str, object], *, at: datetime
    ) -> Job:
        """Add one job beside those the route named (a new provider, or other options on request)."""
        with self._write() as connection:
            job_id = self._add_job(connection, recording_id, provider, options, to_text(at))
        return self.get_job(job_id)

    def record_fallback(
        self, failed: FailedJob, wish: tuple[str, Mapping[str, object]] | None, *, at: datetime
    ) -> bool:
        """Decide, once and for all, who takes over from a failed job.

        ``wish`` is a provider and its options; None means nobody. Returns False when it was decided
        before. Safe to repeat: yes, the decision and the new job are one transaction.
        """
        j, now = schema.jobs.c, to_text(at)
        undecided = (j.job_id == failed.job_id) & j.fallback_at.is_(None)
        with self._write() as connection:
            decide = update(schema.jobs).where(undecided).values(fallback_at=now)
            if connection.execute(decide).rowcount != 1:
                return False
            if wish is not None:
                self._add_job(connection, failed.recording_id, *wish, now)
        return True

    def _add_job(
        self,
        connection: Connection,
        recording_id: str,
        provider: str,
        options: Mapping[str, object],
        now: str,
    ) -> str:
        r, j = schema.recordings.c, schema.jobs.c
        # Locked, so that two processes do not both count the provider (PostgreSQL).
        query = select(r.day).where(r.recording_id == recording_id).with_for_update()
        day = connection.execute(query).scalar()
        if day is None:
            raise LedgerError(f"recording {recording_id} is not in the ledger")
        row = _job_row(recording_id, day, provider, options, now)
        here = (j.recording_id == recording_id) & (j.provider == provider)
        found = set(connection.execute(select(j.job_id).where(here)).scalars())
        if row["job_id"] not in found:
            connection.execute(self._insert(schema.jobs), [row])
        if not found:  # other options for the same provider are still one provider
            connection.execute(
                update(schema.recordings)
                .where(r.recording_id == recording_id)
                .values(provider_count=r.provider_count + 1, updated_at=now)
            )
        return str(row["job_id"])

    def commit(
        self, changes: Sequence[Change], lease: Lease | None = None
    ) -> list[LedgerError | None]:
        """Apply a group of changes in one durable transaction.

        Returns:
            One entry per change, in order: None where it was written, else the error that says
            why not; the others are written all the same.

        Raises:
            LedgerBusy: Transient. Nothing was written.
        """
        try:
            with self._write() as connection:
                return apply_changes(connection, changes, lease)
        except LedgerBusy:
            raise
        except LedgerError as error:
            if len(changes) == 1:
                return [error]
            # Another writer came between our look and our write, or the database cannot hold a
            # value: find out which change it was; the others are written all the same.
            return [self._commit_alone(change, lease) for change in changes]

    def _commit_alone(self, change: Change, lease: Lease | None) -> LedgerError | None:
        try:
            return self.commit([change], lease)[0]
        except LedgerBusy as error:
            return error

    def save_wait_model(self, provider: str, model: WaitModel) -> None:
        """Keep what was learned of a provider's pace; the better-founded model wins."""
        with self._write() as connection:
            table = schema.wait_models
            here = table.c.provider == provider
            count = connection.execute(select(table.c.observation_count).where(here)).scalar()
            if count is not None and count > model.count:
                return
            row = {"parameters_json": model.to_json(), "observation_count": model.count}
            self._replace(connection, table, {"provider": provider, "spread": model.spread, **row})

    def record_publication(self, day: str, fingerprint: str) -> None:
        """Remember what the catalogue tables of a day were written from."""
        with self._write() as connection:
            row = {"day": day, "fingerprint": fingerprint}
            self._replace(connection, schema.publications, row)

    def record_delivery(
        self,
        provider: str,
        provider_job_id: str,
        *,
        status: str | None,
        body_sha256: str,
        at: datetime,
    ) -> bool:
        """Remember what a provider told by itself, and let the job it names be looked at now.

        A hint: no attempt moves. Returns False for a delivery that was here before.
        """
        a, j, now = schema.attempts.c, schema.jobs.c, to_text(at)
        row = {"provider": provider, "provider_job_id": provider_job_id, "status": status}
        row |= {"body_sha256": body_sha256, "received_at": now}
        table = schema.webhook_deliveries
        forgotten = to_text(at - DELIVERIES_KEPT)
        with self._write() as connection:
            connection.execute(delete(table).where(table.c.received_at < forgotten))
            written = connection.execute(
                self._insert(table)
                .values(**row)
                .on_conflict_do_nothing()
                .returning(table.c.delivery_id)
            )
            if written.scalar() is None:
                return False
            told_of = select(a.job_id).where(
                a.provider == provider,
                a.provider_job_id == provider_job_id,
                a.state == AttemptState.ACCEPTED.value,
            )
            connection.execute(
                update(schema.jobs).where(j.job_id.in_(told_of)).values(scheduled_at=None)
            )
        return True

    def _known(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        column = schema.recordings.c.recording_id
        known: set[str] = set()
        for chunk in in_chunks(ids):
            query = select(column).where(column.in_(chunk))
            known.update(connection.execute(query).scalars())
        return known


def _job_row(
    recording_id: str, day: str, provider: str, options: Mapping[str, object], now: str
) -> dict[str, object]:
    options_json = make_options_json(options)
    return {
        "job_id": make_job_id(recording_id, provider, options_json),
        "recording_id": recording_id,
        "provider": provider,
        "options_json": options_json,
        "day": day,
        "state": JobState.IN_PROGRESS.value,
        "attempt_count": 0,
        "created_at": now,
        "updated_at": now,
    }
