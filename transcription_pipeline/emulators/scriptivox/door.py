"""Who may come in, and how often: API keys and the limits per minute.

Headers and limits are from the API reference; keys are never kept, only their digests. ``app.py``
asks here before every endpoint.
"""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request

from transcription_pipeline.emulators.clock import Clock
from transcription_pipeline.emulators.scriptivox.jobs import ScriptivoxSettings
from transcription_pipeline.emulators.scriptivox.refusals import Refusal

# Per key and minute; and 300 per minute and address over all of them.
_LIMITS = {
    "submit": 60,
    "get": 200,
    "cancel": 30,
    "delete": 30,
    "list": 60,
    "upload": 60,
    "balance": 100,
}
_EDGE_LIMIT = 300
_MINUTE_S = 60.0
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class Door:
    """Counts what came in during the present minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def forget(self) -> None:
        """Start counting anew."""
        self._windows.clear()

    def authenticate(self, request: Request, settings: ScriptivoxSettings) -> str:
        """Find the account of the key: raw or with ``Bearer``, or in ``X-Api-Key``."""
        key = request.headers.get("authorization") or request.headers.get("x-api-key", "")
        key = key.removeprefix("Bearer ")
        known = settings.api_keys
        if not _KEY.fullmatch(key) or (known is not None and key not in known):
            raise Refusal("INVALID_API_KEY", "The API key is missing or malformed")
        if key in settings.revoked_keys:
            raise Refusal("API_KEY_REVOKED", "The API key was revoked")
        # Without configured keys each key is an account; its digest, as keys are never kept.
        return known[key] if known else hashlib.blake2b(key.encode(), digest_size=8).hexdigest()

    def count(self, request: Request, account: str, operation: str, factor: float) -> None:
        """Count a request against its endpoint's limit and the edge's.

        Whether windows are fixed or sliding, and whether a refused request counts, is not
        documented; fixed windows of accepted requests here.
        """
        if not factor:
            return
        now = self._clock.now()
        client = request.client.host if request.client else ""
        windows = [(account, operation, _LIMITS[operation]), (client, "edge", _EDGE_LIMIT)]
        opened = []
        for owner, name, limit in windows:
            start, count = self._windows.get((owner, name), (now, 0))
            if not start <= now < start + _MINUTE_S:
                start, count = now, 0
            if count >= limit * factor:
                wait = {"retry-after": str(max(1, round(start + _MINUTE_S - now)))}
                raise Refusal("RATE_LIMIT_EXCEEDED", "Too many requests", wait)
            opened.append(((owner, name), (start, count + 1)))
        self._windows.update(opened)
