"""A fresh, migrated ledger on each database."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transcription_pipeline.ledger.ledger import Ledger

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: a migration per test would be most of the suite's time."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def make_postgres_ledger(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Return what makes a migrated PostgreSQL database and returns its URL."""
    server = request.getfixturevalue("postgres_server")
    template = server.create_database()
    Ledger.open(template).close()
    name = template.partition("@/")[2].partition("?")[0]
    return lambda: str(server.create_database(name))


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty ledger."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ledger.db")
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("make_postgres_ledger")()
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An open ledger."""
    opened = Ledger.open(ledger_url)
    yield opened
    opened.close()
