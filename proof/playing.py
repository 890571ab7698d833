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
        """Play one scenario to its end."""
        outcome = Outcome(
            scenario.family, scenario.provider, scenario.title, is_ours=scenario.is_ours
        )
        calm = self.calm(scenario.provider) if scenario.is_ours else None
        kind = World if scenario.is_ours else NaiveWorld
        started_at = time.monotonic()
        with self._lane() as lane, lane.open_world(scenario.provider, kind) as world:
            try:
                scenario.act(world, outcome)
            except TimeoutError as error:
                outcome.lost.append(str(error))
            if isinstance(world, NaiveWorld):
                judge_naively(world, outcome)
            elif calm:
                judge(world, calm, outcome)
                outcome.log = "" if outcome.is_well else world.read_log()
        outcome.seconds = time.monotonic() - started_at
        return outcome

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = self._lanes.get()
        try:
            yield lane
        finally:
            self._lanes.put(lane)


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
