"""Jobs that another ledger may have sent: after ``tp adopt`` each is looked up before it is paid for.

A ledger that took a lake over does not know what was sent before: by another one, or by a newer copy
of itself. Identities of attempts are derived, so a provider's list can be asked for the one that
would be next; until it is proved never to have been sent, no attempt of the job is. What became of
it is found out in ``resuming.py``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from transcription_pipeline.domain.job import Attempt, AttemptState, make_attempt_id
from transcription_pipeline.engine.handing_over import goes_by_url
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.ledger.changes import Change, OpenAttempt, Saw
from transcription_pipeline.ledger.reading import ADOPTED
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import AudioDelivery, Provider, Submission, Verdict

SKEW = timedelta(minutes=10)
"""How far the bucket's clock and ours may lie apart."""
LATER_WISHES = timedelta(days=7)
"""Jobs made so long after the adoption were never another ledger's; fallbacks are made sooner."""
_S = AttemptState


async def doubt(place: Workplace, item: WorkItem) -> WorkItem | None:
    """Give a job an attempt of unknown outcome, if another ledger may have sent it.

    Returns the job with that attempt; None where it may be sent, because nobody else can have.
    """
    adoption, recording, job = place.adoption, item.recording, item.job
    if adoption is None or place.provider.capabilities.is_free:
        return None
    if recording.last_modified_at > adoption.at + SKEW:
        return None
    if job.created_at and job.created_at > adoption.at + LATER_WISHES:
        return None
    if await place.in_thread(place.ledger.is_proved_unsent, job.job_id, adoption.at):
        return None
    attempt = item.attempt or _make_attempt(item)
    # Nothing was sent before the recording was there, nor while this ledger knew of everything.
    sent_at = max(recording.last_modified_at, adoption.since or recording.last_modified_at)
    life = timedelta(seconds=place.limits.url_expires_s)
    values = {
        "sent_at": sent_at,
        "url_expires_at": adoption.at + life if goes_by_url(place, recording) else None,
    }
    opening: list[Change] = []
    if item.attempt is None:
        ids = (attempt.attempt_id, job.job_id, job.recording_id, job.provider, attempt.number)
        opening.append(OpenAttempt(*ids, place.now()))
    seen = Saw(attempt.attempt_id, ADOPTED, place.now())
    sending = await place.move(attempt, _S.SENDING, *opening, seen, values=values)
    unclear = await place.move(sending, _S.AMBIGUOUS, cause=ADOPTED)
    return replace(item, attempt=unclear, attempt_count=attempt.number)


async def judge(place: Workplace, attempt: Attempt, told: Submission) -> Submission:
    """Say what a look at the provider means for an attempt that may be another ledger's.

    That it is not there proves something only where nothing was paid with other accounts; and what
    nobody can know is told as what it is, for when it was sent is not known either.
    """
    adoption = place.adoption
    if adoption is None or told.verdict not in {Verdict.NEVER_ARRIVED, Verdict.CANNOT_KNOW}:
        return told
    if not await place.in_thread(place.ledger.find_first_seen, attempt.attempt_id, ADOPTED):
        return told
    why = told.cause  # its detail tells of the moment at which one of ours would have been sent
    if told.verdict is Verdict.NEVER_ARRIVED:
        others = await place.in_thread(place.claim.find_other_accounts)
        if not others:
            return told
        why = f"not listed here, but the lake was also paid for with {', '.join(others)}"
    first = f"{attempt.sent_at:%Y-%m-%d %H:%M}" if attempt.sent_at else "?"
    detail = (
        f"another ledger sent it, if anybody, between {first} and {adoption.at:%Y-%m-%d %H:%M} UTC"
    )
    return Submission(Verdict.CANNOT_KNOW, cause=ADOPTED, detail=f"{detail}: {why}")


def name_account(provider: Provider) -> str:
    """Name where paid requests of a provider go, and how, so far as its list depends on it."""
    can = provider.capabilities
    if can.is_free:
        return ""
    how = "url" if AudioDelivery.URL in can.deliveries else "upload"
    return f"{provider.name}/{provider.region or '-'}.{provider.account or '-'}.{how}"


def _make_attempt(item: WorkItem) -> Attempt:
    number = item.attempt_count + 1
    return Attempt(
        attempt_id=make_attempt_id(item.job.job_id, number),
        job_id=item.job.job_id,
        recording_id=item.job.recording_id,
        provider=item.job.provider,
        number=number,
        state=_S.INTENT,
    )
