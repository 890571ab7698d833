"""The codes with which Scriptivox refuses a request or fails a job.

Codes and statuses are from the API reference; its sentences are not, as a rule, and those here are
ours, but "Invalid language" (the vendor's smoke test expects it) and "Cancelled by customer".
``desk.py`` puts a ``Failure`` into a job.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from starlette.responses import Response

from transcription_pipeline.emulators.endpoints import Refused, answer_json

_STATUSES = {
    "INVALID_REQUEST": 400,
    "INVALID_FILENAME": 400,
    "INVALID_MEDIA_FORMAT": 400,
    "FILE_NOT_UPLOADED": 400,
    "FILE_TOO_LARGE": 400,
    "UPLOAD_ALREADY_USED": 400,
    "UPLOAD_EXPIRED": 400,
    "INVALID_API_KEY": 401,
    "API_KEY_REVOKED": 401,
    "ZERO_BALANCE": 402,
    "INSUFFICIENT_BALANCE": 402,
    "UPLOAD_NOT_FOUND": 404,
    "TRANSCRIPTION_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "IDEMPOTENCY_KEY_LOCKED": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "IDEMPOTENCY_KEY_CONFLICT": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
}
_BY_STATUS = {status: code for code, status in reversed(_STATUSES.items())}


class Refusal(Refused):
    """A request that gets an HTTP error in the vendor's envelope."""

    def __init__(self, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self.code = code
        self.message = message
        self.status = _STATUSES[code]
        self.headers = headers or {}
        super().__init__(f"{code}: {message}")

    def answer(self, _at: float, /) -> Response:
        """Write the error in its envelope."""
        return answer_json(make_envelope(self.code, self.message), self.status, self.headers)


class Failure(NamedTuple):
    """Why a job failed; nested under ``error`` in its answer."""

    code: str
    message: str


CANCELLED = Failure("CANCELLED", "Cancelled by customer")


def make_envelope(code: str, message: str) -> dict[str, Any]:
    """Wrap an error as every endpoint does."""
    return {"error": {"code": code, "message": message}}


def code_for(status: int) -> str:
    """Name the first code of a status; one without a code gets INTERNAL_ERROR."""
    return _BY_STATUS.get(status, "INTERNAL_ERROR")


def read_failure(text: str) -> Failure:
    """Read the error a fault rule orders: ``CODE``, ``CODE: message``, or a message alone."""
    match = re.fullmatch(r"([A-Z][A-Z_]{2,63})(?:: (.*))?", text, re.DOTALL)
    if match is None:
        return Failure("INTERNAL_ERROR", text)
    return Failure(match[1], match[2] or "The transcription failed.")
