"""Telling the customer's webhook that a transcription ended.

"Create transcription" names the field and two events; what a delivery says is not documented. Ours
has the envelope and the headers of the page "Webhooks" (docs.aitronos.com), which is about
registered webhooks and other events, and inside it id and status. Order of events, repeats and
timeouts are not documented: sent once, given ten seconds, no redirect. ``desk.py`` starts deliveries.
"""

from __future__ import annotations

import hmac
import uuid
from hashlib import sha256

import msgspec

from transcription_pipeline.emulators.aitronos.desk import Desk
from transcription_pipeline.emulators.aitronos.jobs import Job
from transcription_pipeline.emulators.aitronos.refusals import write_instant
from transcription_pipeline.emulators.webhooks import deliver

EVENTS = ("transcription.completed", "transcription.failed")
"""Told of where a request names none; that is our choice."""
_TIMEOUT_S = 10.0


class Webhooks:
    """The deliveries of one emulator."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.announce = self.announce

    def announce(self, job: Job, at: float, /) -> None:
        """Tell of a finished job, if anybody is to be told of that."""
        hook = job.options.get("webhook", {})
        status = "completed" if job.error is None else "failed"
        event = f"transcription.{status}"
        is_wanted = hook.get("url") and event in hook.get("events", EVENTS)
        if not is_wanted or self.desk.settings.drops_webhooks:
            return
        job.seen_at = max(job.seen_at, at)  # who tells of an end knows of it, and a get shows it
        delivery_id = f"del_{uuid.uuid4().hex}"
        told = {
            "event": event,
            "data": {"transcription_id": job.id, "status": status},
            "timestamp": write_instant(at),
            "webhook_id": f"wh_{job.id.removeprefix('trans_')}",
            "delivery_id": delivery_id,
        }
        headers = {
            "User-Agent": "Freddy-Webhook/1.0",
            "X-Freddy-Event": event,
            "X-Freddy-Delivery": delivery_id,
        }
        self.desk.backstage.spawn(self._post(hook["url"], msgspec.json.encode(told), headers))

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        secret = self.desk.settings.webhook_secret
        if secret:
            signature = hmac.new(secret.encode(), body, sha256).hexdigest()
            headers["X-Freddy-Signature"] = f"sha256={signature}"
        await deliver(self.desk.backstage.http, url, body, headers, timeout_s=_TIMEOUT_S)
