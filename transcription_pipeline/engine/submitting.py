"""The paid step: durable intent, one request, durable evidence.

A request that is on the wire is never cut short: it runs in a task of its own, shielded from
whatever ends the run, and ``let_land`` waits for it. What the provider answered is a value
(``Submission``) and is recorded here; ``partition_run.py`` and ``resuming.py`` call this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

from transcription_pipeline.domain.job import Attempt, AttemptState, JobState, make_attempt_id
from transcription_pipeline.engine.handing_over import goes_by_url, hand_over
from transcription_pipeline.engine.room import check_room
from transcription_pipeline.engine.slots import Begun
from transcription_pipeline.engine.trust import Trust
from transcription_pipeline.engine.workplace import BREAKER, RETRY_AFTER, Workplace
from transcription_pipeline.errors import AuthenticationFailed, BudgetExceeded, ProviderError
from transcription_pipeline.ledger.changes import Change, OpenAttempt, Postpone, Saw
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import Audio, Submission, Verdict

AT_ONCE = 32
"""Paid requests on the wire once the provider has shown that it answers them (``trust.py``)."""
SENDS_PER_RUN = 20
"""How often one attempt is sent again within a run after answers that prove it was not taken."""
LONGEST_WAIT_S = 120.0
"""A longer wait is not slept through but becomes the job's next due instant."""
_S = AttemptState
_FAILED = JobState.FAILED
_AFTER = {
    Verdict.ACCEPTED: _S.ACCEPTED,
    Verdict.NOT_SENT: _S.INTENT,
    Verdict.REJECTED: _S.REJECTED,
    Verdict.AMBIGUOUS: _S.AMBIGUOUS,
    Verdict.NEVER_ARRIVED: _S.ABANDONED,
    Verdict.CANNOT_KNOW: _S.HELD,
}


class Submitting:
    """Sends the paid requests of one run and remembers what came of each."""

    def __init__(self, place: Workplace, *, slots: int) -> None:
        self._place = place
        self._most = min(AT_ONCE, slots)
        self._trust = Trust(self._most)
        self._is_on_trial = False
        """Whether the gate was closed, and nothing was accepted since."""
        self._on_the_wire: set[asyncio.Task[tuple[Attempt, Submission]]] = set()
        self._is_over = False
        """Whether nothing more is begun."""
        self._begun = Begun()

    async def try_again(self, closed_for: str) -> None:
        """Ask a provider whose gate was closed something free, before it is sent anything paid.

        If that goes wrong the gate stays closed; if not, one paid request goes first.
        """
        place = self._place
        try:
            is_well = (await place.provider.check()).is_well
        except AuthenticationFailed:
            closed_for, is_well = "auth", False
        except ProviderError:
            is_well = False
        if not is_well:
            await place.close_gate(closed_for)
        self._trust, self._is_on_trial = Trust(self._most, at_first=1), True

    async def submit(self, item: WorkItem) -> Attempt | None:
        """Hand the audio over and send the paid request, again where that is proved to be safe.

        Returns the accepted attempt. None when there is none: why is in the ledger and the report.
        """
        async with self._trust.one_request():
            if self._is_over or self._is_gated(item):
                return None
            try:
                with self._begun.one():
                    return await self._send_until_told(item)
            except BudgetExceeded:
                midnight = self._place.now().replace(hour=0, minute=0, second=0, microsecond=0)
                await self._place.postpone(item, "budget_exceeded", midnight + timedelta(days=1))
                return None

    async def finish(self) -> None:
        """Begin nothing more, and return when what was begun is answered and recorded.

        So an upload may outlast a run's window; it has a deadline of its own, by its size.
        """
        self._is_over = True
        await self._begun.wait_for_all()

    async def let_land(self) -> None:
        """Wait until every paid request that is on the wire is answered and recorded.

        Impatience does not help: a second cancellation is obeyed only after that. It is bounded by
        the deadline of one request, or of what is recognised on this machine by its length.
        """
        was_cancelled = False
        while self._on_the_wire:
            try:
                await asyncio.wait(self._on_the_wire)
            except asyncio.CancelledError:
                was_cancelled = True
        if was_cancelled:
            raise asyncio.CancelledError

    async def record(self, item: WorkItem, attempt: Attempt, told: Submission) -> Attempt:
        """Make durable what a submit, or a later look, told about an attempt."""
        place, at = self._place, self._place.now()
        to_state = _AFTER[told.verdict]
        seen = Saw(
            attempt.attempt_id,
            told.verdict.value,
            at,
            told.provider_job_id,
            told.cause,
            told.detail,
        )
        values: dict[str, Any] = {}
        due = None
        if told.verdict is Verdict.ACCEPTED:
            deadline_at = at + timedelta(seconds=place.provider.capabilities.deadline_s)
            values = {
                "provider_job_id": told.provider_job_id,
                "accepted_at": at,
                "deadline_at": deadline_at,
            }
        elif told.verdict is Verdict.AMBIGUOUS:
            due = at + timedelta(seconds=told.retry_after_s or RETRY_AFTER.total_seconds())
        self._count(item, to_state, told)
        # Proved dead each time, and yet not for ever: somewhere requests get lost.
        is_last = to_state is _S.ABANDONED and attempt.number >= place.limits.max_attempts
        if to_state is attempt.state:
            waits = Postpone(attempt.job_id, due or at, told.cause or "ambiguous", at)
            await place.commit(seen, waits)
            return attempt
        return await place.move(
            attempt,
            to_state,
            seen,
            cause=told.cause,
            detail=told.detail,
            values=values,
            job_state=_FAILED if is_last else None,
            due=due,
        )

    # -- one attempt -----------------------------------------------------------------------------

    async def _send_until_told(self, item: WorkItem) -> Attempt | None:
        opening: list[Change] = []
        attempt = item.attempt
        if attempt is None:
            attempt, opened = self._make_attempt(item)
            opening = [opened]
        if opening and not goes_by_url(self._place, item.recording):
            # Money is reserved before bytes are moved; a URL costs nothing to make.
            await self._place.commit(*opening)
            opening = []
        for _ in range(SENDS_PER_RUN):
            attempt, told = await self._send_once(item, attempt, opening)
            opening = []
            if told.verdict is Verdict.ACCEPTED:
                return attempt
            if told.verdict is not Verdict.NOT_SENT or self._is_gated(item):
                return None
            wait_s = told.retry_after_s or 1.0
            if wait_s > LONGEST_WAIT_S:
                until = self._place.now() + timedelta(seconds=wait_s)
                await self._place.postpone(item, told.cause or "not_sent", until)
                return None
            await asyncio.sleep(wait_s)
            if self._is_over:
                return None
        await self._place.postpone(item, told.cause or "not_sent")
        return None

    def _make_attempt(self, item: WorkItem) -> tuple[Attempt, OpenAttempt]:
        place, job, facts = self._place, item.job, item.recording.facts
        number = item.attempt_count + 1
        cost = place.provider.price(job.options, facts.duration_ms if facts else 0)
        route = place.find_route(item.recording.key)
        opening = OpenAttempt(
            attempt_id=make_attempt_id(job.job_id, number),
            job_id=job.job_id,
            recording_id=job.recording_id,
            provider=place.provider.name,
            number=number,
            at=place.now(),
            reserved_micros=cost.micros if cost else None,
            currency=cost.currency if cost else None,
            cap_micros=place.limits.cap_micros,
            route=route.match if route else None,
            route_cap_micros=route.caps_micros.get(place.provider.name) if route else None,
        )
        attempt = Attempt(
            attempt_id=opening.attempt_id,
            job_id=opening.job_id,
            recording_id=opening.recording_id,
            provider=opening.provider,
            number=number,
            state=_S.INTENT,
        )
        return attempt, opening

    async def _send_once(
        self, item: WorkItem, attempt: Attempt, opening: Sequence[Change]
    ) -> tuple[Attempt, Submission]:
        place = self._place
        try:
            audio = await hand_over(place, item.recording, attempt)
        except ProviderError:
            if opening:  # what failed is told of an attempt
                await place.commit(*opening)
            raise
        if isinstance(audio, Submission):
            return await self._take_back(item, attempt, opening, audio), audio
        # Waiting for a turn may be cut short; from the durable intent on nothing is.
        await place.provider.wait_turn()
        sending = asyncio.create_task(self._send(item, attempt, opening, audio))
        self._on_the_wire.add(sending)
        sending.add_done_callback(self._has_landed)
        return await asyncio.shield(sending)

    async def _send(
        self, item: WorkItem, attempt: Attempt, opening: Sequence[Change], audio: Audio
    ) -> tuple[Attempt, Submission]:
        place = self._place
        if not place.provider.capabilities.is_free:
            check_room(place.folders, place.limits.reserve_bytes)
            await place.in_thread(place.claim.hold, place.adoption)
        request = place.provider.make_request(attempt.attempt_id, audio, item.job.options)
        sent_at, life = place.now(), timedelta(seconds=place.limits.url_expires_s)
        url = audio.url
        # An uploaded file does not expire on our word: only a URL we signed has an end we know.
        is_signed = url is not None and goes_by_url(place, item.recording)
        values = {
            "sent_at": sent_at,
            "region": place.provider.region,
            "account": place.provider.account,
            "audio_url_sha256": sha256(url.encode()).hexdigest() if url else None,
            "url_expires_at": sent_at + life if is_signed else None,
        }
        if place.provider.capabilities.keeps_request:
            values["request_sealed"] = place.ledger.seal.close(request.body)
        sending = await place.move(attempt, _S.SENDING, *opening, values=values)
        told = await place.provider.submit(request)
        recorded = await self.record(item, sending, told)
        await self._learn(told)
        return recorded, told

    async def _take_back(
        self, item: WorkItem, attempt: Attempt, opening: Sequence[Change], told: Submission
    ) -> Attempt:
        """End an attempt of which nothing was sent, or let it wait for an open gate."""
        if told.verdict is Verdict.NOT_SENT:
            await self._learn(told)
            return attempt
        why = {"cause": told.cause, "detail": told.detail, "job_state": _FAILED}
        moved = await self._place.move(attempt, _S.ABANDONED, *opening, **why)
        self._place.report.note("failed", item.job.recording_id, told.cause)
        return moved

    def _has_landed(self, sending: asyncio.Task[tuple[Attempt, Submission]]) -> None:
        self._on_the_wire.discard(sending)
        if not sending.cancelled():
            sending.exception()  # marked as seen: whoever waited may be gone

    # -- what it means for the next ones ---------------------------------------------------------

    def _is_gated(self, item: WorkItem) -> bool:
        gate = self._place.closed_gate
        if gate is not None:
            self._place.report.note("gated", item.job.recording_id, gate)
        return gate is not None

    def _count(self, item: WorkItem, to_state: AttemptState, told: Submission) -> None:
        report = self._place.report
        if to_state in {_S.REJECTED, _S.HELD, _S.AMBIGUOUS}:
            report.note(to_state.value, item.job.recording_id, told.cause)
        else:
            report.counts[told.verdict.value] += 1

    async def _learn(self, told: Submission) -> None:
        """Trust the provider more or less, and close its gate when it must be."""
        if told.verdict is Verdict.ACCEPTED:
            self._trust.gain()
            if self._is_on_trial:
                self._is_on_trial = False
                await self._place.in_thread(self._place.ledger.open_gate, self._place.provider.name)
        elif told.verdict is Verdict.AMBIGUOUS:
            self._trust.lose()
        gate = told.gate or (BREAKER if self._trust.is_lost else None)
        if gate:
            await self._place.close_gate(gate)
            self._trust.let_all_through()
