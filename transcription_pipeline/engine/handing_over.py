"""A recording's audio as a provider takes it: by a signed URL that names the attempt, or as bytes.

None of it is paid (``submitting.py`` is the only caller).
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from datetime import timedelta

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.domain.recording import Recording
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ObjectChanged,
    ObjectNotFound,
    ProviderError,
    RequestRejected,
    VersionLost,
)
from transcription_pipeline.providers.answers import redact
from transcription_pipeline.providers.base import Audio, AudioDelivery, Submission, Verdict
from transcription_pipeline.storage.layout import is_rewritten_by_clients

JUST_SEEN_S = 5.0
"""Bytes that were read so lately are taken for those that lie there."""
TRYING = timedelta(days=3)
"""From the first failure to hand audio over to the one that ends it, unpaid; ``tp retry`` begins anew."""


def goes_by_url(place: Workplace, recording: Recording) -> bool:
    """Say whether the provider fetches this recording itself."""
    takes_urls = AudioDelivery.URL in place.provider.capabilities.deliveries
    return takes_urls and not is_rewritten_by_clients(recording.key)


async def hand_over(place: Workplace, recording: Recording, attempt: Attempt) -> Audio | Submission:
    """Let the provider have the audio: by a URL that names the attempt, or its bytes.

    Returns the audio as it is to be submitted; or ``REJECTED`` when there is nothing left to send or
    it is not taken (or was not, for days), ``NOT_SENT`` when it is not taken for want of funds.
    """
    try:
        return await place.provider.upload(await _make_audio(place, recording, attempt.attempt_id))
    except VersionLost as error:
        # A newer version is a recording of its own.
        return Submission(Verdict.REJECTED, cause=error.reason)
    except RequestRejected as error:
        detail = redact(str(error))
        if error.status_code == 402:
            return Submission(Verdict.NOT_SENT, cause="gate_funds", detail=detail, gate="funds")
        return Submission(Verdict.REJECTED, cause="upload_rejected", detail=detail)
    except AuthenticationFailed:
        raise
    except ProviderError as error:
        if place.now() < await place.record_failure(attempt, "upload_failed") + TRYING:
            raise
        detail = redact(str(error))
        return Submission(Verdict.REJECTED, cause="upload_past_deadline", detail=detail)


async def _make_audio(place: Workplace, recording: Recording, token: str) -> Audio:
    url = None
    if goes_by_url(place, recording):
        url = await place.in_thread(_sign, place, recording, token)
    return Audio(
        recording_id=recording.recording_id,
        size_bytes=recording.size_bytes,
        duration_ms=recording.facts.duration_ms if recording.facts else None,
        open_stream=lambda: _stream(place, recording),
        facts=recording.facts,
        url=url,
    )


def _sign(place: Workplace, recording: Recording, token: str) -> str | None:
    """Sign a URL, which cannot name a version: what lies there now must be this one."""
    key = recording.key
    seen_at = place.looked_into.get(recording.recording_id, -math.inf)
    if time.monotonic() - seen_at > JUST_SEEN_S:
        found = place.audio.find(key)
        if found is None:
            raise ObjectNotFound("this version is gone", key=key)
        if found.etag != recording.etag:
            raise ObjectChanged("another version", key=key)
    return place.audio.presign(key, expires_s=place.limits.url_expires_s, token=token)


async def _stream(place: Workplace, recording: Recording) -> AsyncIterator[bytes]:
    chunks = place.audio.iterate(recording.key, if_match=recording.etag)
    while chunk := await place.in_thread(next, chunks, b""):
        yield chunk
