"""Who may decide and what may be sent: leases on partitions, gates of providers.

Also the one way into a write transaction. ``Ledger`` inherits this; nobody uses it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.changes import Lease
from transcription_pipeline.ledger.database import in_our_words
from transcription_pipeline.ledger.holders import is_certainly_dead
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline.ledger.reading import LedgerReading


class LedgerGuards(LedgerReading):
    """Leases and gates."""

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with in_our_words("write"), self._engine.begin() as connection:
            yield connection

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

    def raise_epoch(self, *, at_least: int = 0) -> int:
        """Count one further than ever before, and return it."""
        table = schema.identity
        with self._write() as connection:
            epoch = connection.execute(select(table.c.epoch).with_for_update()).scalar_one()
            epoch = max(epoch + 1, at_least)
            connection.execute(update(table).values(epoch=epoch))
        return int(epoch)

    def close_gate(self, provider: str, reason: str, *, until: datetime, at: datetime) -> None:
        """Send nothing paid to ``provider`` until an instant."""
        with self._write() as connection:
            row = {"reason": reason, "until_at": to_text(until), "at": to_text(at)}
            self._replace(connection, schema.gates, {"provider": provider, **row})

    def open_gate(self, provider: str) -> None:
        """Let paid requests to ``provider`` through again."""
        with self._write() as connection:
            connection.execute(delete(schema.gates).where(schema.gates.c.provider == provider))


def _is_lease(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    c = schema.leases.c
    return (c.day == lease.day, c.provider == lease.provider, c.fence == lease.fence)
