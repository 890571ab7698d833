"""Who takes over from a failed job: only from failures without cost, and once."""

from __future__ import annotations

import pytest

from transcription_pipeline.domain.job import AttemptState
from transcription_pipeline.ledger.changes import Change, Probed, Refuse
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
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


def _fail(job_id: str, cost_micros: int | None) -> list[Change]:
    failed = make_move(job_id, S.ACCEPTED, S.FAILED, values={"cost_micros": cost_micros})
    return [*make_path(job_id, S.ACCEPTED), failed]


def test_only_failures_without_cost_are_listed(ledger: Ledger) -> None:
    """Refused, rejected and failed at no cost; not what may have cost, is unread, held or done."""
    jobs = plan_jobs(ledger, 9)
    commit(
        ledger,
        Refuse(jobs[0], "too_long", AT),
        *make_path(jobs[1], S.SENDING),
        make_move(jobs[1], S.SENDING, S.REJECTED),
        *_fail(jobs[2], 0),
        *_fail(jobs[3], None),
        *_fail(jobs[4], 1),
        *make_path(jobs[5], S.STORED),
        make_move(jobs[5], S.STORED, S.BAD_RESULT),
        *make_path(jobs[6], S.ACCEPTED),
        make_move(jobs[6], S.ACCEPTED, S.HELD),
        *make_path(jobs[7], S.PUBLISHED),
        Probed(make_audio(8).recording_id, AT, None, "not_audio"),
    )
    listed = ledger.list_failed_unpaid()
    assert {failed.job_id for failed in listed} == {jobs[0], jobs[1], jobs[2]}
    assert {failed.key for failed in listed} == {f"inbox/0000{n}.mp3" for n in range(3)}


def test_an_earlier_attempt_that_may_have_cost_forbids_it(ledger: Ledger) -> None:
    """Every attempt of the job counts, not the newest alone."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, *_fail(job_id, None))
    commit(ledger, make_opening(job_id, 2), make_move(job_id, S.INTENT, S.SENDING, number=2))
    commit(ledger, make_move(job_id, S.SENDING, S.REJECTED, number=2))
    assert ledger.list_failed_unpaid() == []


@pytest.mark.parametrize("wish", [("local", {"language": "en"}), None])
def test_it_is_decided_once(ledger: Ledger, wish: tuple[str, dict[str, object]] | None) -> None:
    """Many workers at one moment add one job, or none, and the counts still add up."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, Refuse(job_id, "too_long", AT))
    (failed,) = ledger.list_failed_unpaid()
    decided = race(6, lambda _: ledger.record_fallback(failed, wish, at=after(seconds=1)))
    assert sorted(decided) == [False] * 5 + [True]
    assert ledger.list_failed_unpaid() == []
    counted = ledger.count_states()
    assert counted["unaccounted"] == 0
    assert counted["by_provider"].get("local", {}).get("in_progress", 0) == (wish is not None)


def test_a_retry_that_fails_again_falls_back_no_second_time(ledger: Ledger) -> None:
    """The decision stands when the failed job gets another attempt."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, *_fail(job_id, 0))
    (failed,) = ledger.list_failed_unpaid()
    assert ledger.record_fallback(failed, ("local", {}), at=AT)
    commit(ledger, make_opening(job_id, 2), make_move(job_id, S.INTENT, S.SENDING, number=2))
    commit(ledger, make_move(job_id, S.SENDING, AttemptState.REJECTED, number=2))
    assert ledger.list_failed_unpaid() == []
    assert {job["provider"] for job in ledger.read_jobs()} == {PROVIDER, "local"}
