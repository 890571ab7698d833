"""Watching many jobs: each is reported once, soon, and with few requests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.errors import AuthenticationFailed, ProviderUnavailable
from transcription_pipeline.providers.base import (
    AudioDelivery,
    Capabilities,
    Observation,
    Phase,
    Survey,
)
from transcription_pipeline.providers.watch import SECOND_LOOK_S, Watch
from transcription_pipeline_tests.leaping_loop import run_leaping


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Office:
    """A provider that works in this process: its jobs end at instants of the loop's clock."""

    ends_at: dict[str, float] = field(default_factory=dict)
    has_list: bool = True
    unlisted: frozenset[str] = frozenset()
    """Jobs that the list does not show, though they run."""
    failing_until: float = 0.0
    looks: dict[str, list[float]] = field(default_factory=dict)
    surveys: list[float] = field(default_factory=list)
    is_closed_to_us: bool = False

    @property
    def capabilities(self) -> Capabilities:
        """Say whether there is a list."""
        return Capabilities((AudioDelivery.URL,), frozenset(), has_list=self.has_list)

    def _tell(self, job: str) -> Observation:
        if job not in self.ends_at:
            return Observation(job, Phase.UNKNOWN_JOB, "unknown")
        if _now() < self.ends_at[job]:
            return Observation(job, Phase.RUNNING, "processing")
        if job.startswith("bad"):
            return Observation(job, Phase.FAILED, "error", "provider_error")
        return Observation(job, Phase.COMPLETED, "completed")

    def _answer(self) -> None:
        if self.is_closed_to_us:
            raise AuthenticationFailed("no", provider="office", operation="look")
        if _now() < self.failing_until:
            raise ProviderUnavailable("down", provider="office", operation="look")

    async def observe(self, job: str) -> Observation:
        """Look at one job."""
        self.looks.setdefault(job, []).append(_now())
        await asyncio.sleep(0.01)
        self._answer()
        return self._tell(job)

    async def survey(self, running: Collection[str]) -> Survey:
        """Show every job but the unlisted ones."""
        self.surveys.append(_now())
        await asyncio.sleep(0.01)
        self._answer()
        seen = {job: self._tell(job) for job in running if job not in self.unlisted}
        return Survey(seen, frozenset(running) - seen.keys())

    @property
    def request_count(self) -> int:
        """Requests of every kind."""
        return len(self.surveys) + sum(len(looks) for looks in self.looks.values())


def watch_all(
    office: Office, durations_s: dict[str, float], model: WaitModel | None = None
) -> dict[str, tuple[Phase, float]]:
    """Watch jobs that end after so long; return what was seen of each, and how late."""

    async def run() -> dict[str, tuple[Phase, float]]:
        start = _now()
        office.ends_at |= {job: start + s for job, s in durations_s.items() if s >= 0}
        if office.failing_until:
            office.failing_until += start
        watch = Watch(office, model or WaitModel())  # type: ignore[arg-type]
        for job in durations_s:
            watch.add(job, audio_ms=60_000)
        watch.close()
        found: dict[str, tuple[Phase, float]] = {}
        async for seen in watch.observations():
            assert seen.provider_job_id not in found
            late_s = _now() - office.ends_at.get(seen.provider_job_id, start)
            found[seen.provider_job_id] = (seen.phase, late_s)
        return found

    return run_leaping(run())


def test_with_a_list() -> None:
    """Two hundred jobs are all seen within a second of their end, for a fraction of the requests."""
    jobs = {f"job{n}": 5 + n / 5 for n in range(200)}
    office = Office()
    found = watch_all(office, jobs)
    assert found.keys() == jobs.keys()
    lags = [late_s for _, late_s in found.values()]
    print(f"\n{office.request_count / 200:.2f} requests per job, lag {sum(lags) / 200:.2f} s")
    assert max(lags[:150]) <= 1.0
    assert office.request_count <= 200
    assert {phase for phase, _ in found.values()} == {Phase.COMPLETED}


@pytest.mark.parametrize("count", [1, 5, 40])
def test_without_a_list(count: int) -> None:
    """Where there is no list each job is looked at by itself, at growing intervals, to its end."""
    jobs = {f"job{n}": 30.0 + n for n in range(count)}
    office = Office(has_list=False)
    found = watch_all(office, jobs)
    assert found.keys() == jobs.keys()
    assert office.surveys == []
    assert max(late_s for _, late_s in found.values()) <= 10.0
    assert office.request_count <= 20 * count


def test_few_jobs_need_no_list() -> None:
    """Below ten jobs the list is not asked, though there is one."""
    office = Office()
    watch_all(office, {f"job{n}": 10.0 for n in range(9)})
    assert office.surveys == []


def test_what_became_of_a_job_is_told() -> None:
    """Failed and unknown jobs are reported as such."""
    jobs = {f"bad{n}": 2.0 for n in range(6)} | {f"job{n}": 3.0 for n in range(6)} | {"gone": -1.0}
    found = watch_all(Office(), jobs)
    assert found["bad1"][0] is Phase.FAILED
    assert found["job1"][0] is Phase.COMPLETED
    assert found["gone"][0] is Phase.UNKNOWN_JOB


@pytest.mark.parametrize("has_list", [True, False])
def test_looks_that_fail_move_nothing(has_list: bool) -> None:
    """While the provider is down nothing is reported; afterwards everything is, soon."""
    office = Office(has_list=has_list, failing_until=120.0)
    found = watch_all(office, {f"job{n}": 10.0 for n in range(30)})
    assert {phase for phase, _ in found.values()} == {Phase.COMPLETED}
    assert len(found) == 30
    assert all(110 <= late_s <= 120 for _, late_s in found.values())
    assert office.request_count <= 30 * 120 / SECOND_LOOK_S + 400


def test_a_straggler_gets_a_look_every_two_seconds() -> None:
    """A job that the list does not show is looked at by itself, but not at every list."""
    jobs = {f"job{n}": 60.0 for n in range(30)}
    office = Office(unlisted=frozenset({"job7"}))
    found = watch_all(office, jobs)
    assert found["job7"][1] <= SECOND_LOOK_S + 1.0
    looks = office.looks["job7"]
    assert len(looks) >= 10
    assert all(b - a >= SECOND_LOOK_S - 1e-6 for a, b in itertools.pairwise(looks))
    assert set(office.looks) <= {"job7"}


def test_refused_credentials_end_the_watch() -> None:
    """Without the right to look there is nothing to wait for."""
    with pytest.raises(AuthenticationFailed):
        watch_all(Office(is_closed_to_us=True), {"job": 1.0})


def test_it_learns_from_what_it_saw() -> None:
    """Jobs that were watched to their end teach the model; one that ended long before does not."""
    model = WaitModel()
    watch_all(Office(), {f"job{n}": 20.0 for n in range(30)}, model)
    assert model.count == 30
    assert model.predict_s(60.0) == pytest.approx(20.0, abs=1.0)

    async def resume() -> None:
        office = Office({"old": _now() - 3_000})
        watch = Watch(office, model)  # type: ignore[arg-type]
        watch.add("old", audio_ms=60_000, elapsed_s=4_000)
        watch.close()
        assert [o.provider_job_id async for o in watch.observations()] == ["old"]

    run_leaping(resume())
    assert model.count == 30


def test_jobs_may_come_later() -> None:
    """A watch without jobs waits for the first, and one added meanwhile is seen, too."""

    async def run() -> list[str]:
        office = Office({"first": _now() + 3, "second": _now() + 9})
        watch = Watch(office, WaitModel())  # type: ignore[arg-type]

        async def add() -> None:
            await asyncio.sleep(1)
            watch.add("first", audio_ms=None)
            await asyncio.sleep(5)
            watch.add("second", audio_ms=None)
            watch.close()

        adding = asyncio.create_task(add())
        found = [seen.provider_job_id async for seen in watch.observations()]
        await adding
        return found

    assert run_leaping(run()) == ["first", "second"]


def test_a_closed_watch_without_jobs_ends() -> None:
    """Nothing to watch and nothing to come is the end, before or after the wait began."""

    async def run() -> int:
        watch = Watch(Office(), WaitModel())  # type: ignore[arg-type]
        asyncio.get_running_loop().call_later(5, watch.close)
        return len([seen async for seen in watch.observations()])

    assert run_leaping(run()) == 0
