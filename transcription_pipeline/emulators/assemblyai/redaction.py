"""Redacted audio: promised while it is made, there for a day, gone afterwards.

Page "PII redaction", 2026, and the codes by which the vendor's Python SDK goes on polling (202) or
gives up (400). Behind the address, which is signed and needs no key, is silence of the recording's
length in the format that was asked for: an emulator cannot find a word in a waveform. ``app.py`` and
``webhooks.py`` use this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from transcription_pipeline.emulators.assemblyai.jobs import Job
from transcription_pipeline.emulators.assemblyai.refusals import (
    NO_REDACTED_AUDIO,
    REDACTED_AUDIO_EXPIRED,
    STILL_IN_PROGRESS,
    Refusal,
)

STORE_PREFIX = "/api.assembly.ai.usw2/redacted-audio/"
"""Path of the published example, whose host is S3's."""
_KEPT_S = 86_400.0
"""Page "PII redaction", 2026: the URL is good for 24 hours."""
_WAV_RATE_HZ = 16_000
# One silent frame: MPEG-1 layer III, 128 kbit/s, 44,100 Hz, one channel.
_MP3_FRAME = b"\xff\xfb\x90\xc4".ljust(417, b"\0")
_MP3_FRAME_MS = 1_152 / 44.1
_CHUNK_BYTES = 64 * 1024


def redacted_audio_url(job: Job, base_url: str) -> str:
    """Name the redacted audio as the published example does, in a store of our own."""
    signed = urlencode({"Signature": _sign(job), "Expires": int(_expiry_of(job))})
    return f"{base_url.rstrip('/')}{STORE_PREFIX}{job.id}.{_quality_of(job)}?{signed}"


def look_for_redacted_audio(
    job: Job, status: str, now: float, ready_s: float, base_url: str
) -> tuple[int, dict[str, Any]]:
    """Answer with the address, or that it will be there.

    Raises:
        Refusal: It was not asked for, the transcript is not done, or a day has passed.
    """
    if not job.options.get("redact_pii_audio") or status == "error":
        raise Refusal(NO_REDACTED_AUDIO)
    if status != "completed" or job.finished_at is None:
        raise Refusal(STILL_IN_PROGRESS)
    if job.deleted_at is not None or now > _expiry_of(job):
        raise Refusal(REDACTED_AUDIO_EXPIRED)
    if now - job.finished_at < ready_s:
        return 202, {"status": "redacted_audio_processing"}  # the body is not documented
    url = redacted_audio_url(job, base_url)
    return 200, {"status": "redacted_audio_ready", "redacted_audio_url": url}


def send_redacted_audio(job: Job | None, request: Request, now: float) -> Response:
    """Send the audio itself, as the store does that holds it; no key is needed and none wanted."""
    signature = request.query_params.get("Signature")
    if job is None or signature != _sign(job) or now > _expiry_of(job):
        denied = "<Error><Code>AccessDenied</Code></Error>"
        return Response(denied, 403, media_type="application/xml")
    audio_ms, is_wav = job.audio_ms or 0, _quality_of(job) == "wav"
    head, frame = b"", _MP3_FRAME
    count = round(audio_ms / _MP3_FRAME_MS)
    if is_wav:
        frame, count = b"\0\0", audio_ms * _WAV_RATE_HZ // 1000
        head = _make_wav_head(2 * count)
    size = len(head) + len(frame) * count
    return StreamingResponse(
        _repeat(head, frame, count),
        media_type="audio/wav" if is_wav else "audio/mpeg",
        headers={"content-length": str(size)},
    )


def _repeat(head: bytes, frame: bytes, count: int) -> Iterator[bytes]:
    yield head
    at_once = _CHUNK_BYTES // len(frame)
    for start in range(0, count, at_once):
        yield frame * min(at_once, count - start)


def _make_wav_head(size: int) -> bytes:
    form = (16, 1, 1, _WAV_RATE_HZ, 2 * _WAV_RATE_HZ, 2, 16)
    return (
        struct.pack("<4sI8s", b"RIFF", 36 + size, b"WAVEfmt ")
        + struct.pack("<IHHIIHH", *form)
        + struct.pack("<4sI", b"data", size)
    )


def _quality_of(job: Job) -> str:
    return str(job.options.get("redact_pii_audio_quality", "mp3"))


def _expiry_of(job: Job) -> float:
    return (job.finished_at or 0.0) + _KEPT_S


def _sign(job: Job) -> str:
    # With a slash and a plus, as real ones have, so that a client must keep the spelling.
    return f"{sha256(job.id.encode()).hexdigest()[:16]}/+="
