"""Who may come in, by which of three ways: Basic, a Bearer token of the right kind, or an API key.

Which way leads where follows the page "How Plaud Embedded works". Tokens are JWTs, as the vendor's
apps read them, and carry all that is known of them; the signing key is no secret, so that they
outlive a restart. ``app.py`` asks here before every endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from typing import Any, Literal

import msgspec
from starlette.requests import Request

from transcription_pipeline.emulators.plaud.jobs import PlaudSettings
from transcription_pipeline.emulators.plaud.refusals import Refusal

SIGNING_KEY = b"emulated plaud"
_HEADER = b'{"alg":"HS256","typ":"JWT"}'
_WAYS = {
    "token": "basic",
    "refresh": "basic",
    "user_token": "partner",
    "presign": "user",
    "complete": "user",
}
"""Operation to credentials; all others take the API key."""

Kind = Literal["partner", "refresh", "user"]


class Claims(msgspec.Struct, omit_defaults=True):
    """What a token says. ``client_id``, ``user_id``, ``sub`` and ``exp`` as the vendor's apps read."""

    kind: Kind
    client_id: str
    exp: float
    jti: str
    sub: str = ""
    user_id: str = ""


def write_token(kind: Kind, client_id: str, expires_at: float, *, user_id: str = "") -> str:
    """Make a token."""
    claims = Claims(kind, client_id, expires_at, uuid.uuid4().hex, user_id, user_id)
    head = _encode(_HEADER) + "." + _encode(msgspec.json.encode(claims))
    return f"{head}.{_sign(head)}"


def make_pair(client_id: str, now: float, settings: PlaudSettings) -> dict[str, Any]:
    """Make a partner token and what renews it, as both partner calls answer."""
    return {
        "access_token": write_token("partner", client_id, now + settings.token_s),
        "refresh_token": write_token("refresh", client_id, now + settings.refresh_token_s),
        "token_type": "bearer",
        "expires_in": settings.token_s,
    }


def read_token(token: str) -> Claims | None:
    """Read a token of ours; None for anything else. Whether it has expired is not looked at."""
    head, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _sign(head).encode()):
        return None
    claims = head.partition(".")[2]
    return msgspec.json.decode(base64.urlsafe_b64decode(claims + "=="), type=Claims)


class Door:
    """Checks credentials against the settings in force."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        """Client to the digest of the secret it last used; nothing else is kept of one."""

    def admit(self, request: Request, operation: str, settings: PlaudSettings, now: float) -> str:
        """Return the client, or for uploads client and user; refuses all else with 401."""
        way = _WAYS.get(operation)
        if way is None:
            return self._admit_by_key(request, settings)
        word, _, credentials = request.headers.get("authorization", "").partition(" ")
        if way == "basic":
            if word.lower() != "basic":
                raise Refusal(401, "Basic authorization with client_id and secret_key is required")
            return self._admit_by_secret(credentials, settings)
        claims = read_token(credentials) if word.lower() == "bearer" else None
        if claims is None or claims.kind != way:
            raise Refusal(401, f"A {way} access token is required")
        if claims.exp <= now:
            raise Refusal(401, "The access token has expired")
        return f"{claims.client_id}/{claims.user_id}" if way == "user" else claims.client_id

    def _admit_by_secret(self, credentials: str, settings: PlaudSettings) -> str:
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except ValueError:
            decoded = ""
        client_id, _, secret = decoded.partition(":")
        known = settings.clients
        if not client_id or not secret:
            raise Refusal(401, "The client credentials are malformed")
        if known is not None:
            self._check_client(client_id, settings)
            if known[client_id].secret_key != secret:
                raise Refusal(401, "The client credentials are invalid")
        self._secrets[client_id] = _digest(secret)
        return client_id

    def _admit_by_key(self, request: Request, settings: PlaudSettings) -> str:
        client_id = request.headers.get("x-client-id", "")
        key = request.headers.get("x-client-api-key", "")
        known = settings.clients
        if not client_id or not key:
            raise Refusal(401, "X-Client-Id and X-Client-Api-Key are required")
        if known is not None:
            self._check_client(client_id, settings)
            is_valid = known[client_id].api_key == key
        else:
            is_valid = _digest(key) != self._secrets.get(client_id) and read_token(key) is None
        if not is_valid:
            raise Refusal(401, "The API key is invalid")
        return client_id

    @staticmethod
    def _check_client(client_id: str, settings: PlaudSettings) -> None:
        clients: dict[str, Any] = settings.clients or {}
        if client_id not in clients or clients[client_id].region != settings.region:
            raise Refusal(401, "The client is unknown in this region")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _sign(head: str) -> str:
    return _encode(hmac.digest(SIGNING_KEY, head.encode(), "sha256"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
