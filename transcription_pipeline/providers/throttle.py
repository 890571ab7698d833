"""One token bucket per provider account, shared by everything that calls it.

Pure pacing: it knows no HTTP. The first refusal for haste pauses everybody until the provider's own
instant and lowers the rate; success raises it again, slowly, up to what was configured.
"""

from __future__ import annotations

import asyncio

SLOW_DOWN = 0.75
"""Rate after a refusal: below the true limit in one or two steps wherever that limit lies."""
BURST_S = 0.95
"""A burst is this many seconds' worth: a full second's, sent by two clocks, is one too many."""
RECOVERY_PER_S = 0.005
"""Share of the configured rate won back per second without refusals."""


class Throttle:
    """Lets ``requests_per_s`` through, with bursts of a little less than one second's worth."""

    def __init__(self, requests_per_s: float) -> None:
        self._configured = requests_per_s
        self._rate = requests_per_s
        self._tokens = max(1.0, BURST_S * requests_per_s)
        self._filled_at: float | None = None
        self._paused_until = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Return when one more request may be sent. Callers are served in the order they came."""
        async with self._turn:
            while True:
                now = asyncio.get_running_loop().time()
                self._refill(now)
                if now < self._paused_until:
                    await asyncio.sleep(self._paused_until - now)
                elif self._tokens < 1:
                    await asyncio.sleep((1 - self._tokens) / self._rate)
                else:
                    self._tokens -= 1
                    return

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the provider refused for haste."""
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            # Refusals of requests that were already on their way say nothing new about the rate.
            self._rate = max(0.1, self._rate * SLOW_DOWN)
        self._paused_until = max(self._paused_until, now + seconds)
        self._tokens = 0.0

    def _refill(self, now: float) -> None:
        if self._filled_at is not None:
            passed = max(0.0, now - self._filled_at)
            won_back = self._configured * RECOVERY_PER_S * passed
            self._rate = min(self._configured, self._rate + won_back)
            self._tokens = min(max(1.0, BURST_S * self._rate), self._tokens + passed * self._rate)
        self._filled_at = now
