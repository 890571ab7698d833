"""What every emulated service has behind it: clock, invoice, fault script, counts, files, journal.

Nothing of any vendor's wire is here; a service is handed a ``Backstage`` and plays in front of it.
``server.py`` builds one per emulator, ``control.py`` shows and moves it.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter, deque
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from starlette.routing import BaseRoute

from transcription_pipeline.emulators.clock import Clock, Timeline
from transcription_pipeline.emulators.faults import FaultScript
from transcription_pipeline.emulators.invoice import Invoice
from transcription_pipeline.emulators.journal import Journal

_LOG_LENGTH = 2_000
"""Requests kept in the log: enough for a test to read, little enough for a soak to forget."""


@dataclass(slots=True)
class Requests:
    """How often each operation was asked for, and the last requests one by one."""

    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    """``operation:status``; ``operation:none`` for requests that got no whole answer."""
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH))

    def record(self, operation: str, entry: dict[str, Any]) -> None:
        """Count one finished request."""
        self.statuses[f"{operation}:{entry['status'] or 'none'}"] += 1
        self.log.append({"operation": operation} | entry)

    def clear(self) -> None:
        """Forget all counts."""
        self.counts.clear()
        self.statuses.clear()
        self.log.clear()


class Backstage:
    """Everything of one emulator that is not its wire."""

    def __init__(self, *, clock: Clock | None = None, state: Path | None = None) -> None:
        self.clock = clock or Clock()
        self.timeline = Timeline(self.clock)
        self.invoice = Invoice()
        self.faults = FaultScript()
        self.requests = Requests()
        self.journal = Journal(state)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    @property
    def folder(self) -> Path:
        """Where files live: beside the journal, or in a temporary folder that goes at the end."""
        if self.journal.path is not None:
            folder = self.journal.path.with_name(self.journal.path.name + ".files")
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="emulator-")
        return Path(self._temporary.name)

    @property
    def http(self) -> aiohttp.ClientSession:
        """The client with which the service fetches audio and calls webhooks."""
        if self._http is None:
            # No cookies, no proxies from the environment: nothing of one job reaches another.
            self._http = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            )
        return self._http

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something meanwhile; it is cancelled when the emulator stops or is reset."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "an emulator task failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def cancel_tasks(self) -> None:
        """Stop everything that was spawned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop all work, close files and connections, remove the temporary folder."""
        await self.cancel_tasks()
        if self._http is not None:
            await self._http.close()
            self._http = None
        self.journal.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


class Service(Protocol):
    """One emulated vendor, as the server and the control interface see it."""

    name: str
    backstage: Backstage

    @property
    def settings(self) -> msgspec.Struct:
        """The settings in force."""

    def endpoints(self) -> Mapping[str, Collection[str]]:
        """List the vendor's endpoints: path to methods."""

    def routes(self) -> list[BaseRoute]:
        """List the vendor's endpoints, with a last one for everything unknown."""

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""

    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give content type and body of the vendor's own answer with this status."""

    def replay(self) -> None:
        """Take up the state that the journal holds, and go on with unfinished jobs."""

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running; an unknown name or wrong type raises ``msgspec`` errors."""

    async def reset(self) -> None:
        """Forget all jobs, files, charges, counts and faults; keep the settings."""

    async def close(self) -> None:
        """Free what the service itself holds."""


def seed_of(text: str) -> int:
    """Make a number of a text, the same on every machine and in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
