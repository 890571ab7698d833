"""Group commit: many coroutines share few commits, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import event

from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.errors import IllegalTransition, LeaseLost, LedgerError
from transcription_pipeline.ledger.changes import Change, Lease, Saw
from transcription_pipeline.ledger.group_commit import GroupCommit
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    DAY,
    PROVIDER,
    S,
    after,
    make_move,
    make_opening,
    make_path,
    plan_jobs,
)


def count_commits(ledger: Ledger) -> list[int]:
    """Return a list that grows by one with every commit of the database."""
    commits: list[int] = []
    event.listen(ledger._engine, "commit", lambda _: commits.append(1))
    return commits


def test_many_coroutines_share_few_commits(ledger: Ledger) -> None:
    """Five hundred coroutines with four writes each need at most forty commits, none lost."""
    jobs = plan_jobs(ledger, 500)
    commits = count_commits(ledger)

    async def work(writer: GroupCommit, job_id: str) -> None:
        for change in make_path(job_id, S.COMPLETED):
            await writer.commit(change)

    async def run() -> None:
        async with GroupCommit(ledger) as writer:
            await asyncio.gather(*(work(writer, job_id) for job_id in jobs))

    asyncio.run(run())
    print(f"\n2,000 writes in {len(commits)} commits")
    assert len(commits) <= 40
    assert len(ledger.list_attempts(DAY, PROVIDER, [S.COMPLETED])) == 500


def test_a_waiter_returns_after_its_commit(ledger: Ledger, ledger_url: str) -> None:
    """Once ``commit`` has returned, another connection sees the write."""
    (job_id,) = plan_jobs(ledger, 1)

    async def run() -> None:
        async with GroupCommit(ledger) as writer:
            await writer.commit(make_opening(job_id))
            other = Ledger.open(ledger_url)
            assert len(other.list_attempts(DAY, PROVIDER, [S.INTENT])) == 1
            other.close()

    asyncio.run(run())


def test_a_refusal_reaches_only_its_own_waiter(ledger: Ledger) -> None:
    """Of waiters that share a commit only the one whose change is refused gets an error."""
    jobs = plan_jobs(ledger, 20)

    async def run() -> Sequence[object]:
        async with GroupCommit(ledger) as writer:
            changes: list[Change] = [make_opening(job_id) for job_id in jobs]
            changes[7] = make_move(jobs[7], S.INTENT, S.SENDING)
            changes[9] = make_opening(jobs[9], reserved_micros=2**70)
            return await asyncio.gather(
                *(writer.commit(change) for change in changes), return_exceptions=True
            )

    answers = asyncio.run(run())
    assert [type(a) for n, a in enumerate(answers) if n in (7, 9)] == [
        IllegalTransition,
        LedgerError,
    ]
    assert {a for n, a in enumerate(answers) if n not in (7, 9)} == {None}


def test_the_other_changes_of_a_call_stand(ledger: Ledger) -> None:
    """Evidence handed over with a refused move is written all the same."""
    (job_id,) = plan_jobs(ledger, 1)
    attempt_id = make_attempt_id(job_id, 1)

    async def run() -> None:
        async with GroupCommit(ledger) as writer:
            with pytest.raises(IllegalTransition):
                await writer.commit(
                    Saw(attempt_id, "submitted", AT, "p1"), make_move(job_id, S.SENDING, S.ACCEPTED)
                )

    asyncio.run(run())
    assert ledger.find_evidence_of_acceptance(attempt_id) == "p1"


def test_a_cancelled_waiter_loses_no_write(ledger: Ledger) -> None:
    """Cancelling whoever waits does not take back what was handed over."""
    jobs = plan_jobs(ledger, 30)

    async def run() -> None:
        async with GroupCommit(ledger) as writer:
            tasks = [asyncio.create_task(writer.commit(make_opening(job_id))) for job_id in jobs]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)

    asyncio.run(run())
    assert len(ledger.list_attempts(DAY, PROVIDER, [S.INTENT])) == 30


def test_a_cancelled_run_commits_what_is_pending(ledger: Ledger) -> None:
    """A run that is cancelled while it leaves finishes its writes before the cancellation goes on."""
    jobs = plan_jobs(ledger, 30)
    waiting: list[asyncio.Task[None]] = []

    async def work() -> None:
        async with GroupCommit(ledger) as writer:
            waiting.extend(asyncio.create_task(writer.commit(make_opening(job))) for job in jobs)
            await asyncio.sleep(0)

    async def run() -> None:
        task = asyncio.create_task(work())
        for _ in range(4):  # far enough to be waiting for the last commit
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.gather(*waiting) == [None] * 30

    asyncio.run(run())
    assert len(ledger.list_attempts(DAY, PROVIDER, [S.INTENT])) == 30


def test_a_lost_lease_reaches_everybody(ledger: Ledger) -> None:
    """After a takeover every waiter that decides is told; nobody waits for ever."""
    jobs = plan_jobs(ledger, 5)
    lease = ledger.acquire_lease(DAY, PROVIDER, "first", at=AT, ttl_s=60)
    ledger.acquire_lease(DAY, PROVIDER, "second", at=after(seconds=61), ttl_s=60)

    async def run() -> Sequence[object]:
        async with GroupCommit(ledger, lease) as writer:
            return await asyncio.gather(
                *(writer.commit(make_opening(job_id)) for job_id in jobs), return_exceptions=True
            )

    assert [type(answer) for answer in asyncio.run(run())] == [LeaseLost] * 5


class BrokenLedger(Ledger):
    """A ledger with a bug: its third commit raises something nobody expects."""

    calls = 0

    def commit(
        self, changes: Sequence[Change], lease: Lease | None = None
    ) -> list[LedgerError | None]:
        """Write, but for the third time."""
        self.calls += 1
        if self.calls == 3:
            raise ZeroDivisionError("a bug")
        return super().commit(changes, lease)


def test_nobody_hangs_on_a_bug(ledger: Ledger) -> None:
    """An unexpected error reaches the waiters of its commit, and the writer serves the next."""
    jobs = plan_jobs(ledger, 5)
    broken = BrokenLedger(ledger._engine)

    async def run() -> list[type]:
        answers: list[type] = []
        async with GroupCommit(broken) as writer:
            for job_id in jobs:
                waiting = [writer.commit(make_opening(job_id))]
                answers += [type(a) for a in await asyncio.gather(*waiting, return_exceptions=True)]
        return answers

    none = type(None)
    assert asyncio.run(asyncio.wait_for(run(), 30)) == [none, none, ZeroDivisionError, none, none]


def test_a_closed_writer_refuses(ledger: Ledger) -> None:
    """A change handed over before the start or after the end is refused at once, not forgotten."""
    (job_id,) = plan_jobs(ledger, 1)

    async def run() -> None:
        writer = GroupCommit(ledger)
        with pytest.raises(LedgerError, match="not running"):
            await writer.commit(make_opening(job_id))
        async with writer:
            pass
        with pytest.raises(LedgerError, match="not running"):
            await writer.commit(make_opening(job_id))

    asyncio.run(asyncio.wait_for(run(), 30))


def test_large_groups_are_cut(ledger: Ledger) -> None:
    """More changes than one commit takes are written in several, and all are answered."""
    jobs = plan_jobs(ledger, 2_500)
    commits = count_commits(ledger)

    async def run() -> None:
        async with GroupCommit(ledger) as writer:
            await asyncio.gather(*(writer.commit(make_opening(job_id)) for job_id in jobs))

    asyncio.run(run())
    assert 3 <= len(commits) <= 6
    assert len(ledger.list_attempts(DAY, PROVIDER, [S.INTENT])) == 2_500
