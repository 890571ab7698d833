"""Plays scenarios side by side, each in a world of its own, and hands out how they ended."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from proof.families import Scenario
from proof.naive import NaiveWorld, judge_naively
from proof.recordings import create_bucket
from proof.verdict import Calm, Outcome, judge, observe_calm
from proof.world import Lane, World, make_empty_ledger

LANES = 4
"""Scenarios at a time: they mostly wait, for a sync, a poll or a dying URL."""

EARLIER = (0, 10, 20)
"""Crossings by which a strike is moved when its run ended before: polls and commits are not the same
number in every run."""


class Theatre:
    """A few lanes over one bucket, and what undisturbed runs came to there."""

    def __init__(self, lanes: list[Lane]) -> None:
        self._lanes: SimpleQueue[Lane] = SimpleQueue()
        for lane in lanes:
            self._lanes.put(lane)
        self._count = len(lanes)
        self._calm: dict[str, Calm] = {}

    def calm(self, provider: str) -> Calm:
        """Return an undisturbed run of a provider, which happens once."""
        if provider not in self._calm:
            with self._lane() as lane, lane.open_world(provider) as world:
                self._calm[provider] = observe_calm(world)
        return self._calm[provider]

    def play(self, scenarios: Iterable[Scenario]) -> Generator[Outcome, None, None]:
        """Play all scenarios; outcomes come as they end, and what has not begun by then may not."""
        threads = ThreadPoolExecutor(self._count)
        try:
            playing = [threads.submit(self.play_one, scenario) for scenario in scenarios]
            for ended in as_completed(playing):
                yield ended.result()
        finally:
            threads.shutdown(cancel_futures=True)

    def play_one(self, scenario: Scenario) -> Outcome:
        """Play one scenario to its end; anew, and struck earlier, where its run was too short."""
        started_at = time.monotonic()
        for earlier in EARLIER:
            outcome = Outcome(
                scenario.family, scenario.provider, scenario.title, is_ours=scenario.is_ours
            )
            with _noting(outcome):
                self._play(scenario, outcome, earlier)
            if outcome.struck or not outcome.strikes or not outcome.is_well:
                break
        outcome.seconds = time.monotonic() - started_at
        return outcome

    def _play(self, scenario: Scenario, outcome: Outcome, earlier: int) -> None:
        calm = self.calm(scenario.provider) if scenario.is_ours else None
        kind = World if scenario.is_ours else NaiveWorld
        with self._lane() as lane, lane.open_world(scenario.provider, kind) as world:
            world.earlier = earlier
            with _noting(outcome):
                scenario.act(world, outcome)
            if isinstance(world, NaiveWorld):
                judge_naively(world, outcome)
            elif calm:
                with _noting(outcome):
                    judge(world, calm, outcome, may_hold=scenario.may_hold)
                outcome.log = "" if outcome.is_well else world.read_log()

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = self._lanes.get()
        try:
            yield lane
        finally:
            self._lanes.put(lane)


@contextmanager
def _noting(outcome: Outcome) -> Iterator[None]:
    """Let what nobody expected count against one scenario, and not end hours of others."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        outcome.lost.append(repr(error))


@contextmanager
def open_theatre(s3: Any, lane_count: int = LANES) -> Iterator[Theatre]:
    """Open a theatre around an S3 server."""
    bucket = create_bucket(s3)
    with ExitStack() as stack:
        ledger = Path(stack.enter_context(TemporaryDirectory())) / "empty.db"
        make_empty_ledger(ledger)
        lanes = [Lane(s3.endpoint_url, bucket, ledger) for _ in range(lane_count)]
        for lane in lanes:
            stack.callback(lane.close)
        yield Theatre(lanes)
