"""What providers send by themselves: whether it is really them, and of which job they speak.

What belongs here: signatures and bodies of deliveries, provider by provider; pure. What does not:
the receiver (``webhooks.py`` above this room). A delivery is a hint and nothing more: whoever forged
one would make us look at a job once, which is free.

Sources, read 2026-11-21: AssemblyAI's page "Webhooks for pre-recorded audio"; Scriptivox's API
reference as kept in its own MCP server, whose files disagree about the key; Aitronos' page
"Webhooks", which describes an envelope but none of the events a transcription sends.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from transcription_pipeline.errors import WebhookRefused

SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 - the name of a header
"""The header AssemblyAI is asked to send our secret in."""
MAX_AGE_S = 300.0
"""Scriptivox: "reject timestamps older than 5 min"."""
AITRONOS_EVENTS = ("transcription.completed", "transcription.failed")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STATUS = re.compile(r"[A-Za-z_.]{1,40}")
_MILLISECONDS = 1e11
"""A timestamp beyond this is in milliseconds: which of both is sent is not documented."""


class _Body(msgspec.Struct, gc=False):
    # Whatever else stands there, a transcript perhaps, is skipped unread.
    transcript_id: Any = None
    transcription_id: Any = None
    status: Any = None
    event: Any = None
    data: Any = None


_decoder = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One POST as it came in."""

    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    token: str
    """The last part of its path; empty where there is none."""
    at: float
    """When it came, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a delivery says."""

    provider_job_id: str
    status: str | None
    """The provider's own word; None when it gives none we could keep."""


def read_assemblyai(arrival: Arrival, secret: str) -> Delivery | None:
    """Read ``{"transcript_id", "status"}``; the secret we gave with the job comes in a header."""
    if not _is_equal(arrival.headers.get(SECRET_HEADER.lower(), ""), secret):
        raise WebhookRefused("the secret is missing or wrong")
    fields = _decode(arrival.body)
    if fields.transcript_id is None and fields.status == "redacted_audio_ready":
        return None  # it names no transcript
    return _make(fields.transcript_id, fields.status)


def read_scriptivox(arrival: Arrival, api_key: str) -> Delivery | None:
    """Read ``{"event", "transcription_id", "status"}``, signed over ``{timestamp}.{body}``.

    The key is SHA-256 of the API key in one vendor text and the API key itself in another; whether
    a hash means its digest or its hex digits, and how the signature is written, is in neither.
    """
    stamp = arrival.headers.get("x-scriptivox-timestamp", "")
    told = arrival.headers.get("x-scriptivox-signature", "").removeprefix("sha256=")
    if not re.fullmatch(r"[0-9]{1,16}", stamp):
        raise WebhookRefused("no timestamp")
    sent_at = float(stamp) / (1000 if float(stamp) > _MILLISECONDS else 1)
    if abs(arrival.at - sent_at) > MAX_AGE_S:
        raise WebhookRefused("the timestamp is too old or ahead")
    message = stamp.encode() + b"." + arrival.body
    hashed = sha256(api_key.encode())
    keys = (hashed.digest(), hashed.hexdigest().encode(), api_key.encode())
    made = [hmac.new(key, message, sha256) for key in keys]
    written = [text for m in made for text in (m.hexdigest(), b64encode(m.digest()).decode())]
    if sum(_is_equal(told, text) for text in written) == 0:  # all are compared, whatever is found
        raise WebhookRefused("the signature is missing or wrong")
    fields = _decode(arrival.body)
    return _make(fields.transcription_id, fields.status)


def make_aitronos_token(secret: str) -> str:
    """Return the last part of the path that Aitronos is given, and nobody else can know."""
    return hmac.new(secret.encode(), b"aitronos", sha256).hexdigest()


def read_aitronos(arrival: Arrival, secret: str) -> Delivery | None:
    """Read ``{"event", "data"}``; a job's webhook has no secret, so its path is one.

    Where the event names its transcription is not documented: ``data.transcription_id`` as in every
    other answer, or the same name beside it.
    """
    if not _is_equal(arrival.token, make_aitronos_token(secret)):
        raise WebhookRefused("the path is wrong")
    fields = _decode(arrival.body)
    named = fields.data.get("transcription_id") if isinstance(fields.data, dict) else None
    return _make(named or fields.transcription_id, fields.event)


READERS: Mapping[str, tuple[str, Callable[[Arrival, str], Delivery | None]]] = {
    "aitronos": ("transcription_webhook_secret", read_aitronos),
    "assemblyai": ("transcription_webhook_secret", read_assemblyai),
    "scriptivox": ("scriptivox_api_key", read_scriptivox),
}
"""Provider → the secret that proves its deliveries, and what reads them.

A reader raises ``WebhookRefused``; None is a delivery that names no job.
"""


def _is_equal(told: str, right: str) -> bool:
    return hmac.compare_digest(told.encode("utf-8", "replace"), right.encode())


def _decode(body: bytes) -> _Body:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WebhookRefused("the body is no JSON object", is_forged=False) from None


def _make(provider_job_id: object, status: object) -> Delivery:
    if not isinstance(provider_job_id, str) or not _JOB_ID.fullmatch(provider_job_id):
        raise WebhookRefused("it names no job", is_forged=False)
    is_word = isinstance(status, str) and _STATUS.fullmatch(status)
    return Delivery(provider_job_id, str(status) if is_word else None)
