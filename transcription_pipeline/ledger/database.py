"""Opening the ledger's database: SQLite made durable, PostgreSQL made patient, both migrated.

What belongs here: connections and their settings. What does not: what is stored (``schema.py``) and
what is asked (``ledger.py``, ``reading.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from transcription_pipeline.errors import ConfigurationError, LedgerBusy, LedgerError

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0005"
"""The newest migration; a test holds it against the folder."""

_migrating = Lock()
"""Alembic keeps the migration it runs in module globals: one at a time per process."""

_NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


def open_engine(url: str) -> Engine:
    """Return an engine whose every transaction is durable once committed, migrated to the head.

    Raises:
        ConfigurationError: the URL is malformed, names another database, or a network file system,
            or the ledger was made by a newer version of this package.
        LedgerError: the database cannot be reached or written.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter repeats what follows a ":" in a password
        raise ConfigurationError("ledger.url: not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = _open_sqlite(parsed.database or "")
    elif backend == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            # Nothing of ours waits for a lock or sits in a transaction for longer than this.
            connect_args={
                "options": "-c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
            },
        )
    else:
        raise ConfigurationError(f"ledger.url: {backend} is not one of sqlite, postgresql")
    with ExitStack() as on_failure:
        on_failure.callback(engine.dispose)
        try:
            with _migrating:
                _migrate(engine)
        except DBAPIError as error:
            # The class alone: its text repeats host and user.
            kind = type(error.orig).__name__
            raise LedgerError(f"the ledger cannot be opened: {kind}") from None
        on_failure.pop_all()
    return engine


def _open_sqlite(database: str) -> Engine:
    if database and database != ":memory:":
        folder = Path(database).resolve().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the ledger's folder {folder}: {error.strerror}") from None
        kind = _filesystem_of(folder)
        if kind in _NETWORK_FILESYSTEMS:
            # SQLite's write-ahead log needs shared memory of one host (sqlite.org/wal.html).
            raise ConfigurationError(f"ledger.url: SQLite cannot live on {kind}; use PostgreSQL")
    engine = create_engine(
        f"sqlite:///{database}",
        connect_args={"timeout": 30, "check_same_thread": False, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # NORMAL issues no sync at commit: a paid job could be forgotten
            "foreign_keys=ON",
            "busy_timeout=30000",
            "trusted_schema=OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # A plain BEGIN that reads and then writes fails at once under contention
        # (SQLITE_BUSY_SNAPSHOT ignores the timeout); IMMEDIATE waits its turn.
        is_read = connection.get_execution_options().get("is_read", False)
        connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")

    return engine


def _filesystem_of(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    best, kind = "", "unknown"
    for line in mounts.read_text().splitlines():
        _, point, fs, *_ = line.split(" ")
        if folder.is_relative_to(point) and len(point) > len(best):
            best, kind = point, fs
    return kind


def _migrate(engine: Engine) -> None:
    if _version(engine) == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two processes may open a new ledger at once; the second finds the work done.
            connection.execute(text("SELECT pg_advisory_xact_lock(7316270)"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise ConfigurationError(
                "ledger.url: made by a newer version; update this package"
            ) from None


def _version(engine: Engine) -> str | None:
    with engine.connect().execution_options(is_read=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def in_our_words(what: str) -> Iterator[None]:
    """Translate what a database refuses; its own texts name hosts, users and values.

    Raises:
        LedgerBusy: a lock, or a connection, was not to be had.
        LedgerError: anything else.
    """
    try:
        yield
    except OperationalError as error:
        raise LedgerBusy(f"the ledger did not take the {what}: {_kind_of(error)}") from None
    # Not every refusal of a value is the database's: sqlite3 raises plain ones for text that is no
    # Unicode and for integers beyond 64 bits.
    except (SQLAlchemyError, UnicodeError, OverflowError) as error:
        raise LedgerError(f"the ledger refused the {what}: {_kind_of(error)}") from None


def _kind_of(error: Exception) -> str:
    # The class alone: the text of a database error repeats the values of the statement.
    return type(getattr(error, "orig", None) or error).__name__
