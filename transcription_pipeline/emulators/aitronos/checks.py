"""What the service objects to in a create request.

Fields and ranges are from the page "Create transcription". Whether unknown fields are refused is
documented for other endpoints only; they are let through here. ``app.py`` calls this before
anything is charged.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from transcription_pipeline.emulators.aitronos.refusals import Refusal, refuse_url

_ORGANIZATION = re.compile(r"org_[A-Za-z0-9]{1,64}")
_FLAGS = {
    "speaker_analysis": ("diarization_enabled",),
    "intelligence_features": (
        "sentiment_analysis_enabled",
        "entity_detection_enabled",
        "auto_highlights_enabled",
        "summarization_enabled",
    ),
    "privacy_settings": ("pii_redaction_enabled",),
}
_LISTS = (("privacy_settings", "pii_policies"), ("webhook", "events"))
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

HttpUrls = Literal["refused", "loopback", "allowed"]


def check_body(body: Any, *, http_urls: HttpUrls) -> dict[str, Any]:
    """Return the body of a create request, or refuse it at its first fault."""
    if not isinstance(body, dict):
        raise _invalid("body")
    organization = body.get("organization_id")
    if not isinstance(organization, str) or not _ORGANIZATION.fullmatch(organization):
        raise _invalid("organization_id")
    for name in ("transcription_options", *_FLAGS, "webhook"):
        if not isinstance(body.get(name, {}), dict):
            raise _invalid(name)
    spoken = body.get("transcription_options", {})
    for name in ("audio_url", "language"):
        if not isinstance(spoken.get(name), str) or not spoken[name]:
            raise _invalid(f"transcription_options.{name}")
    _check_types(body)
    check_url(spoken["audio_url"], http_urls)
    hook = body.get("webhook", {}).get("url")
    if hook is not None and (not isinstance(hook, str) or _find_objection(hook, http_urls)):
        raise _invalid("webhook.url")
    return body


def _check_types(body: dict[str, Any]) -> None:
    for section, names in _FLAGS.items():
        for name in names:
            if not isinstance(body.get(section, {}).get(name, False), bool):
                raise _invalid(f"{section}.{name}")
    for section, name in _LISTS:
        value = body.get(section, {}).get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise _invalid(f"{section}.{name}")
    count = body.get("speaker_analysis", {}).get("speakers_expected_count")
    if count is not None and (type(count) is not int or not 1 <= count <= 10):
        raise _invalid("speaker_analysis.speakers_expected_count")


def check_url(url: str, http_urls: HttpUrls) -> None:
    """Refuse an audio URL that is not HTTPS, or none at all."""
    objection = _find_objection(url, http_urls)
    if objection:
        raise refuse_url(url, f"Audio URL {objection}")


def _find_objection(url: str, http_urls: HttpUrls) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is malformed"
    is_let_through = http_urls == "allowed" or (http_urls == "loopback" and host in _LOOPBACK)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_let_through):
        return "must use HTTPS protocol"
    return None if host else "is malformed"


def read_number(text: str | None, name: str, low: int, high: int, default: int) -> int:
    """Read a number of a query, or refuse it."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and low <= int(text[:9]) <= high):
        raise _invalid(name)
    return int(text[:9])


def _invalid(name: str) -> Refusal:
    details = {"field": name}  # what the details of this code look like is not documented
    return Refusal("VALIDATION_ERROR", f"{name} is missing or invalid.", details=details)
