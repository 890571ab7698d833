"""How Plaud refuses a request, and how its object store does.

No error body of these endpoints is documented; ``{"code", "message"}`` is the one error object of
the vendor's specification (device binding), names like FILE_TYPE_INVALID are from its older page of
error codes. ``app.py`` and ``uploads.py`` raise and answer these.
"""

from __future__ import annotations

from starlette.responses import Response

from transcription_pipeline.emulators.endpoints import Refused, answer_json


class Refusal(Refused):
    """A request that gets an HTTP error in the vendor's error object."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.message = message
        self.headers = headers
        super().__init__(f"{status}: {message}")

    def answer(self, _at: float, /) -> Response:
        """Write the error; the code is the status, for want of a documented one."""
        body = {"code": self.status, "message": self.message}
        return answer_json(body, self.status, self.headers)


class StoreRefusal(Refused):
    """A request that the object store turns down, in the XML of S3."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{status}: {code}")

    def answer(self, _at: float, /) -> Response:
        """Write the error."""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code></Error>'
        return Response(body, self.status, media_type="application/xml")
