"""The bodies Plaud's endpoints take, and what is objected to in them.

Fields and limits are those of the pages; unknown fields are let through, and wrong ones are 422, for
neither is documented. ``app.py`` reads its requests by these.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from starlette.requests import Request

from transcription_pipeline.emulators.plaud.refusals import Refusal

MODELS = ("plaud-fast-whisper", "plaud-omni-3", "azure-fast-transcribe")
"""Reported of the OpenAPI file; the page names the first alone."""

BodyT = TypeVar("BodyT")


class UserToken(msgspec.Struct):
    """Page "Get User Token"."""

    user_id: Annotated[str, msgspec.Meta(min_length=6, max_length=120)]
    expires_in: Annotated[int, msgspec.Meta(ge=1)] = 86_400
    """Seconds; which range is honoured is not documented."""


class Presign(msgspec.Struct):
    """Page "Generate Presigned Upload URLs"."""

    filesize: int
    filetype: str


class ToldPart(msgspec.Struct, rename="pascal"):
    """A part as the client lists it."""

    part_number: int
    etag: str = msgspec.field(name="ETag")


class Complete(msgspec.Struct):
    """Page "Complete Multipart Upload"."""

    file_id: str
    upload_id: str
    part_list: list[ToldPart]
    filetype: str
    file_md5: str | None = None


class Transcribe(msgspec.Struct, frozen=True):
    """How speech becomes text."""

    language: str = "auto"
    model: str = MODELS[0]
    detection_level: Literal["segment", "chapter"] | None = None
    """Taken and not acted on: what it changes is not documented."""


class Vad(msgspec.Struct, frozen=True):
    """Taken and not acted on: our speech has no silence to decode."""

    decode_silence: bool = False


class Diarization(msgspec.Struct, frozen=True):
    """Who speaks when."""

    enabled: bool = False
    return_embedding: bool = False


class Params(msgspec.Struct, frozen=True):
    """``params`` of a submit."""

    transcribe: Transcribe = Transcribe()
    vad: Vad = Vad()
    diarization: Diarization = Diarization()
    hotwords: str | None = None
    """Comma separated; in one of two specification files only."""


class Submission(msgspec.Struct):
    """Page "Submit Audio for Transcription"."""

    file_url: str
    params: Params = Params()


async def read_body(request: Request, kind: type[BodyT]) -> BodyT:
    """Read a JSON body, or refuse it at its first fault."""
    _require(request, "application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(422, str(error)) from None


def require_form(request: Request) -> None:
    """Refuse what is not a form; the pages of both partner tokens ask for one."""
    _require(request, "application/x-www-form-urlencoded")


def _require(request: Request, wanted: str) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted:
        raise Refusal(415, f"Content-Type must be {wanted}")
