"""The door to the ledger: what the pipeline, the sensors and the commands may do with it.

Writes are here and in ``changes.py``; questions that only read are in ``reading.py``, whose methods
this class inherits. All methods block and are safe to call from any thread; on an event loop use
``group_commit.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from transcription_pipeline.domain.job import (
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
from transcription_pipeline.ledger.holders import is_certainly_dead
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline.ledger.reading import LedgerReading
from transcription_pipeline.ledger.sealing import Seal

Wishes = Mapping[str, Mapping[str, object]]
"""Provider → options: what a route wants for one recording."""


class Ledger(LedgerReading):
    """One open ledger. Every public write is one durable transaction."""

    def __init__(self, engine: Engine, seal: Seal | None = None) -> None:
        self._engine = engine
        self.seal = seal or Seal(key=None, key_file=None)

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

    def record_recordings(
        self, found: Iterable[tuple[AudioObject, Wishes]], *, first_day: date, at: datetime
    ) -> int:
        """Remember recordings and the jobs their routes want; return how many were new.

        A recording × provider that has a job keeps it, whatever its options: a changed
        configuration never pays twice by itself. Recordings from before ``first_day`` belong to it.

        Safe to repeat: yes, by the identity of recordings and jobs.
        """
        rows: dict[str, dict[str, object]] = {}
        jobs: list[dict[str, object]] = []
        now = to_text(at)
        for audio, wishes in found:
            recording_id = audio.recording_id
            if recording_id in rows:
                continue
            day = max(audio.day, first_day).isoformat()
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
        """Add one job beside those the route named (a fallback, or other options on request)."""
        with self._write() as connection:
            r, j = schema.recordings.c, schema.jobs.c
            # Locked, so that two processes do not both count the provider (PostgreSQL).
            query = select(r.day).where(r.recording_id == recording_id).with_for_update()
            day = connection.execute(query).scalar()
            if day is None:
                raise LedgerError(f"recording {recording_id} is not in the ledger")
            row = _job_row(recording_id, day, provider, options, to_text(at))
            here = (j.recording_id == recording_id) & (j.provider == provider)
            found = set(connection.execute(select(j.job_id).where(here)).scalars())
            if row["job_id"] not in found:
                connection.execute(self._insert(schema.jobs), [row])
            if not found:  # other options for the same provider are still one provider
                connection.execute(
                    update(schema.recordings)
                    .where(r.recording_id == recording_id)
                    .values(provider_count=r.provider_count + 1, updated_at=to_text(at))
                )
        return self.get_job(str(row["job_id"]))

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

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise LedgerBusy(f"the ledger did not take the write: {_kind_of(error)}") from None
        # Not every refusal of a value is the database's: sqlite3 raises plain ones for text that
        # is no Unicode and for integers beyond 64 bits.
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            raise LedgerError(f"the ledger refused the write: {_kind_of(error)}") from None

    def _insert(self, table: Table) -> Any:
        """Return an INSERT of the dialect in use, which knows what to do on conflict."""
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _replace(self, connection: Connection, table: Table, row: Mapping[str, object]) -> None:
        statement = self._insert(table).values(**row)
        keys = [column.name for column in table.primary_key]
        changed = {name: statement.excluded[name] for name in row if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def acquire_lease(
        self, day: str, provider: str, holder: str, *, at: datetime, ttl_s: float
    ) -> Lease | None:
        """Take the right to decide about a partition; None while somebody else holds it.

        A lease that lapsed, or whose holder is certainly dead, is taken over with a higher fence,
        which refuses the former holder's decisions from then on.
        """
        leases = schema.leases
        here = (leases.c.day == day) & (leases.c.provider == provider)
        until = to_text(at + timedelta(seconds=ttl_s))
        with self._write() as connection:
            row = connection.execute(select(leases).where(here).with_for_update()).one_or_none()
            if row is None:
                written = connection.execute(
                    self._insert(leases)
                    .values(day=day, provider=provider, holder=holder, fence=1, until_at=until)
                    .on_conflict_do_nothing()
                    .returning(leases.c.fence)  # no driver counts the rows of such an INSERT
                )
                return None if written.scalar() is None else Lease(day, provider, holder, 1)
            is_free = row.holder in ("", holder) or row.until_at <= to_text(at)
            if not is_free and not is_certainly_dead(row.holder):
                return None
            fence = row.fence + 1
            connection.execute(
                update(leases).where(here).values(holder=holder, fence=fence, until_at=until)
            )
        return Lease(day, provider, holder, fence)

    def renew_lease(self, lease: Lease, *, at: datetime, ttl_s: float) -> bool:
        """Prolong a lease; False when it was taken over."""
        until = to_text(at + timedelta(seconds=ttl_s))
        with self._write() as connection:
            written = connection.execute(
                update(schema.leases).where(*_is_lease(lease)).values(until_at=until)
            )
        return written.rowcount == 1

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back so that the next holder need not wait for it to lapse."""
        with self._write() as connection:
            connection.execute(
                update(schema.leases).where(*_is_lease(lease)).values(holder="", until_at="")
            )

    def close_gate(self, provider: str, reason: str, *, until: datetime, at: datetime) -> None:
        """Send nothing paid to ``provider`` until an instant."""
        with self._write() as connection:
            row = {"reason": reason, "until_at": to_text(until), "at": to_text(at)}
            self._replace(connection, schema.gates, {"provider": provider, **row})

    def open_gate(self, provider: str) -> None:
        """Let paid requests to ``provider`` through again."""
        with self._write() as connection:
            connection.execute(delete(schema.gates).where(schema.gates.c.provider == provider))

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

    def _known(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        column = schema.recordings.c.recording_id
        known: set[str] = set()
        for chunk in in_chunks(ids):
            query = select(column).where(column.in_(chunk))
            known.update(connection.execute(query).scalars())
        return known


def _kind_of(error: Exception) -> str:
    # The class alone: the text of a database error repeats the values of the statement.
    return type(getattr(error, "orig", None) or error).__name__


def _is_lease(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    c = schema.leases.c
    return (c.day == lease.day, c.provider == lease.provider, c.fence == lease.fence)


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
