"""AssemblyAI's redacted audio: asked for until it is there, and brought to a file.

What belongs here: one conversation about one transcript, and when to give up. ``assemblyai.py``
starts it. The rules are those of the page "PII redaction" and of the vendor's Python SDK 1.8.2, both
read 2026-11-21: 202 until the audio is there, a signed address that lives for 24 hours, 400 when
there is none or no more.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from transcription_pipeline.errors import (
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.base import SideFile
from transcription_pipeline.providers.http import ProviderHttp

KIND = "redacted_audio"
LOOK_S = 3.0
"""Page "PII redaction": poll every few seconds."""
IN_PROGRESS = "still in progress"


class RedactedAudio:
    """Brings redacted audio; ``wait_s`` and ``look_s`` say for how long and how often it asks."""

    def __init__(self, http: ProviderHttp, *, wait_s: float, look_s: float) -> None:
        self._http = http
        self._wait_s = wait_s
        self._look_s = look_s

    async def fetch(self, provider_job_id: str, into: Path) -> SideFile:
        """Bring the redacted audio of a completed transcript to ``into``, or say why not.

        What stands in the way of one look does not end the wait; only a refusal, or an address we
        would not go to, does. Raises ``AuthenticationFailed``.
        """
        give_up_at = time.monotonic() + self._wait_s
        while True:
            try:
                url = await _ask(self._http, provider_job_id)
                if url is not None:
                    await self._http.fetch_elsewhere(KIND, url, into)
                    return SideFile(KIND, into)
                cause = "redacted_audio_not_ready"
            except (ProviderUnavailable, RateLimited):
                cause = "redacted_audio_unavailable"
            except RequestRejected as error:
                if IN_PROGRESS not in str(error):
                    return SideFile(KIND, cause="redacted_audio_refused")
                cause = "redacted_audio_not_ready"
            except UnexpectedResponse:
                return SideFile(KIND, cause="redacted_audio_bad_answer")
            if time.monotonic() + self._look_s > give_up_at:
                return SideFile(KIND, cause=cause)
            await asyncio.sleep(self._look_s)


async def _ask(http: ProviderHttp, provider_job_id: str) -> str | None:
    """Return the address of the audio; None while there is none."""
    answer = await http.send(
        KIND,
        "GET",
        f"/v2/transcript/{provider_job_id}/redacted-audio",
        provider_job_id=provider_job_id,
    )
    if answer.status == 202:
        return None
    value = answer.json("assemblyai", KIND)
    url = value.get("redacted_audio_url") if isinstance(value, dict) else None
    if not isinstance(url, str):
        raise UnexpectedResponse("no redacted_audio_url", provider="assemblyai", operation=KIND)
    return url
