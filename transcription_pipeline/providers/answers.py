"""What came back over HTTP, and how its words and headers are read; pure.

What belongs here: the answer as a value, a provider's own error text made safe to show, and
``Retry-After``. What does not: sending (``http.py``) and what an answer means (each provider).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from transcription_pipeline.errors import UnexpectedResponse

MAX_RETRY_AFTER_S = 900.0

_URL = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self, provider: str, operation: str) -> Any:
        """Decode the body; raises ``UnexpectedResponse`` for anything but JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = redact(self.headers.get("Content-Type", "no content type").split(";")[0])
            raise UnexpectedResponse(
                f"not JSON ({kind}, {len(self.body)} bytes)",
                provider=provider,
                operation=operation,
                status_code=self.status,
            ) from None


def describe_error(body: bytes) -> str:
    """Return the provider's own error text, one line, without URLs; for any body."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"an answer of {len(body)} bytes that is not JSON"
    text = value.get("error") or value.get("message") if isinstance(value, dict) else None
    if isinstance(text, dict):
        text = ": ".join(part for n in ("code", "message") if isinstance(part := text.get(n), str))
    return redact(text) if isinstance(text, str) and text else "no reason given"


def redact(text: str) -> str:
    """Take URLs (which may be signed) out of a text and keep one line of at most 200 characters.

    Only printable characters stay: the text goes to logs, terminals and databases.
    """
    plain = "".join(c if c.isprintable() else " " for c in _URL.sub("<url>", text))
    return " ".join(plain.split())[:200]


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read ``Retry-After`` as seconds, 0 to 900; None when absent or senseless (RFC 9110 §10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value[:9])
    else:
        try:
            at = parsedate_to_datetime(value)
            if at.tzinfo is None:
                at = at.replace(tzinfo=UTC)
            seconds = (at - (now or datetime.now(UTC))).total_seconds()
        # The parser is not proof against every text, nor the subtraction against every zone.
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, min(seconds, MAX_RETRY_AFTER_S))
