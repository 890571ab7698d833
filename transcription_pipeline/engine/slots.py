"""Room for jobs at the provider: how many are there at a time. ``partition_run.py`` fills it."""

from __future__ import annotations

import asyncio


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
