"""One worker on one partition, and the story of one job in it.

There is no barrier between steps: while some recordings are looked into, others are submitted,
watched or collected. Ready jobs are sent longest audio first, and a little more of them than the
provider works on at once, so that its queue never runs dry and ours stays in our order.

The steps themselves are in the modules beside this one; here is who does them when, how many at a
time, and what one job's trouble means for the others.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.route import Route
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.engine.claim import Claim
from transcription_pipeline.engine.collecting import Collecting
from transcription_pipeline.engine.forgotten import doubt, name_account
from transcription_pipeline.engine.limits import RunLimits
from transcription_pipeline.engine.preparing import Preparing
from transcription_pipeline.engine.report import RunReport
from transcription_pipeline.engine.resuming import Resuming
from transcription_pipeline.engine.slots import Slots
from transcription_pipeline.engine.submitting import Submitting
from transcription_pipeline.engine.trouble import FATAL, find_reason
from transcription_pipeline.engine.waiting import Waiting
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ConfigurationError,
    IllegalTransition,
    LeaseLost,
    TranscriptionPipelineError,
)
from transcription_pipeline.ledger.changes import Lease
from transcription_pipeline.ledger.group_commit import GroupCommit
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import AudioDelivery, Provider
from transcription_pipeline.storage.objects import ObjectStore

WINDOW_FACTOR = 1.2
"""Jobs at the provider per job it works on: measured to keep its queue from running dry."""
LOOKS_AT_ONCE = 16
"""Recordings looked into, and doubts cleared up, at a time."""
_S = AttemptState
_Story = Callable[[WorkItem], Awaitable[None]]
_Ready = tuple[float, str, WorkItem | None]
_NO_MORE: _Ready = (math.inf, "", None)


class PartitionRun:
    """One worker on one partition, under one lease."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        provider: Provider,
        audio: ObjectStore,
        lake: ObjectStore,
        lease: Lease,
        limits: RunLimits,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        find_route: Callable[[str], Route | None] = lambda _key: None,
    ) -> None:
        claim = Claim(ledger, lake, name_account(provider))
        folders = [folder for folder in (ledger.folder, lake.make_staging_folder()) if folder]
        self._place = Workplace(
            ledger, provider, audio, lake, lease, limits, now, claim, folders, find_route
        )
        slots = math.ceil(provider.capabilities.concurrency * WINDOW_FACTOR)
        self._slots = Slots(slots)
        self._preparing = Preparing(self._place)
        self._submitting = Submitting(self._place, slots=slots)
        self._resuming = Resuming(self._place, self._submitting)
        self._collecting = Collecting(self._place)
        self._ready: asyncio.PriorityQueue[_Ready] = asyncio.PriorityQueue()
        self._waiting = Waiting(self._place, WaitModel())

    @property
    def report(self) -> RunReport:
        """What was done so far."""
        return self._place.report

    async def run(self) -> RunReport:
        """Carry every due job as far as it goes within the window.

        Raises:
            LeaseLost: another worker took over; nothing of its work was touched.
            AuthenticationFailed: the provider refuses the credentials; its gate is closed.
            LedgerBusy: the ledger took no writes for minutes.
            DiskFull: there is too little room to keep what would be paid for; nothing was sent.
            LedgerNotOurs: the lake belongs to another ledger, or a newer copy of it; nothing was sent.
        """
        place, name = self._place, self._place.provider.name
        try:
            model = await place.in_thread(place.ledger.find_wait_model, name) or WaitModel()
            self._waiting = Waiting(place, model)
            async with GroupCommit(place.ledger, place.lease) as writer:
                place.write = writer.commit
                await self._work_until_the_window_ends()
            await place.in_thread(place.ledger.save_wait_model, name, model)
        finally:
            place.report.request_count = place.provider.request_count
            place.close_threads()
        return place.report

    async def _work_until_the_window_ends(self) -> None:
        place = self._place
        day, name = place.lease.day, place.provider.name
        try:
            async with asyncio.timeout(None) as window:
                await place.in_thread(self._check_signatures)
                place.adoption = await place.in_thread(place.ledger.find_adoption)
                work = await place.in_thread(place.ledger.list_work, day, name, place.now())
                place.report.due = len(work)
                await self._look_at_gate()
                hears = any('"webhook":' in item.job.options_json for item in work)
                await self._carry_all(deque(work), window, hears_webhooks=hears)
        except TimeoutError:
            pass  # what is not done is the next run's
        except BaseExceptionGroup as errors:
            reason = find_reason(errors)
            if isinstance(reason, AuthenticationFailed):
                await place.close_gate("auth")
            raise reason from None
        finally:
            # A paid request that is on the wire is waited for, whatever ended the run.
            await self._submitting.let_land()
            await place.in_thread(place.claim.release)

    async def _look_at_gate(self) -> None:
        place = self._place
        here = place.provider.name, place.now()
        place.closed_gate = await place.in_thread(place.ledger.find_gate, *here)
        was_closed_for = await place.in_thread(place.ledger.find_lapsed_gate, *here)
        if was_closed_for:
            await self._submitting.try_again(was_closed_for)

    def _check_signatures(self) -> None:
        place = self._place
        can = place.provider.capabilities
        if can.is_free or AudioDelivery.URL not in can.deliveries:
            return
        end, wanted_s = place.audio.find_end_of_signatures(), place.limits.url_expires_s
        left_s = (end - datetime.now(UTC)).total_seconds() if end else math.inf
        if left_s < wanted_s:
            raise ConfigurationError(
                f"storage.url_expires_s: signed URLs are to live {wanted_s} s, but the credentials "
                f"that sign them end in {left_s:.0f} s; use longer-lived ones, or shorter URLs"
            )

    async def _carry_all(
        self, work: deque[WorkItem], window: asyncio.Timeout, *, hears_webhooks: bool
    ) -> None:
        async with asyncio.TaskGroup() as crew:
            background = [
                crew.create_task(self._keep_lease()),
                crew.create_task(self._close_window(window)),
            ]
            if hears_webhooks:
                background.append(crew.create_task(self._waiting.hear_webhooks()))
            watching = crew.create_task(self._waiting.hand_out_observations())
            async with asyncio.TaskGroup() as jobs:
                jobs.create_task(self._feed(jobs))
                await self._sort(work, jobs)
                await self._ready.put(_NO_MORE)
            self._waiting.close()
            await watching
            for task in background:
                task.cancel()

    async def _close_window(self, window: asyncio.Timeout) -> None:
        """End the run when its time is over, and what is being handed over by then has landed."""
        await asyncio.sleep(self._place.limits.window_s)
        self.report.counts["window_ended"] += 1
        await self._submitting.finish()
        window.reschedule(asyncio.get_running_loop().time())

    # -- who does what when ----------------------------------------------------------------------

    async def _sort(self, work: deque[WorkItem], jobs: asyncio.TaskGroup) -> None:
        """Take up what the provider has; make the rest ready, a few at a time."""
        unsure: deque[WorkItem] = deque()
        while work:
            item = work.popleft()
            attempt = item.attempt
            if attempt is None or attempt.state is _S.INTENT:
                unsure.append(item)
                continue
            self.report.counts["resumed"] += 1
            if attempt.state in {_S.SENDING, _S.AMBIGUOUS, _S.HELD}:
                unsure.append(item)
            else:
                self._slots.take()
                jobs.create_task(self._in_slot(self._take_up, item))
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(LOOKS_AT_ONCE, len(unsure))):
                workers.create_task(self._make_ready(unsure, jobs))

    async def _make_ready(self, unsure: deque[WorkItem], jobs: asyncio.TaskGroup) -> None:
        while unsure:
            await self._guard(lambda item: self._make_one_ready(item, jobs), unsure.popleft())

    async def _make_one_ready(self, item: WorkItem, jobs: asyncio.TaskGroup) -> None:
        is_unclear = item.attempt and item.attempt.state is not _S.INTENT
        unclear = item if is_unclear else await doubt(self._place, item)
        while unclear and unclear.attempt:
            found = await self._resuming.clear_up(unclear, unclear.attempt)
            if found is None:
                return
            item, attempt = found, found.attempt
            if attempt and attempt.state is _S.ACCEPTED:
                self._slots.take()
                jobs.create_task(self._in_slot(self._take_up, item))
                return
            unclear = None if attempt else await doubt(self._place, item)
        if self._place.closed_gate:
            self.report.note("gated", item.job.recording_id, self._place.closed_gate)
            return
        prepared = await self._preparing.prepare(item)
        if prepared is not None:
            facts = prepared.recording.facts
            await self._ready.put((-facts.duration_ms if facts else 0, item.job.job_id, prepared))

    async def _feed(self, jobs: asyncio.TaskGroup) -> None:
        """Start ready jobs while the provider has room, the longest audio first."""
        while True:
            await self._slots.acquire()
            _, _, item = await self._ready.get()
            if item is None:
                self._slots.release()
                return
            jobs.create_task(self._in_slot(self._carry, item))

    # -- the story of one job --------------------------------------------------------------------

    async def _carry(self, item: WorkItem) -> None:
        """Submit one job and see it through."""
        attempt = await self._submitting.submit(item)
        if attempt is not None:
            await self._see_through(item, attempt)

    async def _take_up(self, item: WorkItem) -> None:
        """Go on with a job that an earlier run submitted."""
        attempt = item.attempt
        assert attempt is not None
        is_late = attempt.deadline_at is not None and attempt.deadline_at < self._place.now()
        if attempt.state is _S.ACCEPTED and is_late:
            await self._resuming.end_late(
                attempt, lambda seen: self._collecting.settle(item, attempt, seen)
            )
        else:
            await self._see_through(item, attempt)

    async def _see_through(self, item: WorkItem, attempt: Attempt) -> None:
        """Wait for the provider, then keep what it says."""
        seen = await self._waiting.wait_for(item, attempt)
        await self._collecting.settle(item, attempt, seen)

    # -- what one job's trouble means ------------------------------------------------------------

    async def _in_slot(self, story: _Story, item: WorkItem) -> None:
        """Tell a story in the slot that was taken for it, and give the slot back."""
        try:
            await self._guard(story, item)
        finally:
            self._slots.release()

    async def _guard(self, story: _Story, item: WorkItem) -> None:
        """Let one recording's trouble stay its own: what is not fatal postpones the job."""
        try:
            await story(item)
        except FATAL:
            raise
        except IllegalTransition:
            # A person, or a worker before us, decided meanwhile; theirs stands.
            self.report.note("overtaken", item.job.recording_id, "illegal_transition")
        except TranscriptionPipelineError as error:
            await self._place.postpone(item, type(error).__name__)

    async def _keep_lease(self) -> None:
        place = self._place
        ttl_s = place.limits.lease_s
        while True:
            await asyncio.sleep(ttl_s / 3)
            is_ours = await place.in_thread(
                lambda: place.ledger.renew_lease(place.lease, at=place.now(), ttl_s=ttl_s)
            )
            if not is_ours:
                raise LeaseLost(f"partition {place.lease.day}/{place.lease.provider}: taken over")
