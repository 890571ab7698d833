"""Attempts: one live at a time, legal moves only, evidence always."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from transcription_pipeline.domain.job import (
    DEAD_STATES,
    AttemptState,
    JobState,
    is_legal_move,
    make_attempt_id,
)
from transcription_pipeline.errors import BudgetExceeded, IllegalTransition, LedgerError
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.changes import Postpone, Refuse, Saw
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    DAY,
    PROVIDER,
    S,
    after,
    commit,
    count_written,
    make_audio,
    make_move,
    make_opening,
    make_path,
    plan_jobs,
    race,
)

HAPPY = [S.INTENT, S.SENDING, S.ACCEPTED, S.COMPLETED, S.STORED, S.PUBLISHED]
ROUTE = {
    S.ABANDONED: [S.INTENT, S.ABANDONED],
    S.REJECTED: [S.INTENT, S.SENDING, S.REJECTED],
    S.FAILED: [S.INTENT, S.SENDING, S.ACCEPTED, S.FAILED],
    S.AMBIGUOUS: [S.INTENT, S.SENDING, S.AMBIGUOUS],
    S.HELD: [S.INTENT, S.SENDING, S.AMBIGUOUS, S.HELD],
    S.BAD_RESULT: [S.INTENT, S.SENDING, S.ACCEPTED, S.COMPLETED, S.BAD_RESULT],
    **{state: HAPPY[: place + 1] for place, state in enumerate(HAPPY)},
}


def bring_to(ledger: Ledger, job_id: str, state: AttemptState) -> None:
    """Open a job's first attempt and move it to a state."""
    path = ROUTE[state]
    moves = [make_move(job_id, a, b) for a, b in pairwise(path)]
    assert ledger.commit([make_opening(job_id), *moves]) == [None] * len(path)


def test_only_legal_moves_are_written(ledger: Ledger) -> None:
    """Of all pairs of states exactly the legal moves change an attempt; the rest are refused."""
    pairs = list(product(AttemptState, AttemptState))
    jobs = plan_jobs(ledger, len(pairs))
    for job_id, (before, _) in zip(jobs, pairs, strict=True):
        bring_to(ledger, job_id, before)
    moves = [make_move(job_id, a, b) for job_id, (a, b) in zip(jobs, pairs, strict=True)]
    refusals = ledger.commit(moves)
    assert [refusal is None for refusal in refusals] == [is_legal_move(a, b) for a, b in pairs]
    assert all(isinstance(refusal, IllegalTransition) for refusal in refusals if refusal)
    states = {row["job_id"]: row["attempt_state"] for row in ledger.read_jobs()}
    for job_id, (a, b) in zip(jobs, pairs, strict=True):
        assert states[job_id] == (b if is_legal_move(a, b) else a)


def test_a_stale_belief_is_refused(ledger: Ledger) -> None:
    """A move from a state the attempt has left is refused and says what was found."""
    (job_id,) = plan_jobs(ledger, 1)
    bring_to(ledger, job_id, S.ACCEPTED)
    (refusal,) = ledger.commit([make_move(job_id, S.SENDING, S.REJECTED)])
    assert isinstance(refusal, IllegalTransition)
    assert refusal.found == "accepted"


def test_the_database_itself_refuses_a_second_live_attempt(ledger: Ledger) -> None:
    """Past every check of ours: an index is what a job's one live attempt hangs on."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, make_opening(job_id))
    with ledger._engine.begin() as connection:
        live = dict(connection.execute(select(schema.attempts)).one()._mapping)
    with pytest.raises(IntegrityError), ledger._engine.begin() as connection:
        connection.execute(insert(schema.attempts), [{**live, "attempt_id": "other", "number": 2}])


def test_the_rest_of_the_group_stands(ledger: Ledger) -> None:
    """One refused change does not take the others of its group with it."""
    first, second, third = plan_jobs(ledger, 3)
    refusals = ledger.commit(
        [
            make_opening(first),
            make_move(second, S.INTENT, S.SENDING),
            make_opening(third),
            make_move(third, S.INTENT, S.SENDING, values={"no_such_column": 1}),
            make_move(first, S.INTENT, S.SENDING),
        ]
    )
    assert [type(refusal) for refusal in refusals] == [
        type(None),
        IllegalTransition,
        type(None),
        LedgerError,
        type(None),
    ]
    states = {row["job_id"]: row["attempt_state"] for row in ledger.read_jobs()}
    assert states == {first: "sending", second: None, third: "intent"}


def test_a_value_the_database_cannot_hold(ledger: Ledger) -> None:
    """An integer beyond 64 bits is refused alone; the others of its group are written."""
    first, second = plan_jobs(ledger, 2)
    commit(ledger, *make_path(first, S.SENDING), *make_path(second, S.SENDING))
    refusals = ledger.commit(
        [
            make_move(first, S.SENDING, S.ACCEPTED, values={"cost_micros": 2**70}),
            make_move(second, S.SENDING, S.ACCEPTED, values={"provider_job_id": "p2"}),
        ]
    )
    assert isinstance(refusals[0], LedgerError)
    assert refusals[1] is None


def test_no_text_costs_a_paid_job(ledger: Ledger) -> None:
    """NUL and lone surrogates in a provider's words are replaced, never a reason to refuse."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, *make_path(job_id, S.SENDING))
    attempt_id = make_attempt_id(job_id, 1)
    odd = "a\0b\ud800c"
    commit(
        ledger,
        Saw(attempt_id, "submitted", AT, "p1", detail=odd),
        make_move(job_id, S.SENDING, S.ACCEPTED, detail=odd, values={"provider_job_id": "p1"}),
        Postpone(job_id, after(hours=1), odd, AT),
    )
    assert ledger.find_evidence_of_acceptance(attempt_id) == "p1"
    assert ledger.get_job(job_id).cause == "a\ufffdb?c"


def test_one_live_attempt(ledger: Ledger) -> None:
    """While an attempt lives, in any state, its job gets no second one; a dead one frees it."""
    states = list(AttemptState)
    jobs = plan_jobs(ledger, len(states))
    for job_id, state in zip(jobs, states, strict=True):
        bring_to(ledger, job_id, state)
    refusals = ledger.commit([make_opening(job_id, 2) for job_id in jobs])
    for state, refusal in zip(states, refusals, strict=True):
        assert (refusal is None) is (state in DEAD_STATES)


def test_racing_writers_open_one_attempt(ledger: Ledger, ledger_url: str) -> None:
    """Of eight writers that open an attempt for the same jobs, each job lets one through."""
    jobs = plan_jobs(ledger, 10)
    ledgers = [Ledger.open(ledger_url) for _ in range(8)]
    outcomes = race(
        8,
        lambda n: ledgers[n].commit([make_opening(job, n + 1) for job in jobs[n:] + jobs[:n]]),
    )
    assert count_written(outcomes) == 10
    attempts = ledger.list_attempts(DAY, PROVIDER, list(AttemptState))
    assert sorted(a.job_id for a in attempts) == sorted(jobs)
    for opened in ledgers:
        opened.close()


def test_a_provider_job_belongs_to_one_attempt(ledger: Ledger) -> None:
    """A second attempt that claims the same provider job is refused; others of its group stand."""
    first, second, third = plan_jobs(ledger, 3)
    commit(ledger, *(c for job in (first, second, third) for c in make_path(job, S.SENDING)))
    claim = {"values": {"provider_job_id": "p1"}}
    commit(ledger, make_move(first, S.SENDING, S.ACCEPTED, **claim))
    refusals = ledger.commit(
        [
            make_move(third, S.SENDING, S.ACCEPTED, values={"provider_job_id": "p3"}),
            make_move(second, S.SENDING, S.ACCEPTED, **claim),
        ]
    )
    assert refusals[0] is None
    assert isinstance(refusals[1], LedgerError)


def test_a_published_attempt_has_its_whole_history(ledger: Ledger) -> None:
    """Every move leaves a row, in order, also when all of them came in one group."""
    (job_id,) = plan_jobs(ledger, 1)
    assert ledger.commit(make_path(job_id, S.PUBLISHED)) == [None] * len(HAPPY)
    trail = ledger.read_history("recording")  # what the scenario's attempts are attempts at
    assert [row["from_state"] for row in trail] == HAPPY[:-1]
    assert [row["to_state"] for row in trail] == HAPPY[1:]
    (job,) = ledger.read_jobs()
    assert (job["state"], job["attempt_count"]) == ("published", 1)


def test_values_set_stay_set(ledger: Ledger) -> None:
    """A later move that does not name a column leaves what an earlier one wrote."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(
        ledger,
        *make_path(job_id, S.SENDING),
        make_move(
            job_id,
            S.SENDING,
            S.ACCEPTED,
            values={"provider_job_id": "p1", "accepted_at": after(seconds=1)},
        ),
        make_move(job_id, S.ACCEPTED, S.COMPLETED, values={"provider_job_id": None}),
    )
    (attempt,) = ledger.list_attempts(DAY, PROVIDER, [S.COMPLETED])
    assert attempt.provider_job_id == "p1"
    assert attempt.accepted_at == after(seconds=1)


def test_a_refused_recording_fails_without_attempt(ledger: Ledger) -> None:
    """A job the provider cannot take fails, with its cause, and nothing was spent."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, Refuse(job_id, "too_long", AT))
    job = ledger.get_job(job_id)
    assert (job.state, job.cause) == (JobState.FAILED, "too_long")
    assert ledger.list_work(DAY, PROVIDER, AT) == []


CAP = 1_000


def test_the_cap_counts_reservations_and_costs(ledger: Ledger) -> None:
    """An attempt counts with what it reserved, then with what it cost; a dead one frees the rest."""
    jobs = plan_jobs(ledger, 5)

    def spend(job_id: str, micros: int, at_hour: float = 0) -> bool:
        opening = make_opening(
            job_id, at=after(hours=at_hour), reserved_micros=micros, cap_micros=CAP
        )
        (refusal,) = ledger.commit([opening])
        assert refusal is None or isinstance(refusal, BudgetExceeded)
        return refusal is None

    assert spend(jobs[0], 600)
    assert not spend(jobs[1], 401)
    commit(
        ledger,
        make_move(jobs[0], S.INTENT, S.SENDING),
        make_move(jobs[0], S.SENDING, S.ACCEPTED, values={"cost_micros": 300}),
    )
    assert spend(jobs[1], 700)
    assert not spend(jobs[2], 1)
    commit(ledger, make_move(jobs[1], S.INTENT, S.ABANDONED))
    assert spend(jobs[2], 700)
    assert not spend(jobs[3], 1)
    commit(ledger, make_move(jobs[0], S.ACCEPTED, S.FAILED))
    assert not spend(jobs[3], 1), "a failed attempt that was charged still counts"
    assert spend(jobs[4], CAP, at_hour=24), "the next day has its own budget"


def test_the_cap_holds_under_concurrency(ledger: Ledger, ledger_url: str) -> None:
    """Eight writers with ten attempts each never reserve more than the cap together."""
    writers = 8
    jobs = plan_jobs(ledger, writers * 10)
    ledgers = [Ledger.open(ledger_url) for _ in range(writers)]

    def spend(number: int) -> list[LedgerError | None]:
        mine = jobs[number::writers]
        return [
            refusal
            for job_id in mine
            for refusal in ledgers[number].commit(
                [make_opening(job_id, reserved_micros=100, cap_micros=CAP)]
            )
        ]

    outcomes = race(writers, spend)
    assert count_written(outcomes) == 10
    for opened in ledgers:
        opened.close()


def test_the_cap_holds_inside_a_group(ledger: Ledger) -> None:
    """A group that exceeds the cap is let through up to it, in order."""
    jobs = plan_jobs(ledger, 15)
    refusals = ledger.commit([make_opening(j, reserved_micros=100, cap_micros=CAP) for j in jobs])
    assert [refusal is None for refusal in refusals] == [True] * 10 + [False] * 5


def test_a_route_has_a_budget_of_its_own_beside_the_provider_s(ledger: Ledger) -> None:
    """What one route took is gone for it alone; what all took is gone for every one."""
    jobs = plan_jobs(ledger, 6)
    money = {"reserved_micros": 400, "cap_micros": CAP}

    def spend(job_id: str, route: str | None, cap: int | None = None) -> bool:
        opening = make_opening(job_id, route=route, route_cap_micros=cap, **money)
        (refusal,) = ledger.commit([opening])
        assert refusal is None or "micros are taken" in str(refusal)
        return refusal is None

    assert spend(jobs[0], "calls/**", 500)
    assert not spend(jobs[1], "calls/**", 500), "the route's is too small"
    assert spend(jobs[2], "meetings/**", 500)
    assert not spend(jobs[3], "interviews/**", 500), "the provider's is too small"
    assert not spend(jobs[4], None)
    grouped = [make_opening(jobs[5], route="calls/**", route_cap_micros=800, reserved_micros=400)]
    assert ledger.commit(grouped) == [None], "without a cap of the provider's"


def test_a_failure_of_unknown_cost_keeps_its_place_in_the_budget(ledger: Ledger) -> None:
    """Only a failure that is known to be free gives back what was set aside for it."""
    jobs = plan_jobs(ledger, 3)
    for number, (job_id, values) in enumerate([(jobs[0], {"cost_micros": 0}), (jobs[1], {})]):
        opening = make_opening(job_id, reserved_micros=CAP, cap_micros=CAP)
        assert ledger.commit([opening]) == [None], number
        for before, to in pairwise((S.INTENT, S.SENDING, S.ACCEPTED, S.FAILED)):
            rest = {"values": values} if to is S.FAILED else {}
            commit(ledger, make_move(job_id, before, to, **rest))
    (refusal,) = ledger.commit([make_opening(jobs[2], reserved_micros=1, cap_micros=CAP)])
    assert isinstance(refusal, BudgetExceeded)


def test_what_has_no_price_fits_no_budget(ledger: Ledger) -> None:
    """Where a budget is set and nothing can be reserved, nothing is sent."""
    jobs = plan_jobs(ledger, 3)
    (refusal,) = ledger.commit([make_opening(jobs[0], cap_micros=CAP)])
    assert isinstance(refusal, BudgetExceeded)
    (refusal,) = ledger.commit([make_opening(jobs[1], route="**", route_cap_micros=CAP)])
    assert isinstance(refusal, BudgetExceeded)
    assert ledger.commit([make_opening(jobs[2])]) == [None]


def test_evidence_finds_the_first_name(ledger: Ledger) -> None:
    """Evidence is append-only, and the first that names the provider's job answers."""
    (job_id,) = plan_jobs(ledger, 1)
    attempt_id = make_attempt_id(job_id, 1)
    assert ledger.find_evidence_of_acceptance(attempt_id) is None
    commit(ledger, Saw(attempt_id, "no_answer", AT))
    assert ledger.find_evidence_of_acceptance(attempt_id) is None
    commit(ledger, Saw(attempt_id, "listed", AT, "p1"), Saw(attempt_id, "listed", AT, "p2"))
    assert ledger.find_evidence_of_acceptance(attempt_id) == "p1"
    assert make_audio(0).recording_id == ledger.get_job(job_id).recording_id
