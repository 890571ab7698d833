"""Where a worker crosses into the outside: each crossing has a number and a name, and may be its last.

What belongs here: wrapping what a worker is given (stores, provider, database), and what befalls it
at one crossing. What does not: which crossing that is (``families.py``).
"""

from __future__ import annotations

import errno
import inspect
import os
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

from transcription_pipeline import ledger as ledger_package
from transcription_pipeline.ledger.ledger import Ledger

_LEDGER_FILES = str(Path(ledger_package.__file__).parent)
AUDIO = ("list_page", "get_range", "iterate", "presign")
LAKE = ("put", "put_file", "delete")
PROVIDER = (
    "upload", "submit", "observe", "survey", "collect", "reconcile", "fetch_files", "delete",
)  # fmt: skip


class Strike(Enum):
    """What befalls a worker at a crossing."""

    KILL = signal.SIGKILL
    STOP = signal.SIGSTOP
    TERM = signal.SIGTERM
    FAILED_CALL = "failed call"  # this one call fails: before it did anything, or after it did all
    DISK_FULL = "disk full"  # from here on no file of this process grows any more


class Crossings:
    """Counts the crossings of one process, writes their names down, and strikes at one of them."""

    def __init__(self, log: Path, *, strike_at: int, strike: Strike) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._strike_at = strike_at
        self._strike = strike
        self._is_full = False
        self._count = 0
        self._transactions = 0
        """Write transactions that are open in any thread."""
        self._lock = threading.RLock()

    def cross(self, name: str, failure: Exception | None = None) -> None:
        """Be here; the process may not come back. ``failure`` is how a call fails here."""
        with self._lock:
            self._count += 1
            if not self._is_full:
                os.write(self._log, f"{name}\n".encode())
            strikes = 0 < self._strike_at <= self._count and not self._must_go_on()
            if strikes:
                self._strike_at = 0
        if not strikes:
            return
        if self._strike is Strike.FAILED_CALL:
            raise failure or OSError(errno.EIO, "a failed call")
        if self._strike is Strike.DISK_FULL:
            self._is_full = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        else:
            os.kill(os.getpid(), self._strike.value)

    def _must_go_on(self) -> bool:
        """Say whether this is no place to stop and stay: it would keep SQLite's only write lock."""
        return self._strike is Strike.STOP and self._transactions > 0

    def watch_files(self, folder: Path) -> None:
        """Cross whenever a finished file is about to get its name below ``folder``."""
        root = str(folder)

        def hear(what: str, arguments: tuple[Any, ...]) -> None:
            if what in {"os.rename", "os.link"} and str(arguments[1]).startswith(root):
                self.cross(f"{what} {_kind_of(str(arguments[1])[len(root) + 1 :])}")

        sys.addaudithook(hear)

    def watch_ledger(self) -> None:
        """Cross before and after every COMMIT of every database opened from now on."""
        commit: Callable[[DefaultDialect, Any], None] = DefaultDialect.do_commit

        def count(connection: Connection, change: int) -> None:
            if not connection.get_execution_options().get("is_read"):
                self._transactions += change

        def watched(dialect: DefaultDialect, connection: Any) -> None:
            failure = sqlite3.OperationalError("a failed call")
            purpose = _find_purpose()
            self.cross(f"ledger {purpose}: before", failure)
            commit(dialect, connection)
            self._transactions -= 1
            self.cross(f"ledger {purpose}: after", failure)

        event.listen(Engine, "begin", lambda connection: count(connection, 1))
        event.listen(Engine, "rollback", lambda connection: count(connection, -1))
        DefaultDialect.do_commit = watched  # type: ignore[method-assign]


class Watched:
    """Anything, of which some methods are crossings before and after; the rest is passed through."""

    def __init__(self, inner: Any, seam: str, names: tuple[str, ...], crossings: Crossings) -> None:
        self._inner = inner
        self._seam = seam
        self._names = names
        self._crossings = crossings

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found
        if inspect.iscoroutinefunction(found):
            return self._wrap_coroutine(f"{self._seam} {name}", found)
        return self._wrap(f"{self._seam} {name}", found)

    def _wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            on = f"{name} {_kind_of(arguments[0])}" if self._seam == "lake" else name
            self._crossings.cross(f"{on}: before")
            answer = function(*arguments, **named)
            self._crossings.cross(f"{on}: after")
            return answer

        return watched

    def _wrap_coroutine(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(*arguments: Any, **named: Any) -> Any:
            self._crossings.cross(f"{name}: before")
            answer = await function(*arguments, **named)
            self._crossings.cross(f"{name}: after")
            return answer

        return watched


def _kind_of(key: str) -> str:
    """Return what a key is about, without what is this run's own."""
    parts = key.removeprefix("lake/").split("/")
    return "/".join(parts[: 2 if parts[0] == "tables" else 1]) if len(parts) > 1 else "file"


def _find_purpose() -> str:
    """Say what a transaction is for: the ledger's method that was called, and the changes in it."""
    purpose, frame = "migrate", inspect.currentframe()
    while frame is not None:
        code, names = frame.f_code, frame.f_locals
        if code.co_filename.startswith(_LEDGER_FILES) and isinstance(names.get("self"), Ledger):
            purpose = code.co_name
            if "changes" in names:
                purpose = "+".join(dict.fromkeys(_name(change) for change in names["changes"]))
        frame = frame.f_back
    return purpose


def _name(change: Any) -> str:
    to_state = getattr(change, "to_state", None)
    return f"to {to_state.value}" if to_state else type(change).__name__
