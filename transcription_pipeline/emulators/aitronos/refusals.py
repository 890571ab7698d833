"""The codes with which Aitronos refuses a request, in its envelope.

Codes of 401, 402, 403 and 422 are from the page "Error codes" and "Create transcription"; those of
404, 409, 429 and 501 are not documented and are obvious placeholders.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from transcription_pipeline.emulators.clock import to_utc
from transcription_pipeline.emulators.endpoints import Refused, answer_json

_STATUSES = {
    "AUTHENTICATION_REQUIRED": 401,
    "INVALID_API_KEY": 401,
    "API_KEY_DEACTIVATED": 401,
    "TOKEN_INVALID": 401,
    "INSUFFICIENT_SYNAPSES": 402,
    "ORGANIZATION_ACCESS_DENIED": 403,
    "TRANSCRIPTION_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "TRANSCRIPTION_NOT_READY": 409,
    "INVALID_AUDIO_URL": 422,
    "VALIDATION_ERROR": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
}
_BY_STATUS = {status: code for code, status in reversed(_STATUSES.items())}


class Refusal(Refused):
    """A request that gets an HTTP error in the vendor's envelope."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        system_message: str = "",
    ) -> None:
        self.code = code
        self.message = message
        self.system_message = system_message or message
        self.status = _STATUSES[code]
        self.details = details or {}
        self.headers = headers or {}
        super().__init__(f"{code}: {message}")

    def answer(self, at: float, /) -> Response:
        """Write the error in its envelope."""
        return answer_json(make_envelope(self, at), self.status, self.headers)


def write_instant(at: float) -> str:
    """Write an instant as the samples do."""
    return to_utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_envelope(refusal: Refusal, at: float, *, status: int | None = None) -> dict[str, Any]:
    """Wrap an error as the two documented samples do."""
    status = status or refusal.status
    kind = "server_error" if status >= 500 else "client_error"
    return {
        "success": False,
        "error": {
            "code": refusal.code,
            "message": refusal.message,
            "system_message": refusal.system_message,
            "type": "validation_error" if status == 422 else kind,
            "status": status,
            "details": refusal.details,
            "trace_id": str(uuid.uuid4()),
            "timestamp": write_instant(at),
        },
    }


def refuse_url(url: str, reason: str) -> Refusal:
    """Refuse an audio URL in the words of the documented sample."""
    return Refusal(
        "INVALID_AUDIO_URL",
        "The provided audio URL is invalid or inaccessible.",
        system_message="Audio URL validation failed",
        details={"audio_url": url, "reason": reason},
    )


def code_for(status: int) -> str:
    """Name the first code of a status; one without a code gets INTERNAL_ERROR."""
    return _BY_STATUS.get(status, "INTERNAL_ERROR")
