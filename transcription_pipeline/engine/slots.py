"""How many jobs are at the provider at a time, and how many are on their way there.

Counts only; ``partition_run.py`` fills the room, ``submitting.py`` is on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Slots:
    """Room for jobs at the provider. Jobs that are there already count, and may exceed it."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._wanted = asyncio.Event()

    async def acquire(self) -> None:
        """Return when there is room, and take it."""
        while self._free <= 0:
            self._wanted.clear()
            await self._wanted.wait()
        self._free -= 1

    def take(self) -> None:
        """Take a place for a job that the provider has, room or not."""
        self._free -= 1

    def release(self) -> None:
        """Give a place back."""
        self._free += 1
        self._wanted.set()


class Begun:
    """What is begun and not over, for whoever has to wait until there is nothing."""

    def __init__(self) -> None:
        self._count = 0
        self._is_none = asyncio.Event()
        self._is_none.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one more for the length of the block."""
        self._count += 1
        self._is_none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._is_none.set()

    async def wait_for_all(self) -> None:
        """Return when nothing is begun that is not over."""
        await self._is_none.wait()
