"""What a submit may ask for, and how a file may be called; refusals carry the vendor's codes.

Fields, ranges, the language list and the media types are from the API reference and the lists
beside it (languages.ts, product-info.ts). Which code answers both or neither of ``url`` and
``upload_id``, or ``speaker_count`` without ``diarize``, is not documented; 400 INVALID_REQUEST here.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from transcription_pipeline.emulators.scriptivox.refusals import Refusal

_LANGUAGES = """
af am ar as ast az ba be bg bn bo br bs ca ceb ckb cs cy da de el en es et eu fa ff fi fo fr ga gl
gu ha haw he hi hr ht hu hy id ig is it ja jw ka kam kea kk km kn ko ky la lb lg ln lo lt luo lv mg
mi mk ml mn mr ms mt my ne nl nn no nso ny oc om or pa pl ps pt ro ru sa sd si sk sl sn so sq sr su
sv sw ta te tg th tk tl tr tt uk umb ur uz vi wo xh yi yo yue zh zu
"""
LANGUAGES = frozenset(_LANGUAGES.split())
# The media types the vendor's own client uses; those of the other formats are not documented.
_MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "opus": "audio/opus",
    "aiff": "audio/aiff",
    "wma": "audio/x-ms-wma",
    "caf": "audio/x-caf",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
_OTHER_FORMATS = re.compile("mov|avi|mkv|wmv|flv|m4v|3gp|mpeg|mts|ogv|ts|vob|f4v")
_FIELDS: dict[str, type] = {
    "url": str,
    "upload_id": str,
    "language": str,
    "diarize": bool,
    "speaker_count": int,
    "align": bool,
    "webhook_url": str,
}
_MAX_URL_CHARS = 2048
_MAX_NAME_CHARS = 255
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

HttpWebhooks = Literal["refused", "loopback", "allowed"]


def check_options(body: Any, *, http_webhooks: HttpWebhooks) -> dict[str, Any]:
    """Check a submit body and return what it asks for, defaults filled in."""
    if not isinstance(body, dict):
        raise Refusal("INVALID_REQUEST", "The body must be a JSON object")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        kind = _FIELDS.get(name)
        if kind is None:
            continue  # what the service does with unknown fields is not documented; ignored here
        if type(value) is not kind:
            raise Refusal("INVALID_REQUEST", f"{name} has the wrong type")
    if ("url" in given) == ("upload_id" in given):
        raise Refusal("INVALID_REQUEST", "Exactly one of url and upload_id is required")
    _check_url(given.get("url"))
    _check_webhook_url(given.get("webhook_url"), http_webhooks)
    if "language" in given and given["language"] not in LANGUAGES:
        raise Refusal("INVALID_REQUEST", "Invalid language")
    speakers = given.get("speaker_count")
    if speakers is not None and not (given.get("diarize") and 1 <= speakers <= 50):
        raise Refusal("INVALID_REQUEST", "speaker_count must be 1 to 50 and needs diarize")
    diarize = given.get("diarize", False)
    # Quickstart: alignment is on by default, and always with diarize.
    return given | {"diarize": diarize, "align": diarize or given.get("align", True)}


def _check_url(url: str | None) -> None:
    if url is None:
        return
    if len(url) > _MAX_URL_CHARS:
        raise Refusal("INVALID_REQUEST", f"url must be at most {_MAX_URL_CHARS} characters")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Refusal("INVALID_REQUEST", "url is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal("INVALID_REQUEST", "url must be http or https")


def _check_webhook_url(url: str | None, http_webhooks: HttpWebhooks) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise Refusal("INVALID_REQUEST", "webhook_url is not a URL") from None
    is_let_through = http_webhooks == "allowed" or (
        http_webhooks == "loopback" and host in _LOOPBACK
    )
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_let_through)):
        raise Refusal("INVALID_REQUEST", "webhook_url must be HTTPS")


def check_filename(body: Any) -> str:
    """Check the body of an upload and return the media type its address is signed for."""
    filename = body.get("filename") if isinstance(body, dict) else None
    if not isinstance(filename, str) or not re.fullmatch(r"[^/\\\x00-\x1f]+", filename):
        raise Refusal("INVALID_FILENAME", "filename is missing or invalid")
    if len(filename) > _MAX_NAME_CHARS:  # the limit is not documented
        raise Refusal("INVALID_FILENAME", "filename is too long")
    extension = filename.rpartition(".")[2].lower()
    if _OTHER_FORMATS.fullmatch(extension):
        return "application/octet-stream"
    if extension not in _MEDIA_TYPES or "." not in filename:
        raise Refusal("INVALID_MEDIA_FORMAT", "This file extension is not supported")
    return _MEDIA_TYPES[extension]
