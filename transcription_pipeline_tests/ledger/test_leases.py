"""Leases: one worker decides about a partition, and a former one is fenced out."""

from __future__ import annotations

import pytest

from transcription_pipeline.domain.job import JobState, make_attempt_id
from transcription_pipeline.errors import LeaseLost
from transcription_pipeline.ledger.changes import Lease, Postpone, Probed, Refuse, Saw
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    DAY,
    PROVIDER,
    S,
    after,
    commit,
    make_audio,
    make_move,
    make_opening,
    make_path,
    plan_jobs,
    race,
)

TTL_S = 60.0


def acquire(ledger: Ledger, holder: str, seconds: float = 0) -> Lease | None:
    """Ask for the partition so many seconds after the start."""
    return ledger.acquire_lease(DAY, PROVIDER, holder, at=after(seconds=seconds), ttl_s=TTL_S)


def take(ledger: Ledger, holder: str, seconds: float = 0) -> Lease:
    """Take the partition, which must be free."""
    lease = acquire(ledger, holder, seconds)
    assert lease is not None
    return lease


def test_one_holder_at_a_time(ledger: Ledger) -> None:
    """While one holds a partition another gets nothing; other partitions are free."""
    take(ledger, "first")
    assert acquire(ledger, "second", 59.9) is None
    assert ledger.acquire_lease(DAY, "local", "second", at=AT, ttl_s=TTL_S)
    assert ledger.acquire_lease("2026-11-22", PROVIDER, "second", at=AT, ttl_s=TTL_S)


def test_a_lapsed_lease_is_taken_over_with_a_higher_fence(ledger: Ledger) -> None:
    """After its time a lease goes to the next, whose fence is higher, and cannot be renewed."""
    first = take(ledger, "first")
    second = take(ledger, "second", 61)
    assert second.fence > first.fence
    assert not ledger.renew_lease(first, at=after(seconds=62), ttl_s=TTL_S)
    assert ledger.renew_lease(second, at=after(seconds=62), ttl_s=TTL_S)


def test_a_renewed_lease_lasts(ledger: Ledger) -> None:
    """Renewing moves the end."""
    lease = take(ledger, "first")
    assert ledger.renew_lease(lease, at=after(seconds=50), ttl_s=TTL_S)
    assert acquire(ledger, "second", 100) is None
    assert take(ledger, "second", 111)


def test_a_released_lease_is_free_at_once(ledger: Ledger) -> None:
    """Giving a lease back lets the next holder in, with a higher fence."""
    first = take(ledger, "first")
    ledger.release_lease(first)
    assert take(ledger, "second", 1).fence > first.fence


def test_a_late_release_takes_nothing_away(ledger: Ledger) -> None:
    """The release of a holder that was taken over does not free the partition of the new one."""
    first = take(ledger, "first")
    take(ledger, "second", 61)
    ledger.release_lease(first)
    assert acquire(ledger, "third", 62) is None


def test_the_former_holder_decides_nothing(ledger: Ledger) -> None:
    """After a takeover every decision of the old holder is refused, and nothing changes."""
    one, two = plan_jobs(ledger, 2)
    first = take(ledger, "first")
    commit(ledger, *make_path(one, S.SENDING), lease=first)
    take(ledger, "second", 61)
    before = (ledger.read_jobs(), ledger.read_recordings())
    decisions = [
        make_move(one, S.SENDING, S.REJECTED),
        make_opening(two),
        Postpone(two, after(hours=1), "later", AT),
        Refuse(two, "too_long", AT),
        Probed(make_audio(1).recording_id, AT, None, "not_audio"),
    ]
    refusals = ledger.commit(decisions, first)
    assert all(isinstance(refusal, LeaseLost) for refusal in refusals)
    assert (ledger.read_jobs(), ledger.read_recordings()) == before


def test_evidence_survives_a_lost_lease(ledger: Ledger) -> None:
    """A worker that lost its lease loses its decision, but what it saw is kept."""
    (job_id,) = plan_jobs(ledger, 1)
    first = take(ledger, "first")
    commit(ledger, *make_path(job_id, S.SENDING), lease=first)
    second = take(ledger, "second", 61)
    attempt_id = make_attempt_id(job_id, 1)
    refusals = ledger.commit(
        [
            Saw(attempt_id, "submitted", AT, provider_job_id="p1"),
            make_move(job_id, S.SENDING, S.ACCEPTED, values={"provider_job_id": "p1"}),
        ],
        first,
    )
    assert refusals[0] is None
    assert isinstance(refusals[1], LeaseLost)
    assert ledger.find_evidence_of_acceptance(attempt_id) == "p1"
    commit(ledger, make_move(job_id, S.SENDING, S.ACCEPTED), lease=second)


@pytest.mark.parametrize("comes_first", ["hold", "answer"])
def test_what_an_overtaken_worker_was_told_frees_what_is_held(
    ledger: Ledger, comes_first: str
) -> None:
    """The provider's own word ends a doubt, whenever it comes; another attempt's job does not."""
    job_id, other = plan_jobs(ledger, 2)
    first = take(ledger, "first")
    for job in (job_id, other):
        commit(ledger, *make_path(job, S.SENDING), lease=first)
    second = take(ledger, "second", 61)
    commit(ledger, make_move(other, S.SENDING, S.ACCEPTED, values={"provider_job_id": "p2"}))
    commit(ledger, make_move(job_id, S.SENDING, S.AMBIGUOUS), lease=second)
    hold = make_move(job_id, S.AMBIGUOUS, S.HELD, cause="nobody_knows")
    commit(ledger, Saw(make_attempt_id(job_id, 1), "submitted", AT, provider_job_id="p2"))
    answer = Saw(make_attempt_id(job_id, 1), "submitted", AT, provider_job_id="p1")
    if comes_first == "hold":
        commit(ledger, hold, lease=second)
        assert ledger.get_job(job_id).state is JobState.HELD
        assert ledger.commit([answer], first) == [None]
    else:
        assert ledger.commit([answer], first) == [None]
        commit(ledger, hold, lease=second)
    assert ledger.get_job(job_id).state is JobState.IN_PROGRESS
    due = {w.job.job_id: w.attempt.state for w in ledger.list_work(DAY, PROVIDER, AT) if w.attempt}
    assert due[job_id] is S.HELD


def test_the_fence_is_written_down(ledger: Ledger) -> None:
    """Each attempt carries the fence under which it was last decided."""
    (job_id,) = plan_jobs(ledger, 1)
    first = take(ledger, "first")
    commit(ledger, make_opening(job_id), lease=first)
    second = take(ledger, "second", 61)
    commit(ledger, make_move(job_id, S.INTENT, S.SENDING), lease=second)
    (attempt,) = ledger.list_attempts(DAY, PROVIDER, [S.SENDING])
    assert attempt.fence == second.fence


def test_racing_workers(ledger: Ledger, ledger_url: str) -> None:
    """Of eight workers that want a new partition, then a lapsed one, exactly one gets it."""
    ledgers = [Ledger.open(ledger_url) for _ in range(8)]
    fences = []
    for seconds in (0, 100):
        won = [x for x in race(8, lambda n, s=seconds: acquire(ledgers[n], f"w{s}-{n}", s)) if x]  # type: ignore[misc]
        assert len(won) == 1
        fences.append(won[0].fence)
    assert fences == [1, 2]
    for opened in ledgers:
        opened.close()
