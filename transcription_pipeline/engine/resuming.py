"""What an earlier run left behind: doubts to clear up, and jobs that are past their deadline.

Nothing here sends anything paid. A doubt ends with evidence in the ledger, with the provider's own
list, or with a proof that the request never arrived; ``partition_run.py`` goes on from there.
"""

from __future__ import annotations

from dataclasses import replace

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.engine.submitting import Submitting
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.answers import redact
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

_S = AttemptState


class Resuming:
    """Takes up attempts that an earlier run did not finish."""

    def __init__(self, place: Workplace, submitting: Submitting) -> None:
        self._place = place
        self._submitting = submitting

    async def clear_up(self, item: WorkItem, attempt: Attempt) -> WorkItem | None:
        """Find out what became of a request whose answer was lost.

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
            request = await place.in_thread(place.ledger.find_request, attempt.attempt_id)
            told = await place.provider.reconcile(attempt, at=place.now(), request=request)
        attempt = await self._submitting.record(item, attempt, told)
        if attempt.state in {_S.ACCEPTED, _S.INTENT}:
            return replace(item, attempt=attempt)
        if attempt.state is _S.ABANDONED:
            return replace(item, attempt=None)
        return None

    async def look_once_more(self, attempt: Attempt) -> Observation | None:
        """Look at a job past its deadline, which may have ended while nobody looked.

        Returns what ends it; None when it is still not finished, and is held from now on.
        """
        seen = await self._place.provider.observe(attempt.provider_job_id or "")
        if seen.phase is not Phase.RUNNING:
            return seen
        await self.hold(attempt, "stuck_past_deadline", f"last seen as {redact(seen.status)}")
        return None

    async def hold(self, attempt: Attempt, cause: str, detail: str) -> None:
        """Leave a job past its deadline to a person."""
        await self._place.move(attempt, _S.HELD, cause=cause, detail=detail)
        self._place.report.note("held", attempt.recording_id, cause)
