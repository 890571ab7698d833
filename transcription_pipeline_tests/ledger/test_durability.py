"""What is committed stays, whoever writes at the same time; the migrations are the schema."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from transcription_pipeline.errors import ConfigurationError, LedgerError
from transcription_pipeline.ledger.database import HEAD, MIGRATIONS
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.ledger.schema import metadata
from transcription_pipeline_tests.ledger.conftest import DATABASES
from transcription_pipeline_tests.ledger.scenario import (
    DAY,
    PROVIDER,
    make_audio,
    make_opening,
    plan_jobs,
    race,
    record,
)


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """Every connection, not only the first, has WAL, FULL and foreign keys."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'new' / 'ledger.db'}")
    connections = [ledger._engine.connect() for _ in range(3)]
    for connection in connections:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {
            "journal_mode": "wal",
            "synchronous": 2,
            "foreign_keys": 1,
            "busy_timeout": 30_000,
        }
        connection.close()
    ledger.close()


def test_writers_queue(ledger: Ledger) -> None:
    """Eight threads that read and then write, thirty times each, never meet a locked database."""
    jobs = plan_jobs(ledger, 240)

    def work(number: int) -> int:
        written = 0
        for job_id in jobs[number * 30 : number * 30 + 30]:
            assert ledger.get_job(job_id).job_id == job_id
            written += ledger.commit([make_opening(job_id)]) == [None]
        return written

    assert sum(race(8, work)) == 240


def test_readers_do_not_block_a_writer(ledger: Ledger, ledger_url: str) -> None:
    """A reading that is open does not keep a write waiting, and keeps seeing its own moment."""
    (job_id,) = plan_jobs(ledger, 1)
    other = Ledger.open(ledger_url)
    with other._read() as reading:
        count = text("SELECT count(*) FROM attempts")
        assert reading.execute(count).scalar() == 0
        assert ledger.commit([make_opening(job_id)]) == [None]
        assert reading.execute(count).scalar() == 0
    other.close()


def write_from_a_process(url: str, number: int) -> int:
    """Open the ledger and write to it; run in a process of its own."""
    ledger = Ledger.open(url)
    audios = [make_audio(n) for n in range(40)]
    new = record(ledger, *audios[number * 10 :], *audios[: number * 10])
    ledger.close()
    return new


@pytest.mark.parametrize("database", DATABASES)
def test_processes_open_a_new_ledger_at_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Processes that open a ledger which does not exist yet all succeed; it is made once."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if database == "postgres":
        url = request.getfixturevalue("postgres_server").create_database()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        written = [pool.submit(write_from_a_process, url, number) for number in range(3)]
        assert sum(w.result() for w in written) == 40
    ledger = Ledger.open(url)
    assert len(ledger.read_jobs(DAY)) == 40
    ledger.close()


def test_threads_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    """Threads of one process may open a new ledger at once, too."""

    def open_one(_: int) -> str:
        ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
        count = ledger.count_states()["recordings"]
        ledger.close()
        return str(count)

    assert race(4, open_one) == ["0"] * 4


def test_the_migrations_are_the_schema(ledger: Ledger) -> None:
    """A database made by the migrations is exactly what the code believes it to be."""
    with ledger._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_are_the_schema(tmp_path: Path) -> None:
    """The conditions of the unique indexes, which alembic does not compare, agree too."""
    migrated, direct = tmp_path / "migrated.db", tmp_path / "direct.db"
    Ledger.open(f"sqlite:///{migrated}").close()
    plain = create_engine(f"sqlite:///{direct}")
    metadata.create_all(plain)
    plain.dispose()

    def read_indexes(path: Path) -> dict[str, str]:
        with sqlite3.connect(path) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
            found = {name: " ".join(sql.split()) for name, sql in rows if sql}
        connection.close()
        return found

    assert read_indexes(migrated) == read_indexes(direct)


def test_head_is_the_newest_migration() -> None:
    """The revision that opening compares with is the last one of the folder, and there is one."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_ledger_of_the_future_is_refused(ledger_url: str) -> None:
    """A ledger migrated by a newer version of the package is not touched."""
    ledger = Ledger.open(ledger_url)
    with ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    ledger.close()
    with pytest.raises(ConfigurationError, match="newer version"):
        Ledger.open(ledger_url)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://root:secret@localhost/x", "", "postgresql://root:p@1:secret@localhost/x"],
)
def test_a_url_that_cannot_hold_a_ledger(url: str) -> None:
    """Another database, or none, is a configuration error that repeats no password."""
    with pytest.raises(ConfigurationError, match=r"ledger\.url") as caught:
        Ledger.open(url)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer() -> None:
    """A server that is not there is our error, without host, user or password in its text."""
    with pytest.raises(LedgerError) as caught:
        Ledger.open("postgresql://someone:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
    assert "someone" not in str(caught.value)


def test_foreign_keys_hold(ledger: Ledger) -> None:
    """An attempt at a job that does not exist is refused by the database itself."""
    (refusal,) = ledger.commit([make_opening("no such job")])
    assert isinstance(refusal, LedgerError)
    assert ledger.list_work(DAY, PROVIDER, make_audio(0).last_modified_at) == []
