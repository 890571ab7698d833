"""How many paid requests may be on the wire at once, by what the provider made of the last ones.

It starts low and grows with every accepted job, so that an outage puts few requests into doubt
however many are waiting; each doubt takes one away until the provider accepts something again.
Counts only; ``submitting.py`` sends, and tells here what came of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_FIRST = 3
"""On the wire before anything was accepted; also the doubts in a row after which nothing is sent."""


class Trust:
    """The way through which paid requests go, first come first served."""

    def __init__(self, most: int, at_first: int = AT_FIRST) -> None:
        self._most = most
        self._allowed = self._patience = min(at_first, most)
        """``_patience``: so many doubts in a row are too many."""
        self._sending = 0
        self._doubts = 0
        self._is_open_to_all = False
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def is_lost(self) -> bool:
        """Whether so many answers in a row were lost that the provider is better left alone."""
        return self._doubts >= min(self._patience, self._allowed)

    @asynccontextmanager
    async def one_request(self) -> AsyncIterator[None]:
        """Hold one of the places for the length of the block."""
        if not self._has_room() or self._queue:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self._sending += 1
        try:
            yield
        finally:
            self._leave()

    def gain(self) -> None:
        """Something was accepted: forget the doubts and allow one more."""
        self._doubts = 0
        self._patience = min(AT_FIRST, self._most)
        self._allowed = min(self._most, self._allowed + 1)
        self._admit()

    def lose(self) -> None:
        """An answer was lost."""
        self._doubts += 1

    def let_all_through(self) -> None:
        """Hold nobody back: nothing is sent any more, and each who waits shall find out."""
        self._is_open_to_all = True
        self._admit()

    def _has_room(self) -> bool:
        return self._is_open_to_all or self._sending < self._allowed - self._doubts

    def _leave(self) -> None:
        self._sending -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._has_room():
            turn = self._queue.popleft()
            if not turn.done():
                self._sending += 1
                turn.set_result(None)
