"""Telling the customer's webhook that a transcript ended.

Page "Webhooks for pre-recorded audio", 2026: the POST names the transcript and its status and
nothing else; an answer of 2xx within ten seconds is a delivery, a 4xx ends all attempts, anything
else is repeated every ten seconds up to ten attempts. Deliveries wait on the emulator's clock;
``desk.py`` starts them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from transcription_pipeline.emulators.assemblyai.desk import Desk
from transcription_pipeline.emulators.assemblyai.jobs import Job
from transcription_pipeline.emulators.assemblyai.redaction import redacted_audio_url
from transcription_pipeline.emulators.webhooks import deliver

_ATTEMPTS = 10
_APART_S = 10.0
_TIMEOUT_S = 10.0


class Webhooks:
    """The deliveries of one emulator."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.backstage = desk.backstage
        desk.announce = self.announce
        self.base_url = ""
        """Where the service was last reached, for the addresses of redacted audio."""

    def announce(self, job: Job, at: float) -> None:
        """Tell of a finished job, if it has a webhook; later of its redacted audio too."""
        if not job.options.get("webhook_url"):
            return
        status = "error" if job.error is not None else "completed"
        self._deliver(job, {"transcript_id": job.id, "status": status}, 1)
        if job.options.get("redact_pii_audio") and job.error is None:
            # API reference, callbacks: this one names no transcript.
            ready = {
                "status": "redacted_audio_ready",
                "redacted_audio_url": redacted_audio_url(job, self.base_url),
            }
            self.backstage.timeline.at(
                at + self.desk.settings.redacted_audio_s, lambda _: self._deliver(job, ready, 1)
            )

    def _deliver(self, job: Job, body: dict[str, Any], attempt: int) -> None:
        self.backstage.spawn(self._post(job, body, attempt))

    async def _post(self, job: Job, body: dict[str, Any], attempt: int) -> None:
        headers: dict[str, str] = {}
        name = job.options.get("webhook_auth_header_name")
        if name:
            headers[name] = job.options["webhook_auth_header_value"]
        # Whether redirects are followed is not documented.
        url, told = job.options["webhook_url"], msgspec.json.encode(body)
        http = self.backstage.http
        status_code = await deliver(http, url, told, headers, timeout_s=_TIMEOUT_S)
        self.desk.note_webhook(job, status_code)
        is_over = status_code is not None and (200 <= status_code < 300 or 400 <= status_code < 500)
        if not is_over and attempt < _ATTEMPTS:
            again = self.backstage.clock.now() + _APART_S
            self.backstage.timeline.at(again, lambda _: self._deliver(job, body, attempt + 1))
