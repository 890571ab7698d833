"""Stories nobody thought of: any order of arrivals, faults, deaths, leaps of time and decisions.

The model is small: which versions of which keys lie in the bucket, and what a person allowed. What
may be believed is not modelled but witnessed (``witness.py``): the emulated provider's own jobs and
invoice, the ledger's file, the files of the lake. Everything between is the product: SQLite, a lake
folder, an S3 server, HTTP over a socket; a death is an exception after which nothing more of that
worker reaches the outside. URLs are not verified by that S3 server, so a dead one is still served:
the world is harsher than life, and only ever tempts to pay twice.

In the end faults stop and time passes until nothing is in progress: every recording is published
and charged once, held where nobody can know, or failed or put aside with its cause.
``STATE_MACHINE_EXAMPLES`` plays so many stories per provider instead of a few, new ones each time.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from proof.crossings import Watched
from proof.worker import watch
from transcription_pipeline import pipeline
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import AuthenticationFailed, LeaseLost
from transcription_pipeline.tools import Tools
from transcription_pipeline_tests.engine.scene import LIMITS
from transcription_pipeline_tests.engine.scenes import PAID, run_emulator
from transcription_pipeline_tests.proof.outside import (
    HOUR_S,
    KEYS,
    LOOKS,
    NOT_TAKEN,
    QUICK,
    TAKEN,
    TOLD,
    Outside,
)
from transcription_pipeline_tests.s3_servers import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200)]

_EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "0"))
STORIES = settings(
    max_examples=_EXAMPLES or 2,
    stateful_step_count=24 if _EXAMPLES else 14,
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    # Making a story shorter takes minutes: only where there is time.
    phases=[Phase.generate, *([Phase.shrink] if _EXAMPLES else [])],
    suppress_health_check=list(HealthCheck),
)
LEDGER = (
    "acquire_lease",
    "close_gate",
    "commit",
    "raise_epoch",
    "record_recordings",
    "release_lease",
    "renew_lease",
    "save_wait_model",
)
"""The ledger's writes: each is a crossing before and after."""
CROSSINGS = 90
"""About as many as a worker with two recordings makes."""
STALL_S = 2 * LIMITS.lease_s


class Killed(BaseException):
    """The worker is dead."""


class Strike:
    """Counts where a worker crosses into the outside, and strikes at one crossing."""

    def __init__(self, at: int, act: Callable[[Strike], None]) -> None:
        self._at = at
        self._act = act
        self._count = 0
        self._lock = threading.Lock()
        self.is_dead = False

    def cross(self, name: str) -> None:
        """Be here; a dead worker comes no further."""
        with self._lock:
            self._count += 1
            strikes = self._count == self._at
        if strikes:
            self._act(self)
        if self.is_dead:
            raise Killed(name)

    def watch(self, tools: Tools) -> Tools:
        """Return the same tools with every way out counted."""
        watched = watch(tools, self)  # type: ignore[arg-type]
        ledger: Any = Watched(tools.ledger, "ledger", LEDGER, self)  # type: ignore[arg-type]
        return replace(watched, ledger=ledger)


class Stories(Outside):
    """Everything that happens outside, and the workers."""

    def __init__(self, *world: Any) -> None:
        super().__init__(*world)
        self.is_well = True
        self._cancel: Callable[[], object] = lambda: None
        """Asks the run that began last to end."""

    # -- who works ---------------------------------------------------------------------------------

    @rule()
    def work(self) -> None:
        """One worker goes through what is due."""
        self._transcribe(self.scene.tools)

    @rule(key=KEYS, fault=st.sampled_from(TAKEN + NOT_TAKEN), nth=st.integers(1, 2))
    def lose_an_answer(self, key: str, fault: dict[str, Any], nth: int) -> None:
        """A recording comes, and the answer to its paid request, or the next one, is lost."""
        self.put(key, is_seen=True)
        self.scene.emulator.set_faults({"operation": "submit", "nth": nth, **fault})
        self.work()

    @rule(key=KEYS, fault=st.sampled_from(TOLD), times=st.integers(1, 3))
    def be_refused(self, key: str, fault: dict[str, Any], times: int) -> None:
        """A recording comes, and paid requests are refused for now, or their jobs fail."""
        self.put(key, is_seen=True)
        self.scene.emulator.set_faults({"operation": "submit", "times": times, **fault})
        self.work()

    @rule(
        fault=st.sampled_from(LOOKS),
        operation=st.sampled_from(["get", "list", "*"]),
        times=st.integers(1, 4),
    )
    def look_in_vain(self, fault: dict[str, Any], operation: str, times: int) -> None:
        """A few looks go wrong, or whatever is asked first."""
        self.scene.emulator.set_faults({"operation": operation, "times": times, **fault})
        self.work()

    @rule()
    def work_alone(self) -> None:
        """The provider cannot be reached: nothing is sent."""
        tools = self.scene.tools
        self.scene.use(base_url="http://127.0.0.1:9", patience=QUICK)
        self.scene.limit(window_s=0.5)
        self.work()
        self.scene.tools = tools

    @rule()
    def work_together(self) -> None:
        """Two workers at once."""
        with ThreadPoolExecutor(2) as workers:
            list(workers.map(self._transcribe, [self.scene.tools] * 2))

    @rule(key=KEYS, crossing=st.integers(1, CROSSINGS))
    def die(self, key: str, crossing: int) -> None:
        """A worker is dead from one crossing on."""

        def kill(strike: Strike) -> None:
            strike.is_dead = True

        self._carry(key, Strike(crossing, kill))

    @rule(key=KEYS, crossing=st.integers(1, CROSSINGS))
    def be_overtaken(self, key: str, crossing: int) -> None:
        """A worker stands still at one crossing until its lease has lapsed and another has worked."""
        # Left when both are done: a run that lost its lease does not wait for its threads.
        with ThreadPoolExecutor(1) as other:

            def stand_still(_: Strike) -> None:
                self.scene.pass_time(STALL_S)
                other.submit(self._transcribe, self.scene.tools).result()

            self._carry(key, Strike(crossing, stand_still))

    @rule(key=KEYS, crossing=st.integers(1, CROSSINGS))
    def be_cancelled(self, key: str, crossing: int) -> None:
        """A run is asked to end at one crossing."""

        def ask(_: Strike) -> None:
            with suppress(RuntimeError):  # it is over by now
                self._cancel()

        self._carry(key, Strike(crossing, ask))

    @rule()
    def write_tables(self) -> None:
        """Publish what is stored; made anew from all raw answers, the rows are the same."""
        self._write(self.scene.tools)
        rows = self.witness.read_tables()
        self._write(self.scene.tools, is_rebuild=True)
        assert self.witness.read_tables() == rows, "I7: a rebuild gave other rows"

    def _days(self) -> list[str]:
        return [day for day, _ in self.scene.tools.ledger.list_partitions()]

    def _carry(self, key: str, strike: Strike) -> None:
        """Let a recording come, and one worker do everything there is to do."""
        self.put(key, is_seen=False)
        tools = strike.watch(self.scene.tools)
        with suppress(Killed):
            pipeline.discover(tools)
            self._transcribe(tools)
            self._write(tools)

    def _transcribe(self, tools: Tools) -> None:
        async def run(day: str) -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            self._cancel = partial(loop.call_soon_threadsafe, task.cancel)
            await pipeline.transcribe(tools, day, self.scene.provider)

        for day in self._days():
            with suppress(AuthenticationFailed, LeaseLost, Killed, asyncio.CancelledError):
                asyncio.run(run(day))

    def _write(self, tools: Tools, *, is_rebuild: bool = False) -> None:
        for day in self._days():
            pipeline.write(tools, day, self.scene.provider, is_rebuild=is_rebuild)

    # -- what must be true -------------------------------------------------------------------------

    @invariant()
    def books_agree(self) -> None:
        """The invariants of the failure model."""
        self.is_well = False
        self.witness.check()
        self.is_well = True

    def teardown(self) -> None:
        """Let all end well, and judge."""
        with self.place:
            if self.is_well:
                self._let_all_end()
                self.witness.check()
                self.witness.judge(set(self.present.values()), self.gone)

    def _let_all_end(self) -> None:
        self.calm_down()
        self.discover()
        for wait_s in (0.0, 31.0, STALL_S, 601.0, 961.0, *[HOUR_S] * 30):
            self.scene.pass_time(wait_s)
            self.work()
            self._write(self.scene.tools)
            if not self.scene.tools.ledger.read_jobs(state="in_progress"):
                break
        self.write_tables()


@pytest.fixture(scope="module", params=PAID)
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """One running emulator of each paid provider, which fetches what it is given."""
    with run_emulator(request.param) as server:
        server.configure(fetch_audio=True)
        yield server


def test_a_request_that_never_left_fences_nothing(
    emulator: EmulatorServer, moto: S3Server, tmp_path: Path
) -> None:
    """Nobody has the URL of a request that found no connection: a new attempt need not wait."""
    story = Stories(emulator, emulator.control("settings"), moto, tmp_path)
    story.put("a", is_seen=True)
    story.work_alone()
    story.put("a", is_seen=False)
    story.pass_time(31)
    story.work()
    assert {job["cause"] for job in story.scene.tools.ledger.read_jobs()} == {"source_gone"}
    story.retry()
    story.work()
    assert len(story.witness.read("attempts", "number")) == 2
    story.books_agree()
    story.teardown()


def test_no_story_pays_twice_or_loses(
    emulator: EmulatorServer, moto: S3Server, tmp_path: Path
) -> None:
    """Whatever happens in whatever order: one charge each, and an end with a cause."""
    calm = emulator.control("settings")
    run_state_machine_as_test(partial(Stories, emulator, calm, moto, tmp_path), settings=STORIES)
