"""The wait model learns a provider's pace and looks less often, for less lag, than a clock."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.wait_model import MINIMUM_WAIT_S, WARM_AFTER, WaitModel

FIXED_S = 3.0


def make_jobs(
    seed: int, count: int, offset_s: float, ratio: float, spread: float = 0.15
) -> list[tuple[float, float]]:
    """Make (audio seconds, job seconds) of a provider with this pace and a lognormal spread."""
    chance = random.Random(seed)
    jobs = []
    for _ in range(count):
        audio_s = chance.uniform(30, 900)
        jobs.append((audio_s, (offset_s + ratio * audio_s) * math.exp(chance.gauss(0, spread))))
    return jobs


def train(jobs: list[tuple[float, float]]) -> WaitModel:
    """Return a model that has seen these jobs."""
    model = WaitModel()
    for audio_s, took_s in jobs:
        model.learn(audio_s, took_s)
    return model


def watch(model: WaitModel, audio_s: float, took_s: float) -> tuple[int, float]:
    """Look at one job as the model says; return the looks and the lag of the last one."""
    elapsed_s, looks = 0.0, 0
    while elapsed_s < took_s:
        elapsed_s += model.next_look_s(audio_s, elapsed_s)
        looks += 1
    return looks, elapsed_s - took_s


def measure(offset_s: float, ratio: float, spread: float) -> tuple[float, float, float]:
    """Return looks per job and mean lag of a warm model, and the mean job time."""
    model = train(make_jobs(1, 200, offset_s, ratio, spread))
    jobs = make_jobs(2, 1_000, offset_s, ratio, spread)
    watched = [watch(model, audio_s, took_s) for audio_s, took_s in jobs]
    looks = sum(some for some, _ in watched) / len(jobs)
    lag_s = sum(lag for _, lag in watched) / len(jobs)
    took_s = sum(took for _, took in jobs) / len(jobs)
    print(f"\njob {took_s:.1f} s: looks {looks:.2f}, lag {lag_s:.2f} s")
    return looks, lag_s, took_s


def test_it_beats_three_seconds() -> None:
    """For jobs of 20 s it needs at most 0.7 of the looks of a fixed 3 s, at 0.7 of its lag."""
    looks, lag_s, took_s = measure(8.0, 0.03, 0.15)
    assert looks <= 0.7 * (took_s / FIXED_S + 0.5)
    assert lag_s <= 0.7 * FIXED_S / 2


@pytest.mark.parametrize(("offset_s", "ratio"), [(2.0, 0.005), (8.0, 0.03), (5.0, 0.1)])
@pytest.mark.parametrize("spread", [0.15, 0.3])
def test_it_beats_every_fixed_interval(offset_s: float, ratio: float, spread: float) -> None:
    """The fixed interval with the same mean lag needs more than 1.5 times its looks."""
    looks, lag_s, took_s = measure(offset_s, ratio, spread)
    interval_s = 2 * lag_s
    assert 1.5 * looks <= took_s / interval_s + 0.5


def test_it_learns_offset_and_ratio() -> None:
    """After three hundred jobs its prediction is within a tenth of the truth."""
    model = train(make_jobs(3, 300, 4.0, 0.1))
    for audio_s in (60, 300, 900):
        truth = 4.0 + 0.1 * audio_s
        assert model.predict_s(audio_s) * math.exp(model.mean_log) == pytest.approx(truth, rel=0.1)


def test_one_outlier_does_not_spoil_the_spread() -> None:
    """A single job a thousand times too slow moves the prediction by less than a factor of two."""
    jobs = make_jobs(4, 300, 4.0, 0.1)
    calm, shaken = train(jobs), train(jobs)
    shaken.learn(300.0, 340.0 * 10)
    assert shaken.mean_log == pytest.approx(calm.mean_log, abs=0.2)
    assert shaken.spread < 2 * calm.spread


def test_cold_it_follows_the_elapsed_time() -> None:
    """Before it is warm it looks after a fifth of the time that has passed, at least a second."""
    model = train(make_jobs(5, WARM_AFTER - 1, 4.0, 0.1))
    assert model.next_look_s(300.0, 0.0) == 1.0
    assert model.next_look_s(300.0, 100.0) == 20.0


@given(
    st.lists(st.tuples(st.floats(0, 40_000), st.floats(0, 1e6)), max_size=60),
    st.floats(0, 40_000),
    st.floats(0, 1e6),
)
def test_it_always_names_a_sane_wait(
    seen: list[tuple[float, float]], audio_s: float, elapsed_s: float
) -> None:
    """Whatever it has seen, the next look is a finite time away and never a busy loop."""
    wait_s = train(seen).next_look_s(audio_s, elapsed_s)
    assert math.isfinite(wait_s)
    assert wait_s >= MINIMUM_WAIT_S


@given(st.lists(st.tuples(st.floats(0, 40_000), st.floats(0, 1e6)), max_size=60))
def test_it_survives_the_ledger(seen: list[tuple[float, float]]) -> None:
    """Written down and read back it is the same model."""
    model = train(seen)
    assert WaitModel.from_json(model.to_json()) == model


def test_one_slow_job_among_equals_foretells_nothing_for_longer_ones() -> None:
    """Lengths that hardly differ tell no ratio, however steep a line through them would be."""
    model = train([(1.0, 0.05)] * 30 + [(1.01, 1.5)])
    assert model.next_look_s(80.0, 0.0) < 2.0
    assert train([(300.0, 20.0)] * 200 + [(301.0, 90.0)]).next_look_s(3_600.0, 0.0) < 120.0
