"""One account's pace: never faster than the rate, never during a pause, slower after a refusal."""

from __future__ import annotations

import asyncio

import pytest

from transcription_pipeline.providers.throttle import BURST_S, SLOW_DOWN, Throttle
from transcription_pipeline_tests.leaping_loop import run_leaping


async def pass_many(throttle: Throttle, count: int) -> list[float]:
    """Let so many requests through and return when each went, from now on."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    times: list[float] = []

    async def one() -> None:
        await throttle.wait()
        times.append(loop.time() - start)

    await asyncio.gather(*(one() for _ in range(count)))
    return times


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0, 66.0])
def test_the_rate_is_kept(rate: float) -> None:
    """After a burst of one second's worth requests go at the configured rate."""
    times = run_leaping(pass_many(Throttle(rate), 300))
    burst = max(1.0, BURST_S * rate)
    assert sum(t < 1e-6 for t in times) <= burst
    assert times[-1] == pytest.approx((300 - burst) / rate, rel=0.01)


def test_callers_are_served_in_order() -> None:
    """Who came first goes first."""

    async def run() -> list[int]:
        throttle, served = Throttle(2.0), []

        async def one(number: int) -> None:
            await throttle.wait()
            served.append(number)

        await asyncio.gather(*(one(n) for n in range(50)))
        return served

    assert run_leaping(run()) == list(range(50))


def test_a_pause_stops_everybody() -> None:
    """After a refusal nothing goes until the provider's instant, not even who already waits."""

    async def run() -> list[float]:
        throttle = Throttle(10.0)
        await pass_many(throttle, 10)
        waiting = asyncio.create_task(pass_many(throttle, 20))
        await asyncio.sleep(0.05)
        throttle.pause(30.0)
        return await waiting

    assert min(run_leaping(run())) >= 30.0


def test_a_refusal_slows_down_once() -> None:
    """Refusals of requests that were on their way together lower the rate one step, not many."""

    async def measure(refusals: int) -> float:
        throttle = Throttle(10.0)
        for _ in range(refusals):
            throttle.pause(5.0)
        await pass_many(throttle, 1)
        times = await pass_many(throttle, 100)
        return 90 / (times[-1] - times[9])

    # It wins back a little while it is measured.
    once = run_leaping(measure(1))
    assert 10 * SLOW_DOWN <= once <= 11 * SLOW_DOWN
    assert run_leaping(measure(50)) == pytest.approx(once)


def test_the_rate_comes_back() -> None:
    """An hour without refusals restores the configured rate, and no more than that."""

    async def run() -> float:
        throttle = Throttle(10.0)
        await throttle.wait()
        throttle.pause(1.0)
        await asyncio.sleep(3_600)
        times = await pass_many(throttle, 210)
        return 200 / (times[-1] - times[9])

    assert run_leaping(run()) == pytest.approx(10.0, rel=0.01)


def test_a_cancelled_caller_blocks_nobody() -> None:
    """Whoever stops waiting leaves its place to the next."""

    async def run() -> list[float]:
        throttle = Throttle(1.0)
        waiting = [asyncio.create_task(throttle.wait()) for _ in range(5)]
        await asyncio.sleep(0.5)
        for task in waiting[1:]:
            task.cancel()
        return await pass_many(throttle, 2)

    assert run_leaping(run()) == pytest.approx([0.5, 1.5])
