"""A clock that can be moved, and the list of things that are due on it.

Everything an emulator does later (finishing a job, repeating a webhook, expiring a file) waits on a
``Timeline`` rather than in a sleep, so that a test may pass a day in a millisecond. Sockets and
fault delays live in real time and are not here; every emulator owns one clock and one timeline.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count


class Clock:
    """Seconds since 1970, UTC: real time plus an offset, or standing still until advanced."""

    def __init__(self, *, frozen_at: float | None = None) -> None:
        self._offset_s = 0.0
        self._frozen_at = frozen_at

    @property
    def offset_s(self) -> float:
        """How far this clock is ahead of the machine's."""
        return self.now() - time.time()

    @property
    def is_frozen(self) -> bool:
        """Whether only ``advance`` moves this clock."""
        return self._frozen_at is not None

    def now(self) -> float:
        """Read the clock, in seconds since 1970."""
        if self._frozen_at is not None:
            return self._frozen_at
        return time.time() + self._offset_s

    def advance(self, seconds: float) -> None:
        """Move the clock; negative seconds move it back, which makes nothing un-happen."""
        if self._frozen_at is not None:
            self._frozen_at += seconds
        else:
            self._offset_s += seconds

    def freeze(self) -> None:
        """Stand still at the present moment."""
        self._frozen_at = self.now()

    def thaw(self) -> None:
        """Go on from the present moment at the pace of real time."""
        if self._frozen_at is not None:
            self._offset_s = self._frozen_at - time.time()
            self._frozen_at = None


def to_utc(seconds: float) -> datetime:
    """Turn seconds since 1970 into an aware instant."""
    return datetime.fromtimestamp(seconds, tz=UTC)


class Timeline:
    """What is due when; each action is told the moment it was due, not the moment it ran.

    So a clock advanced by an hour gives the same history as an hour of waiting: a job that starts
    because another ended starts at that end.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._moved = asyncio.Event()

    def at(self, when: float, action: Callable[[float], None]) -> None:
        """Do ``action(when)`` once the clock reads ``when`` (seconds since 1970)."""
        heapq.heappush(self._due, (when, next(self._order), action))
        if self._due[0][0] == when:
            self._moved.set()

    def run_due(self) -> None:
        """Do everything that is due, in order; actions may add more."""
        while self._due and self._due[0][0] <= self.clock.now():
            when, _, action = heapq.heappop(self._due)
            action(when)

    def clear(self) -> None:
        """Forget everything that was to come."""
        self._due.clear()

    def touch(self) -> None:
        """Look again at what is due, because the clock was moved."""
        self._moved.set()

    async def run(self) -> None:
        """Keep up with the clock until cancelled."""
        while True:
            self.run_due()
            self._moved.clear()
            wait_s: float | None = None
            if self._due and not self.clock.is_frozen:
                wait_s = max(0.0, self._due[0][0] - self.clock.now())
            try:
                await asyncio.wait_for(self._moved.wait(), wait_s)
            except TimeoutError:
                continue
