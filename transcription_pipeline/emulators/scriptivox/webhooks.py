"""Telling the customer's webhook that a job is in work, and how it ended.

API reference: ``transcription.processing``, then ``transcription.completed`` or
``transcription.failed``; no transcript inside; signed over ``{timestamp}.{body}``; sent once, given
30 seconds, one redirect followed by the same POST. Which of several keys of an account signs, how
the signature is written and in what the timestamp counts is not documented: the key last shown,
hexadecimal digits and seconds here. That a job's end waits until its start was delivered is our
reading of "exactly" these, in this order. ``desk.py`` starts deliveries.
"""

from __future__ import annotations

import asyncio
import hmac
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from transcription_pipeline.emulators.scriptivox.desk import Desk
from transcription_pipeline.emulators.scriptivox.jobs import Job, to_cents
from transcription_pipeline.emulators.webhooks import deliver

_TIMEOUT_S = 30.0


class Webhooks:
    """The deliveries of one emulator."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.announce = self.announce
        self.keys: dict[str, str] = {}
        """Account to the key it last showed. In memory alone: after a restart an account that has
        not shown one yet is told nothing."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Job to the order of its deliveries."""

    def announce(self, job: Job, _at: float, /) -> None:
        """Tell where a job stands, if anybody is to be told."""
        settings, key = self.desk.settings, self.keys.get(job.account)
        url = job.options.get("webhook_url") or settings.webhook_url
        if url and key and not settings.drops_webhooks:
            body = msgspec.json.encode(make_event(job))
            turn = self._turns.setdefault(job.id, asyncio.Lock())
            self.desk.backstage.spawn(self._post(turn, url, body, self._sign(body, key)))

    def _sign(self, body: bytes, api_key: str) -> dict[str, str]:
        stamp, hashed = f"{self.desk.backstage.clock.now():.0f}", sha256(api_key.encode())
        key = {
            "sha256_digest": hashed.digest(),
            "sha256_hex": hashed.hexdigest().encode(),
            "api_key": api_key.encode(),
        }[self.desk.settings.webhook_key]
        signature = hmac.new(key, stamp.encode() + b"." + body, sha256).hexdigest()
        return {"X-Scriptivox-Timestamp": stamp, "X-Scriptivox-Signature": signature}

    async def _post(
        self, turn: asyncio.Lock, url: str, body: bytes, headers: dict[str, str]
    ) -> None:
        async with turn:
            http = self.desk.backstage.http
            await deliver(http, url, body, headers, timeout_s=_TIMEOUT_S, redirects=1)


def make_event(job: Job) -> dict[str, Any]:
    """Write the event of a job as it stands; one that never came to be in work has no price."""
    status = "processing"
    if job.finished_at is not None:
        status = "completed" if job.failure is None else "failed"
    event = {"event": f"transcription.{status}", "transcription_id": job.id, "status": status}
    if job.failure is not None:
        return event | {"error": job.failure._asdict()}
    price = {"duration_seconds": (job.audio_ms or 0) / 1000}
    return event | price | {"cost_cents": to_cents(job.cost_micros or 0)}
