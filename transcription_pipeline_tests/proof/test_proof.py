"""Workers are killed, stopped, ended and multiplied; the provider's invoice is the witness.

The short form of ``python -m proof``: every named crossing for one provider, seeded samples for the
others. What each family does is told in ``proof/families.py``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proof.families import Scenario, kill_at, kill_in_flight, wake_a_zombie, work_together
from proof.naive import PROVIDER as NAIVE
from proof.plan import PAID, PROVIDERS, QUICK, Size, list_naive_scenarios, list_scenarios
from proof.playing import Theatre, open_theatre
from proof.report import Report, name
from proof.verdict import MAY_HOLD, Outcome, find_objection
from proof.world import World
from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.ledger.changes import OpenAttempt, Saw
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    S,
    commit,
    find_job_id,
    make_audio,
    make_move,
    record,
)
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
    """Play scenarios; what the pipeline did wrong, and what did not strike, fails the test by name."""
    report, logs, missed = Report(), [], []
    for outcome in theatre.play(scenarios):
        report.add(outcome)
        logs.append(outcome.log)
        missed += [name(outcome)] if outcome.strikes and not outcome.struck else []
    assert not report.failures, "\n".join(logs)
    assert not missed  # a second strike may find nothing left to do
    assert {o.split(":")[0] for o in report.causes} <= MAY_HOLD
    return report


def test_a_kill_at_every_crossing_loses_and_repeats_nothing(theatre: Theatre) -> None:
    """Whatever was just about to happen or had just happened, the next worker makes it whole."""
    names = theatre.calm(EVERY_CROSSING).crossings
    first = {name: number for number, name in reversed(list(enumerate(names, 1)))}
    assert len(first) > 50
    kills = [Scenario("kill", EVERY_CROSSING, name, kill_at(first[name])) for name in first]
    row = play(theatre, kills).rows["kill", EVERY_CROSSING]
    assert row.scenarios == row.struck == len(first)


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


def test_what_nobody_expected_is_one_scenarios_failure(theatre: Theatre) -> None:
    """An error in one scenario is told as its own, and the others are played."""

    def break_down(_world: World, _outcome: Outcome) -> None:
        raise RuntimeError("broken")

    acts = {"breaks": break_down, "goes on": kill_at(1)}
    played = theatre.play([Scenario("kill", "assemblyai", what, act) for what, act in acts.items()])
    ended = {outcome.title: outcome for outcome in played}
    assert "RuntimeError('broken')" in ended["breaks"].lost
    assert ended["goes on"].is_well


def test_only_what_nobody_can_know_may_be_held(tmp_path: Path) -> None:
    """A person gets what is in doubt, with its name, time and cost; what is known is not in doubt."""
    audio = make_audio(1)
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        record(ledger, audio, wishes={"plaud": {}})
        job_id = find_job_id(ledger, audio, "plaud")
        attempt_id = make_attempt_id(job_id, 1)
        ids, doubt = (attempt_id, job_id, audio.recording_id), "maybe_charged_ask_plaud"
        commit(
            ledger,
            OpenAttempt(*ids, "plaud", 1, AT, reserved_micros=156, currency="USD"),
            make_move(job_id, S.INTENT, S.SENDING, values={"sent_at": AT}),
            make_move(job_id, S.SENDING, S.AMBIGUOUS),
            make_move(job_id, S.AMBIGUOUS, S.HELD, cause=doubt),
        )
        (held,) = ledger.read_jobs()
        assert find_objection(ledger, held) == ""
        for changed in (
            {"provider": "assemblyai"},
            {"cause": None},
            {"cause": "unreadable"},
            {"sent_at": None},
            {"reserved_micros": None},
        ):
            assert find_objection(ledger, held | changed), changed
        commit(ledger, Saw(attempt_id, "accepted", AT, provider_job_id="task-1"))
        assert find_objection(ledger, held) == "held, though known"
