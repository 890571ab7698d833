"""Who may come in, and how often: API keys and the limits per minute.

Headers and limits are from the API reference; keys are never kept, only their digests. Whether a
refused request counts is not documented; it does not here. ``app.py`` asks before every endpoint.
"""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request

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
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def authenticate(request: Request, settings: ScriptivoxSettings) -> str:
    """Find the account of the key: raw or with ``Bearer``, or in ``X-Api-Key``."""
    key = read_key(request)
    known = settings.api_keys
    if not _KEY.fullmatch(key) or (known is not None and key not in known):
        raise Refusal("INVALID_API_KEY", "The API key is missing or malformed")
    if key in settings.revoked_keys:
        raise Refusal("API_KEY_REVOKED", "The API key was revoked")
    # Without configured keys each key is an account; its digest, as keys are never kept.
    return known[key] if known else hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def read_key(request: Request) -> str:
    """Read the key as it was sent; empty where there is none."""
    key = request.headers.get("authorization") or request.headers.get("x-api-key", "")
    return key.removeprefix("Bearer ")


def limits_of(
    request: Request, account: str, operation: str, factor: float
) -> list[tuple[tuple[str, str], float]]:
    """Say which limits per minute a request counts against: its endpoint's and the edge's."""
    client = request.client.host if request.client else ""
    return [
        ((account, operation), _LIMITS[operation] * factor),
        ((client, "edge"), _EDGE_LIMIT * factor),
    ]
