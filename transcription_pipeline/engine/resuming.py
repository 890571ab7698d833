"""What an earlier run left behind: doubts to clear up, and jobs that are past their deadline.

Nothing here sends anything paid. A doubt ends with evidence in the ledger, with the provider's own
list, or with a proof that the request never arrived; ``partition_run.py`` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.engine.forgotten import judge
from transcription_pipeline.engine.submitting import Submitting
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ProviderError,
    RequestRejected,
    SealedOtherwise,
    UnexpectedResponse,
)
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.answers import redact
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

OUTAGE = timedelta(days=1)
"""From the first look that fails past its time to the one that leaves the job to a person."""
LOOKING = timedelta(days=3)
"""By then every provider's list has told, or never will: audio that was uploaded is gone."""
_LOOK_FAILED = "look_failed"
_S = AttemptState


class Resuming:
    """Takes up attempts that an earlier run did not finish."""

    def __init__(self, place: Workplace, submitting: Submitting) -> None:
        self._place = place
        self._submitting = submitting

    async def clear_up(self, item: WorkItem, attempt: Attempt) -> WorkItem | None:
        """Find out what became of a request whose answer was lost, or is known since it was held.

        Returns:
            The job with its attempt ``accepted``; or with an attempt, or without one, that may be
            sent (again); None while nobody knows, or when only a person can tell.
        """
        place = self._place
        if attempt.state is _S.SENDING:
            # Whoever sent it is gone: the partition's lease is ours.
            attempt = await place.move(attempt, _S.AMBIGUOUS, cause="interrupted_while_sending")
        known = await place.in_thread(place.ledger.find_evidence_of_acceptance, attempt.attempt_id)
        if known:
            told = Submission(Verdict.ACCEPTED, known, cause="found_in_evidence")
        else:
            told = await judge(place, attempt, await self._look_up(attempt))
        if told.verdict is Verdict.ACCEPTED:
            told = await self._check_owner(attempt, told)
        attempt = await self._submitting.record(item, attempt, told)
        if attempt.state in {_S.ACCEPTED, _S.INTENT}:
            return replace(item, attempt=attempt)
        if attempt.state is _S.ABANDONED and attempt.number < place.limits.max_attempts:
            return replace(item, attempt=None)
        return None

    async def _look_up(self, attempt: Attempt) -> Submission:
        """Ask the provider; what could not be asked for days is left to a person."""
        place = self._place
        try:
            request = await place.in_thread(place.ledger.find_request, attempt.attempt_id)
            return await place.provider.reconcile(attempt, at=place.now(), request=request)
        except AuthenticationFailed:
            raise
        except (ProviderError, SealedOtherwise) as error:
            sent_at = attempt.sent_at or place.now()
            limit = max(attempt.url_expires_at or sent_at, sent_at + LOOKING)
            if not await self._is_away(attempt, limit):
                raise
            cause = "unreadable_past_deadline"
            return Submission(Verdict.CANNOT_KNOW, cause=cause, detail=str(error))

    async def _check_owner(self, attempt: Attempt, told: Submission) -> Submission:
        """A job that is another recording's cannot be this one's, whatever the provider says."""
        place = self._place
        named = (attempt.attempt_id, place.provider.name, told.provider_job_id or "")
        owner = await place.in_thread(place.ledger.find_other_owner, *named)
        if owner is None:
            return told
        detail = f"the provider named job {told.provider_job_id}, which belongs to attempt {owner}"
        return Submission(Verdict.CANNOT_KNOW, cause="job_of_another_attempt", detail=detail)

    async def end_late(self, attempt: Attempt, settle: Callable[[Observation], Any]) -> None:
        """Look at a job past its deadline, which may have ended while nobody looked.

        ``settle`` keeps what it came to. What is not finished is held; so is what nobody can read by
        now, which may have been paid for, and what a provider gone for a day cannot tell.
        """
        place = self._place
        try:
            seen = await place.provider.observe(attempt.provider_job_id or "")
            if seen.phase is Phase.RUNNING:
                await self._hold(
                    attempt, "stuck_past_deadline", f"last seen as {redact(seen.status)}"
                )
            else:
                await settle(seen)
        except (UnexpectedResponse, RequestRejected) as error:
            await self._hold(attempt, "unreadable_past_deadline", str(error))
        except ProviderError as error:
            if not error.is_transient or not await self._is_away(attempt, attempt.deadline_at):
                raise
            await self._hold(attempt, "unreachable_past_deadline", str(error))

    async def _is_away(self, attempt: Attempt, since: datetime | None) -> bool:
        """After a look that failed: say whether one did so a day ago already, ``since`` then."""
        place = self._place
        if since and place.now() < since:
            return False
        return place.now() >= await place.record_failure(attempt, _LOOK_FAILED, since) + OUTAGE

    async def _hold(self, attempt: Attempt, cause: str, detail: str) -> None:
        """Leave a job past its deadline to a person."""
        await self._place.move(attempt, _S.HELD, cause=cause, detail=detail)
        self._place.report.note("held", attempt.recording_id, cause)
