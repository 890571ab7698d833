"""Redacted audio: promised while it is made, there for a day, gone afterwards.

Page "PII redaction", 2026, and the codes by which the vendor's Python SDK goes on polling (202) or
gives up (400). There is no file behind the address: an emulator cannot find a word in a waveform;
``app.py`` and ``webhooks.py`` use this.
"""

from __future__ import annotations

from typing import Any

from transcription_pipeline.emulators.assemblyai.jobs import Job
from transcription_pipeline.emulators.assemblyai.refusals import (
    NO_REDACTED_AUDIO,
    REDACTED_AUDIO_EXPIRED,
    STILL_IN_PROGRESS,
    Refusal,
)

_KEPT_S = 86_400.0
"""Page "PII redaction", 2026: the URL is good for 24 hours."""
_PLACE = "https://s3.us-west-2.amazonaws.com/api.assembly.ai.usw2/redacted-audio"


def redacted_audio_url(job: Job) -> str:
    """Name the redacted audio as the published example does."""
    return f"{_PLACE}/{job.id}.{job.options.get('redact_pii_audio_quality', 'mp3')}"


def look_for_redacted_audio(
    job: Job, status: str, now: float, ready_s: float
) -> tuple[int, dict[str, Any]]:
    """Answer with the address, or that it will be there.

    Raises:
        Refusal: It was not asked for, the transcript is not done, or a day has passed.
    """
    if not job.options.get("redact_pii_audio") or status == "error":
        raise Refusal(NO_REDACTED_AUDIO)
    if status != "completed" or job.finished_at is None:
        raise Refusal(STILL_IN_PROGRESS)
    age_s = now - job.finished_at
    if job.deleted_at is not None or age_s > _KEPT_S:
        raise Refusal(REDACTED_AUDIO_EXPIRED)
    if age_s < ready_s:
        return 202, {"status": "redacted_audio_processing"}  # the body is not documented
    return 200, {"status": "redacted_audio_ready", "redacted_audio_url": redacted_audio_url(job)}
