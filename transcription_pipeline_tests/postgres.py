"""A throwaway PostgreSQL cluster from whatever binaries the machine has."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

# What a crash would need and a test does not: nothing here survives the session anyway.
_SETTINGS = (
    "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c autovacuum=off"
    " -c shared_buffers=32MB -c max_connections=80 -c wal_level=minimal -c max_wal_senders=0"
)


@dataclass
class PostgresServer:
    """One running cluster, reached over a socket in its own folder."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://tester@/{database}?host={self.folder}"

    def create_database(self, template: str = "template0") -> str:
        """Create a database, empty or a copy of ``template``, and return its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(
            host=str(self.folder), user="tester", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Run a cluster until the end of the block; skips when the machine has no PostgreSQL."""
    programs = _find_programs()
    # Not below pytest's own folder: that one is closed to the user the server must run as.
    folder = Path(tempfile.mkdtemp(prefix="tp-postgres-"))
    start_as = _unprivileged(folder)
    cluster = folder / "data"
    control = [str(programs / "pg_ctl"), "-D", str(cluster), "-s", "-w", "-l", str(folder / "log")]

    def run(*arguments: str) -> None:
        # Into a file, not a pipe: the server inherits it and would keep a pipe open.
        with (folder / "output").open("ab") as output:
            done = subprocess.run(
                arguments, stdout=output, stderr=output, cwd=folder, check=False, **start_as
            )
        if done.returncode:
            said = (folder / "output").read_text(errors="replace")[-2000:]
            pytest.fail(f"{Path(arguments[0]).name} failed: {said}")

    try:
        run(
            *(str(programs / "initdb"), "-D", str(cluster), "-U", "tester", "-A", "trust"),
            *("-E", "UTF8", "--locale=C", "--no-sync"),
        )
        run(*control, "-o", f"-k {folder} {_SETTINGS}", "start")
        try:
            yield PostgresServer(folder)
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_programs() -> Path:
    debian = Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")
    newest = sorted(debian, key=lambda path: float(path.parts[-3]), reverse=True)
    on_path = shutil.which("pg_ctl")
    for found in (*newest, *([Path(on_path)] if on_path else [])):
        if (found.parent / "initdb").exists():
            return found.parent
    pytest.skip("no PostgreSQL on this machine: neither Debian's folder nor PATH has pg_ctl")


def _unprivileged(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    # PostgreSQL refuses to run as root.
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL refuses root, and there is no user postgres or nobody")
