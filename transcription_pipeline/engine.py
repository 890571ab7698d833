"""One run over one partition: every due job from its audio to its stored raw answer, streaming.

What belongs here: the order of steps for one job, how many run at once, and what each outcome makes
of the attempt. What does not: what any provider says (``providers/``), what is durable (the ledger)
and what comes before and after (``pipeline.py``, its only caller).

There is no barrier between steps: while some recordings are probed, others are submitted, watched
or collected. Ready jobs are submitted longest audio first, and at most 1.2 times as many as the
provider works on at once, so that its queue never runs dry and ours stays in our order.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

import zstandard

from transcription_pipeline.audio.probe import probe
from transcription_pipeline.domain.job import (
    Attempt,
    AttemptState,
    JobState,
    make_attempt_id,
)
from transcription_pipeline.domain.recording import AudioFacts, QuarantineReason, Recording
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.errors import (
    AudioError,
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    LeaseLost,
    ObjectChanged,
    ObjectNotFound,
    TranscriptionPipelineError,
)
from transcription_pipeline.ledger.changes import (
    Change,
    Lease,
    Move,
    OpenAttempt,
    Postpone,
    Probed,
    Refuse,
    Saw,
)
from transcription_pipeline.ledger.group_commit import GroupCommit
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.ledger.reading import WorkItem
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Observation,
    Phase,
    Provider,
    Submission,
    Verdict,
)
from transcription_pipeline.providers.watch import Watch
from transcription_pipeline.storage.layout import make_raw_key
from transcription_pipeline.storage.objects import ObjectStore

THREADS = 16
"""For blocking work: bucket reads, lake writes, probing."""
WINDOW_FACTOR = 1.2
SUBMITS_AT_ONCE = 32
COLLECTS_AT_ONCE = 16
SENDS_PER_RUN = 20
"""How often one attempt is sent again within a run after answers that prove it was not taken."""
AMBIGUOUS_IN_A_ROW = 5
"""After so many the provider is left alone for a while: a bad hour costs five doubts, not 5,000."""
GATE_CLOSED = timedelta(minutes=10)
FAILURE_ROWS = 200
RETRY_AFTER = timedelta(seconds=30)
"""First pause after a failure that cost nothing; doubles with every attempt."""
_S = AttemptState
_AFTER = {
    Verdict.ACCEPTED: _S.ACCEPTED,
    Verdict.NOT_SENT: _S.INTENT,
    Verdict.REJECTED: _S.REJECTED,
    Verdict.AMBIGUOUS: _S.AMBIGUOUS,
    Verdict.NEVER_ARRIVED: _S.ABANDONED,
    Verdict.CANNOT_KNOW: _S.HELD,
}
T = TypeVar("T")


@dataclass(slots=True)
class RunReport:
    """What one run did; identifiers, types and numbers only."""

    due: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Steps taken: submitted, resumed, stored, failed, held, quarantined, postponed, ambiguous."""
    audio_ms: int = 0
    request_count: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """(recording_id, what became of it, cause), capped."""
    latencies_s: list[float] = field(default_factory=list)
    """Accepted to stored, per recording."""

    def note(self, outcome: str, recording_id: str, cause: str | None) -> None:
        """Count an outcome that is not success."""
        self.counts[outcome] += 1
        if len(self.failures) < FAILURE_ROWS:
            self.failures.append((recording_id, outcome, cause or "unknown"))


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What bounds one run."""

    window_s: float
    lease_s: float
    url_expires_s: int
    max_attempts: int
    poll_interval_s: float = 0.5
    cap_micros: int | None = None


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
    ) -> None:
        self._ledger, self._provider, self._audio, self._lake = ledger, provider, audio, lake
        self._lease, self._limits, self._now = lease, limits, now
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blocking")
        self._model = ledger.find_wait_model(provider.name) or WaitModel()
        self._watch = Watch(provider, self._model, interval_s=limits.poll_interval_s)
        slots = math.ceil(provider.capabilities.concurrency * WINDOW_FACTOR)
        self._slots = asyncio.Semaphore(slots)
        self._submits = asyncio.Semaphore(min(SUBMITS_AT_ONCE, slots))
        self._collects = asyncio.Semaphore(COLLECTS_AT_ONCE)
        self._items: dict[str, tuple[WorkItem, Attempt]] = {}
        self._ready: asyncio.PriorityQueue[tuple[int, str, WorkItem | None]]
        self._ready = asyncio.PriorityQueue()
        self._on_the_wire: set[asyncio.Task[Submission]] = set()
        self._doubts = 0
        self._closed_gate: str | None = None
        self.report = RunReport()

    async def run(self) -> RunReport:
        """Carry every due job as far as it goes within the window.

        Raises:
            LeaseLost: another worker took over; nothing of its work was touched.
            AuthenticationFailed: the provider refuses the credentials even for looking.
        """
        day, name = self._lease.day, self._provider.name
        work = self._ledger.list_work(day, name, self._now())
        self.report.due = len(work)
        async with GroupCommit(self._ledger, self._lease) as writer:
            self._commit = writer.commit
            try:
                async with asyncio.timeout(self._limits.window_s):
                    await self._carry_all(work)
            except TimeoutError:
                self.report.counts["window_ended"] += 1
            except BaseExceptionGroup as errors:
                # One reason is told: the others are its consequences.
                raise _first(errors) from None
            finally:
                # A paid request that is on the wire is waited for, whatever ended the run.
                if self._on_the_wire:
                    await asyncio.wait(self._on_the_wire)
                self._threads.shutdown(wait=True)
        self._ledger.save_wait_model(name, self._model)
        self.report.request_count = self._provider.request_count
        return self.report

    async def _carry_all(self, work: list[WorkItem]) -> None:
        gate = self._ledger.find_gate(self._provider.name, self._now())
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._keep_lease())
            watching = tasks.create_task(self._watch_all(tasks))
            async with asyncio.TaskGroup() as feeding:
                fresh = []
                for item in work:
                    if item.attempt is None or item.attempt.state is _S.INTENT:
                        fresh.append(item)
                    else:
                        feeding.create_task(self._guard(self._resume(item, item.attempt), item))
                if gate is None:
                    feeding.create_task(self._feed(fresh, feeding))
                else:
                    for item in fresh:
                        self.report.note("gated", item.job.recording_id, gate)
            self._watch.close()
            await watching
            heartbeat.cancel()

    async def _feed(self, fresh: list[WorkItem], feeding: asyncio.TaskGroup) -> None:
        """Probe everything, submit what is ready, the longest audio first."""
        at_once = asyncio.Semaphore(THREADS)
        for item in fresh:
            feeding.create_task(self._guard(self._probe(item, at_once), item))
        for _ in fresh:
            await self._slots.acquire()
            _, _, ready = await self._ready.get()
            if ready is None:
                self._slots.release()
            else:
                feeding.create_task(self._guard(self._submit(ready), ready, holds_slot=True))

    async def _guard(
        self, step: Awaitable[None], item: WorkItem, *, holds_slot: bool = False
    ) -> None:
        """Let one recording's trouble stay its own: what is not fatal postpones the job."""
        try:
            await step
        except (LeaseLost, AuthenticationFailed, ConfigurationError):
            raise
        except TranscriptionPipelineError as error:
            if holds_slot:
                self._slots.release()
            await self._postpone(item, type(error).__name__)

    async def _postpone(self, item: WorkItem, cause: str, until: datetime | None = None) -> None:
        at = self._now()
        due = until or at + RETRY_AFTER * 2 ** min(item.attempt_count, 6)
        await self._commit(Postpone(item.job.job_id, due, cause, at))
        self.report.note("postponed", item.job.recording_id, cause)

    # -- probe -----------------------------------------------------------------------------------

    async def _probe(self, item: WorkItem, at_once: asyncio.Semaphore) -> None:
        recording = item.recording
        ready: WorkItem | None = None
        try:
            if recording.facts is None:
                async with at_once:
                    recording = await self._look_into(recording)
            if not await self._is_refused(item, recording):
                ready = replace(item, recording=recording)
        finally:
            # Something is always handed on, so that the feeder's count comes out.
            duration_ms = recording.facts.duration_ms if recording.facts else 0
            await self._ready.put((-duration_ms, item.job.job_id, ready))

    async def _look_into(self, recording: Recording) -> Recording:
        try:
            facts = await self._in_thread(self._probe_bytes, recording)
        except AudioError as error:
            await self._commit(
                Probed(recording.recording_id, self._now(), None, error.reason, error.detail)
            )
            return replace(recording, quarantine_reason=error.reason)
        await self._commit(Probed(recording.recording_id, self._now(), facts))
        return replace(recording, facts=facts)

    def _probe_bytes(self, recording: Recording) -> AudioFacts:
        def read_range(start: int, length: int) -> bytes:
            return self._audio.get_range(recording.key, start, length, if_match=recording.etag)

        try:
            return probe(read_range, recording.size_bytes)
        except (ObjectNotFound, ObjectChanged):
            # A newer version is a recording of its own.
            raise AudioError(QuarantineReason.SOURCE_GONE, "this version is gone") from None

    async def _is_refused(self, item: WorkItem, recording: Recording) -> bool:
        """Refuse, before money is spent, what the provider could only reject."""
        if recording.quarantine_reason:
            self.report.note("quarantined", recording.recording_id, recording.quarantine_reason)
            return True
        can, facts = self._provider.capabilities, recording.facts
        cause = None
        if facts and facts.duration_ms < can.min_duration_ms:
            cause = QuarantineReason.TOO_SHORT
        elif facts and can.max_duration_ms and facts.duration_ms > can.max_duration_ms:
            cause = QuarantineReason.TOO_LONG
        elif can.max_size_bytes and recording.size_bytes > can.max_size_bytes:
            cause = QuarantineReason.TOO_LARGE
        if cause is None:
            return False
        await self._commit(Refuse(item.job.job_id, cause.value, self._now()))
        self.report.note("failed", recording.recording_id, cause.value)
        return True

    # -- upload and submit -----------------------------------------------------------------------

    async def _submit(self, item: WorkItem) -> None:
        """Hand the audio over and send the paid request; holds a slot until the job is settled."""
        async with self._submits:
            attempt = item.attempt or await self._open_attempt(item)
            if attempt is None:
                self._slots.release()
                return
            for _ in range(SENDS_PER_RUN):
                if self._closed_gate:
                    break
                audio = await self._provider.upload(await self._prepare_audio(item, attempt))
                sending = asyncio.create_task(self._send(item, attempt, audio))
                if not self._provider.capabilities.is_free:
                    self._on_the_wire.add(sending)
                    sending.add_done_callback(self._on_the_wire.discard)
                    submission = await asyncio.shield(sending)
                else:
                    submission = await sending
                if submission.verdict is not Verdict.NOT_SENT:
                    break
                await asyncio.sleep(min(submission.retry_after_s or 1.0, 30.0))
            else:
                self._slots.release()
                await self._postpone(item, submission.cause or "not_sent")
                return
        if self._closed_gate:
            self._slots.release()
            self.report.note("gated", item.job.recording_id, self._closed_gate)
        elif submission.verdict is Verdict.ACCEPTED:
            await self._follow(item, attempt, submission.provider_job_id or "")
        else:
            self._slots.release()

    async def _open_attempt(self, item: WorkItem) -> Attempt | None:
        number = item.attempt_count + 1
        attempt = Attempt(
            attempt_id=make_attempt_id(item.job.job_id, number),
            job_id=item.job.job_id,
            recording_id=item.job.recording_id,
            provider=self._provider.name,
            number=number,
            state=_S.INTENT,
        )
        facts = item.recording.facts
        cost = self._provider.price(item.job.options, facts.duration_ms if facts else 0)
        opening = OpenAttempt(
            attempt_id=attempt.attempt_id,
            job_id=attempt.job_id,
            recording_id=attempt.recording_id,
            provider=attempt.provider,
            number=number,
            at=self._now(),
            reserved_micros=cost.micros if cost else None,
            currency=cost.currency if cost else None,
            cap_micros=self._limits.cap_micros if cost else None,
        )
        try:
            await self._commit(opening)
        except BudgetExceeded:
            tomorrow = self._now().replace(hour=0, minute=0, second=0) + timedelta(days=1)
            await self._postpone(item, "budget_exceeded", tomorrow)
            return None
        return attempt

    async def _prepare_audio(self, item: WorkItem, attempt: Attempt) -> Audio:
        recording, url = item.recording, None
        takes_urls = AudioDelivery.URL in self._provider.capabilities.deliveries
        if takes_urls and not is_rewritten_by_clients(recording.key):
            url = await self._in_thread(
                lambda: self._audio.presign(
                    recording.key,
                    expires_s=self._limits.url_expires_s,
                    token=attempt.attempt_id,
                )
            )
        return Audio(
            recording_id=recording.recording_id,
            size_bytes=recording.size_bytes,
            duration_ms=recording.facts.duration_ms if recording.facts else None,
            open_stream=lambda: self._stream(recording),
            url=url,
        )

    async def _stream(self, recording: Recording) -> AsyncIterator[bytes]:
        chunks = self._audio.iterate(recording.key, if_match=recording.etag)
        while chunk := await self._in_thread(next, chunks, b""):
            yield chunk

    async def _send(self, item: WorkItem, attempt: Attempt, audio: Audio) -> Submission:
        """The paid step: durable intent, one request, durable evidence. Never cut short."""
        request = self._provider.make_request(attempt.attempt_id, audio, item.job.options)
        sent_at = self._now()
        life = timedelta(seconds=self._limits.url_expires_s)
        takes_url = AudioDelivery.URL in self._provider.capabilities.deliveries
        values = {
            "sent_at": sent_at,
            "region": self._provider.region,
            "audio_url_sha256": sha256(audio.url.encode()).hexdigest() if audio.url else None,
            "url_expires_at": sent_at + life if takes_url and audio.url else None,
        }
        await self._commit(self._move(attempt, _S.INTENT, _S.SENDING, values=values))
        submission = await self._provider.submit(request)
        await self._record(item, attempt, _S.SENDING, submission)
        return submission

    async def _record(
        self, item: WorkItem, attempt: Attempt, state: AttemptState, told: Submission
    ) -> None:
        """Make durable what a submit, or a later look, told about an attempt."""
        at = self._now()
        seen = Saw(
            attempt.attempt_id, told.verdict, at, told.provider_job_id, told.cause, told.detail
        )
        values: dict[str, Any] = {}
        job_state, due, to_state = None, None, _AFTER[told.verdict]
        if told.verdict is Verdict.ACCEPTED:
            deadline = at + timedelta(seconds=self._provider.capabilities.deadline_s)
            values = {
                "provider_job_id": told.provider_job_id,
                "accepted_at": at,
                "deadline_at": deadline,
            }
            self._doubts = 0
        elif told.verdict is Verdict.AMBIGUOUS:
            due = at + timedelta(seconds=told.retry_after_s or RETRY_AFTER.total_seconds())
            self._doubts += 1
        elif told.verdict is Verdict.NEVER_ARRIVED:
            job_state = JobState.IN_PROGRESS
        changes: list[Change] = [seen]
        if to_state is not state:
            changes.append(
                self._move(
                    attempt,
                    state,
                    to_state,
                    cause=told.cause,
                    detail=told.detail,
                    values=values,
                    job_state=job_state,
                    due=due,
                )
            )
        elif due:
            changes.append(Postpone(attempt.job_id, due, told.cause or "ambiguous", at))
        await self._commit(*changes)
        self.report.counts[told.verdict] += 1
        if to_state in {_S.REJECTED, _S.HELD, _S.AMBIGUOUS}:
            self.report.note(to_state, item.job.recording_id, told.cause)
        gate = told.gate or ("breaker" if self._doubts >= AMBIGUOUS_IN_A_ROW else None)
        if gate and self._closed_gate is None:
            self._closed_gate = gate
            self._ledger.close_gate(self._provider.name, gate, until=at + GATE_CLOSED, at=at)

    # -- poll and collect ------------------------------------------------------------------------

    async def _resume(self, item: WorkItem, attempt: Attempt) -> None:
        """Go on with an attempt that an earlier run left behind."""
        self.report.counts["resumed"] += 1
        state = attempt.state
        if state is _S.SENDING:
            # Whoever sent it is gone: the partition's lease is ours.
            await self._commit(
                self._move(attempt, state, _S.AMBIGUOUS, cause="interrupted_while_sending")
            )
            state = _S.AMBIGUOUS
        if state is _S.AMBIGUOUS:
            known = self._ledger.find_evidence_of_acceptance(attempt.attempt_id)
            told = (
                Submission(Verdict.ACCEPTED, known, cause="found_in_evidence")
                if known
                else await self._provider.reconcile(attempt, at=self._now())
            )
            await self._record(item, attempt, state, told)
            if told.verdict is Verdict.ACCEPTED:
                await self._slots.acquire()
                await self._follow(item, attempt, told.provider_job_id or "")
            elif told.verdict is Verdict.NOT_SENT:
                await self._slots.acquire()
                again = replace(item, attempt=replace(attempt, state=_S.INTENT))
                await self._guard(self._submit(again), again, holds_slot=True)
        elif state in {_S.ACCEPTED, _S.COMPLETED}:
            await self._slots.acquire()
            await self._follow(item, attempt, attempt.provider_job_id or "")

    async def _follow(self, item: WorkItem, attempt: Attempt, provider_job_id: str) -> None:
        at = self._now()
        if attempt.deadline_at and attempt.deadline_at < at:
            await self._finish(item, attempt, Phase.UNKNOWN_JOB, "stuck_past_deadline")
            self._slots.release()
            return
        self._items[provider_job_id] = (item, attempt)
        facts = item.recording.facts
        since = attempt.accepted_at
        self._watch.add(
            provider_job_id,
            audio_ms=facts.duration_ms if facts else None,
            elapsed_s=(at - since).total_seconds() if since else 0.0,
            is_done=AudioDelivery.DIRECT in self._provider.capabilities.deliveries,
        )

    async def _watch_all(self, tasks: asyncio.TaskGroup) -> None:
        async for observation in self._watch.observations():
            item, _ = self._items[observation.provider_job_id]
            tasks.create_task(self._guard(self._settle(observation), item, holds_slot=True))

    async def _settle(self, seen: Observation) -> None:
        item, attempt = self._items.pop(seen.provider_job_id)
        attempt = replace(attempt, provider_job_id=seen.provider_job_id)
        if seen.phase is Phase.COMPLETED:
            async with self._collects:
                await self._collect(item, attempt, seen)
        else:
            retry = seen.is_retryable and attempt.number < self._limits.max_attempts
            cause = seen.cause or "job_unknown_to_provider"
            await self._finish(item, attempt, seen.phase, cause, may_retry=retry)
        self._slots.release()

    async def _collect(self, item: WorkItem, attempt: Attempt, seen: Observation) -> None:
        """Keep the raw answer byte for byte, then say so."""
        body = seen.body or await self._provider.collect(seen.provider_job_id)
        key = make_raw_key(attempt.provider, attempt.recording_id, attempt.attempt_id)
        digest = await self._in_thread(self._keep, key, body)
        at = self._now()
        changes = [
            self._move(
                attempt,
                _S.COMPLETED,
                _S.STORED,
                values={"stored_at": at, "raw_key": key, "raw_sha256": digest},
            )
        ]
        if attempt.state is not _S.COMPLETED:
            values = {"completed_at": seen.completed_at or at}
            changes.insert(0, self._move(attempt, _S.ACCEPTED, _S.COMPLETED, values=values))
        await self._commit(*changes)
        self.report.counts["stored"] += 1
        self.report.audio_ms += item.recording.facts.duration_ms if item.recording.facts else 0

    def _keep(self, key: str, body: bytes) -> str:
        self._lake.put(key, zstandard.compress(body, 3))
        return sha256(body).hexdigest()

    async def _finish(
        self, item: WorkItem, attempt: Attempt, phase: Phase, cause: str, *, may_retry: bool = False
    ) -> None:
        to_state = _S.FAILED if phase is Phase.FAILED else _S.HELD
        await self._commit(
            self._move(
                attempt,
                _S.ACCEPTED,
                to_state,
                cause=cause,
                job_state=JobState.IN_PROGRESS if may_retry else None,
                due=self._now() + RETRY_AFTER * 2**attempt.number if may_retry else None,
            )
        )
        self.report.note(to_state, item.job.recording_id, cause)

    # -- what all steps share ----------------------------------------------------------------------

    def _move(
        self,
        attempt: Attempt,
        from_state: AttemptState,
        to_state: AttemptState,
        *,
        cause: str | None = None,
        detail: str | None = None,
        values: dict[str, Any] | None = None,
        job_state: JobState | None = None,
        due: datetime | None = None,
    ) -> Move:
        return Move(
            attempt.attempt_id,
            attempt.job_id,
            from_state,
            to_state,
            self._now(),
            cause,
            detail,
            values or {},
            job_state,
            due,
        )

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._limits.lease_s / 3)
            is_ours = await asyncio.to_thread(
                self._ledger.renew_lease, self._lease, at=self._now(), ttl_s=self._limits.lease_s
            )
            if not is_ours:
                raise LeaseLost(f"partition {self._lease.day}/{self._lease.provider}: taken over")

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)


def is_rewritten_by_clients(key: str) -> bool:
    """Say whether HTTP clients change this key's path (``a/../b``, ``//``) and fetch another object."""
    parts = key.split("/")
    return any(part in {"", ".", ".."} for part in parts)


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
