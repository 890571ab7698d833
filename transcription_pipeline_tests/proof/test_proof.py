"""Workers are killed, stopped, ended and multiplied; the provider's invoice is the witness.

The short form of ``python -m proof``: every named crossing for one provider, seeded samples for the
others. What each family does is told in ``proof/families.py``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from proof.families import Scenario, kill_at, kill_in_flight, wake_a_zombie, work_together
from proof.naive import PROVIDER as NAIVE
from proof.plan import PAID, PROVIDERS, QUICK, Size, list_naive_scenarios, list_scenarios
from proof.playing import Theatre, open_theatre
from proof.report import Report
from proof.verdict import MAY_HOLD
from transcription_pipeline_tests.s3_servers import S3Server

SEED = 20261121
EVERY_CROSSING = "assemblyai"
SAMPLE = Size("test", 2, 1, 0, 0, 1, 0, 0, 2, 1, 0)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def theatre(ministack: S3Server) -> Iterator[Theatre]:
    """Lanes with emulators of their own, over one bucket."""
    with open_theatre(ministack) as opened:
        yield opened


def play(theatre: Theatre, scenarios: list[Scenario]) -> Report:
    """Play scenarios; what the pipeline did wrong fails the test by name."""
    report, logs = Report(), []
    for outcome in theatre.play(scenarios):
        report.add(outcome)
        logs.append(outcome.log)
    assert not report.failures, "\n".join(logs)
    assert {o.split(":")[0] for o in report.causes} <= MAY_HOLD
    return report


def test_a_kill_at_every_crossing_loses_and_repeats_nothing(theatre: Theatre) -> None:
    """Whatever was just about to happen or had just happened, the next worker makes it whole."""
    names = theatre.calm(EVERY_CROSSING).crossings
    first = {name: number for number, name in reversed(list(enumerate(names, 1)))}
    assert len(first) > 50
    kills = [Scenario("kill", EVERY_CROSSING, name, kill_at(first[name])) for name in first]
    assert play(theatre, kills).rows["kill", EVERY_CROSSING].scenarios == len(first)


def test_samples_of_every_family_for_every_provider(theatre: Theatre) -> None:
    """Kills, pairs of them, lost answers: one charge each, equal tables."""
    scenarios = []
    for provider in PROVIDERS:
        chance = random.Random(f"{SEED} {provider}")
        scenarios += list_scenarios(provider, theatre.calm(provider), SAMPLE, chance)
    play(theatre, scenarios)


def test_a_kill_while_the_paid_request_is_answered(theatre: Theatre) -> None:
    """The provider took it and will never be heard: found again, or held where nobody can know."""
    scenarios = []
    for provider in PAID:
        number = theatre.calm(provider).requests.index("submit") + 1
        scenarios.append(Scenario("kill in flight", provider, "submit", kill_in_flight(number)))
    report = play(theatre, scenarios)
    held = {provider for (_, provider), row in report.rows.items() if row.held}
    assert {"plaud"} <= held <= {"aitronos", "plaud"}
    assert "plaud: maybe_charged_ask_plaud (charged)" in report.causes


@pytest.mark.parametrize("provider", ["assemblyai", "plaud"])
def test_a_zombie_decides_nothing_and_its_evidence_is_kept(theatre: Theatre, provider: str) -> None:
    """Stopped before its paid request was recorded, overtaken, woken: one charge, and known."""
    number = theatre.calm(provider).crossings.index("provider submit: after") + 1
    play(theatre, [Scenario("zombie", provider, "after submit", wake_a_zombie(number))])


def test_four_workers_on_one_partition(theatre: Theatre) -> None:
    """Started together, one of them killed: each recording is charged once."""
    acts = [work_together(0.0), work_together(0.1, crossing=40)]
    play(theatre, [Scenario("four workers", "scriptivox", "together", act) for act in acts])


def test_the_naive_client_is_caught_paying_twice(theatre: Theatre) -> None:
    """The same kills and lost answers show a client that retries: the harness can fail."""
    report = Report()
    for outcome in theatre.play(list_naive_scenarios(QUICK, random.Random(SEED))):
        report.add(outcome)
    assert report.rows["naive: lost answer", NAIVE].paid_twice >= 4
    assert report.naive_paid_twice > 4
    assert report.is_well  # the pipeline's own rows are empty here
