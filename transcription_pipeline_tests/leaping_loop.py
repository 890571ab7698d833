"""An event loop whose clock leaps: hours of waiting pass in no time and in exact order.

Only for code without sockets and threads: the clock moves when nothing is ready to run.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TURN_S = 1e-7
"""A turn of a real loop takes time, too: code that waits for its clock to move would spin."""


class _LeapingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nothing will ever happen: every coroutine waits for another")
        self.now += max(_TURN_S, timeout)
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop that, instead of waiting, moves its own clock."""

    def __init__(self) -> None:
        self._leaping = _LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Return the loop's own time in seconds."""
        return self._leaping.now


def run_leaping(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new leaping loop."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(coroutine)
