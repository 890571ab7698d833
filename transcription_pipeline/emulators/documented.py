"""The calls each vendor documents, emulated or not; ``coverage.py`` holds the emulators against them.

One list per vendor, from the pages and packages its emulator names as sources (read 2026-11-21). A
note says what is missing, or why all of it is; nothing here makes a call work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from transcription_pipeline.emulators.assemblyai.options import WITHOUT_EFFECT


@dataclass(frozen=True, slots=True)
class Call:
    """One documented call."""

    method: str
    path: str
    """As documented, names in braces; of an address that another answer tells, that field."""
    what: str
    note: str = ""
    is_partly: bool = False
    """Whether the note is about something that is missing."""
    told_path: str = ""
    """Where the emulator serves an address that another answer tells."""

    @property
    def example_path(self) -> str:
        """A path to ask the emulator for."""
        return re.sub(r"\{[^}]*\}", "1", self.told_path or self.path)


@dataclass(frozen=True, slots=True)
class Documents:
    """What one vendor documents."""

    calls: tuple[Call, ...]
    webhooks: str
    """What is emulated of calls the vendor makes itself."""


_NEWER_PACKAGES = "in newer vendor packages only; no page describes it"
_OTHER_PLAUD = "of an older generation of the API"
_DEVICES = "binds a recording device; no recording passes through it"

_PLAUD = Documents(
    (
        Call("POST", "/developer/api/oauth/partner/access-token", "partner token"),
        Call("POST", "/developer/api/oauth/partner/access-token/refresh", "refresh it"),
        Call("POST", "/developer/api/open/partner/users/access-token", "user token"),
        Call(
            "POST",
            "/developer/api/open/partner/files/upload/generate-presigned-urls",
            "addresses for the parts of a file",
        ),
        Call(
            "PUT",
            "PresignedUrl",
            "one part, to the object store",
            told_path="/_storage/parts/{file_id}/{number}",
        ),
        Call(
            "POST",
            "/developer/api/open/partner/files/upload/complete-upload",
            "make the file of its parts",
        ),
        Call(
            "GET",
            "DownloadUrl",
            "the file, from the object store",
            told_path="/_storage/files/{file_id}",
        ),
        Call(
            "POST",
            "/developer/api/open/partner/ai/transcriptions/",
            "submit",
            "taken and without effect: `detection_level`, `decode_silence`, `hotwords`, `model`",
            is_partly=True,
        ),
        Call(
            "GET",
            "/developer/api/open/partner/ai/transcriptions/{transcription_id}",
            "status and result",
            "`chapter` rows and word times: no page shows any",
        ),
        Call("*", "/developer/api/open/partner/sdk/bind", "bind", _DEVICES),
        Call("*", "/developer/api/open/partner/sdk/unbind", "unbind", _DEVICES),
        Call("*", "/developer/api/open/partner/sdk/binding", "look at bindings", _DEVICES),
        Call("POST", "/api/workflows/submit", "submit a workflow", _OTHER_PLAUD),
        Call("GET", "/api/workflows/{id}/status", "its status", _OTHER_PLAUD),
        Call("GET", "/api/workflows/{id}/result", "its result", _OTHER_PLAUD),
    ),
    "none are documented for this generation of the API, and none are sent",
)
_SCRIPTIVOX = Documents(
    (
        Call(
            "POST",
            "/v1/transcribe",
            "submit",
        ),
        Call("GET", "/v1/transcribe/{id}", "status, result, and `?format=srt|vtt|text`"),
        Call("DELETE", "/v1/transcribe/{id}", "delete"),
        Call("POST", "/v1/transcribe/{id}/cancel", "cancel, and release the money"),
        Call("GET", "/v1/transcriptions", "list"),
        Call("POST", "/v1/upload", "address for a file"),
        Call(
            "PUT",
            "upload_url",
            "the file, to the object store",
            told_path="/_storage/uploads/{upload_id}",
        ),
        Call("GET", "/v1/balance", "credit"),
        Call("POST", "/v1/deposit", "pay in", "in an older list of endpoints only"),
    ),
    "sent once as documented, signed with the key that `webhook_key` says; `drops_webhooks` loses them",
)
_AITRONOS = Documents(
    (
        Call(
            "POST",
            "/v1/audio/transcribe",
            "create",
            "`intelligence_features` are checked and without effect",
            is_partly=True,
        ),
        Call("GET", "/v1/audio/transcribe", "list"),
        Call("GET", "/v1/audio/transcribe/{id}", "status"),
        Call("DELETE", "/v1/audio/transcribe/{id}", "delete"),
        Call(
            "GET",
            "/v1/audio/transcribe/{id}/sentences",
            "sentences",
            "redaction is told in headers; no word is redacted",
            is_partly=True,
        ),
        Call(
            "GET",
            "/v1/audio/transcribe/{id}/paragraphs",
            "paragraphs",
            "as sentences",
            is_partly=True,
        ),
        Call("GET", "/v1/audio/transcribe/{id}/subtitles/{format}", "captions"),
        Call("GET", "/v1/audio/transcribe/{id}/search", "find a phrase", "501 by default: `stubs`"),
        Call(
            "GET",
            "/v1/audio/transcribe/{id}/redacted-audio",
            "address of redacted audio",
            "501 by default: `stubs`; there is no file behind the address",
            is_partly=True,
        ),
        Call("POST", "/v1/audio/files/upload", "upload a file", "501 by default: `stubs`"),
        Call(
            "POST",
            "/v1/audio/transcribe (multipart)",
            "create and wait",
            f"{_NEWER_PACKAGES}: with `form=multipart`, without word timings, instead of create",
            is_partly=True,
            told_path="/v1/audio/transcribe",
        ),
        Call("POST", "/v1/audio/diarize", "speakers alone", _NEWER_PACKAGES),
        Call("GET", "/v1/audio/models", "list models", _NEWER_PACKAGES),
    ),
    "`transcription.completed` and `transcription.failed` are sent once, in the envelope and with the "
    "headers of the page on registered webhooks: what a job's own says and whether it is repeated is "
    "not documented; `drops_webhooks` loses them",
)
_TRANSCRIPT = "/v2/transcript/{id}"
_ASSEMBLYAI = Documents(
    (
        Call("POST", "/v2/upload", "upload a file"),
        Call(
            "POST",
            "/v2/transcript",
            "submit",
            "taken and without effect: " + ", ".join(f"`{one}`" for one in sorted(WITHOUT_EFFECT)),
            is_partly=True,
        ),
        Call("GET", "/v2/transcript", "list"),
        Call(
            "GET",
            _TRANSCRIPT,
            "status and result",
            "analyses have their documented shapes and simple contents",
            is_partly=True,
        ),
        Call("DELETE", _TRANSCRIPT, "delete"),
        Call("GET", f"{_TRANSCRIPT}/sentences", "sentences"),
        Call("GET", f"{_TRANSCRIPT}/paragraphs", "paragraphs"),
        Call("GET", f"{_TRANSCRIPT}/word-search", "find words"),
        Call("GET", f"{_TRANSCRIPT}/srt", "captions"),
        Call("GET", f"{_TRANSCRIPT}/vtt", "captions"),
        Call(
            "GET",
            f"{_TRANSCRIPT}/redacted-audio",
            "address of redacted audio",
            "behind the address is silence of the right length",
            is_partly=True,
        ),
    ),
    "sent and repeated as documented",
)
DOCUMENTS = {
    "aitronos": _AITRONOS,
    "assemblyai": _ASSEMBLYAI,
    "plaud": _PLAUD,
    "scriptivox": _SCRIPTIVOX,
}
