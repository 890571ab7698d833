"""Many coroutines, few durable commits.

Coroutines hand changes over and wait; one thread commits everything that is pending and wakes them
once the database has synced. While one commit syncs, the next group gathers; and where only a few
have come, the thread lingers a moment for those who finish together with them. So a thousand share
a handful of syncs, and ten jobs a second do not cost thirty.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from transcription_pipeline.errors import LedgerBusy, LedgerError
from transcription_pipeline.ledger.changes import Change, Lease
from transcription_pipeline.ledger.ledger import Ledger

_LARGEST_GROUP = 1_000
"""Changes per commit: beyond this a longer transaction wins nothing and delays everybody."""

_FEW = 8
LINGER_S = 0.02
"""A commit costs a millisecond of CPU and a sync however little is in it; jobs take seconds."""

_BUSY_PAUSES_S = (0.1, 0.5, 2.0, 5.0)
"""Between tries when the database did not take a group."""

Waiting = tuple[Sequence[Change], "asyncio.Future[None]"]


class GroupCommit:
    """The ledger's writer for one partition on one event loop; use as ``async with``.

    Invariant: whoever waits in ``commit`` is answered, whatever happens to the database.
    """

    def __init__(self, ledger: Ledger, lease: Lease | None = None) -> None:
        self._ledger = ledger
        self._lease = lease
        self._pending: deque[Waiting] = deque()
        self._group: list[Waiting] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    async def __aenter__(self) -> GroupCommit:
        """Start the writer."""
        self._task = asyncio.create_task(self._write_forever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what is pending, then stop; a cancellation waits until that is done."""
        self._is_closing = True
        self._wake.set()
        interruption: asyncio.CancelledError | None = None
        while self._task and not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as cancelled:
                interruption = cancelled
        self._thread.shutdown(wait=True)
        if interruption is not None:
            raise interruption

    async def commit(self, *changes: Change) -> None:
        """Return once ``changes`` are durable.

        Raises the first refusal among them (``IllegalTransition``, ``LeaseLost``); the other
        changes of the call stand.
        """
        if self._task is None or self._task.done():
            raise LedgerError("the ledger's writer is not running")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((changes, done))
        self._wake.set()
        # The write goes on even when the waiter is cancelled: what was seen must be kept.
        await asyncio.shield(done)

    async def _write_forever(self) -> None:
        try:
            while self._pending or not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                if len(self._pending) < _FEW and not self._is_closing:
                    await asyncio.sleep(LINGER_S)
                while self._pending:
                    await self._write_group()
        finally:
            # Only a cancelled loop leaves somebody behind.
            for _, done in (*self._group, *self._pending):
                _settle(done, LedgerError("the ledger's writer was stopped"))

    async def _write_group(self) -> None:
        self._group = self._take_group()
        changes = [change for some, _ in self._group for change in some]
        for pause_s in (*_BUSY_PAUSES_S, None):
            written = asyncio.get_running_loop().run_in_executor(
                self._thread, self._ledger.commit, changes, self._lease
            )
            await asyncio.wait([written])
            error = written.exception()
            if pause_s is None or not isinstance(error, LedgerBusy):
                break
            # Nothing was written; what a paid request told must not be lost to a lock.
            await asyncio.sleep(pause_s)
        if error is None:
            _settle_group(self._group, written.result())
        else:
            for _, done in self._group:
                _settle(done, error)
        self._group = []

    def _take_group(self) -> list[Waiting]:
        group: list[Waiting] = []
        size = 0
        while self._pending and size < _LARGEST_GROUP:
            group.append(self._pending.popleft())
            size += len(group[-1][0])
        return group


def _settle_group(group: Sequence[Waiting], refusals: Sequence[LedgerError | None]) -> None:
    start = 0
    for changes, done in group:
        mine = refusals[start : start + len(changes)]
        start += len(changes)
        _settle(done, next((error for error in mine if error is not None), None))


def _settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()  # marked as seen: a cancelled waiter never asks
