"""How the common options, file names and prices look at Scriptivox; pure.

What belongs here: the fields of the submit body, what of them can be known to be refused, and the
price. ``scriptivox.py`` sends what is made here, ``composition.py`` asks for the problems of a
route. Field names, ranges and the language list are from the vendor's API reference as kept in its
own MCP server (src/data/api-docs.ts, languages.ts), read 2026-11-21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transcription_pipeline.providers.base import Audio, Cost

# 119 codes, no regional tags; ``jw``, not ``jv``. Anything else is answered 400 INVALID_REQUEST.
_LANGUAGES = """
    af sq am ar hy as ast az ba eu be bn bs br bg yue ca ceb ckb zh hr cs da nl en et fo fi fr ff gl
    ka de el gu ht ha haw he hi hu is ig id ga it ja jw kea kam kn kk km ko ky lo la lv ln lt lg luo
    lb mk mg ms ml mt mi mr mn my ne nso no ny nn oc or om ps fa pl pt pa ro ru sa sr sn sd si sk sl
    so es su sw sv tl tg ta tt te th bo tr tk uk umb ur uz vi cy wo xh yi yo zu
"""
LANGUAGES = frozenset(_LANGUAGES.split())
MAX_SPEAKERS = 50
MAX_URL_CHARS = 2048
"""API reference: ``url`` up to 2048 characters; with session tokens S3 signs longer ones."""
PRICE_PER_HOUR_MICROS = 200_000
"""USD 0.20 per audio hour, billed per second (quickstart)."""

OPTIONS = frozenset({"language", "diarize", "speakers_expected", "word_timestamps", "webhook"})
"""The common options there is a field for."""

# What probing calls a container → the extension of the vendor's 25 formats (product-info.ts). What
# is not here, such as amr or w64, is in no list of theirs.
_EXTENSIONS = {
    "aac": "aac",
    "aiff": "aiff",
    "asf": "wma",
    "avi": "avi",
    "caf": "caf",
    "flac": "flac",
    "flv": "flv",
    "m4a": "m4a",
    "matroska": "mkv",
    "mov": "mov",
    "mp3": "mp3",
    "mp4": "mp4",
    "mpeg": "mpeg",
    "mpegts": "ts",
    "ogg": "ogg",
    "wav": "wav",
    "webm": "webm",
}
_NOT_EXTRA = ("url", "upload_id")


def make_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate common options to fields of the submit body; ``extra`` wins over them."""
    fields: dict[str, Any] = {}
    language = options.get("language", "auto")
    if language != "auto":
        fields["language"] = language  # left out it is detected
    fields["diarize"] = bool(options.get("diarize", False))
    if options.get("speakers_expected") is not None:
        fields["speaker_count"] = options["speakers_expected"]
    # Its default was off in older pages and is on in newer ones, so it is always sent. With diarize
    # it is on whatever is sent (quickstart).
    fields["align"] = fields["diarize"] or bool(options.get("word_timestamps", True))
    if options.get("webhook"):
        fields["webhook_url"] = f"{options['webhook']}/scriptivox"
    return fields | dict(options.get("extra", {}))


def find_problems(options: Mapping[str, Any]) -> list[str]:
    """Say what Scriptivox could not honour of these options, each by its name."""
    fields, problems = make_fields(options), []
    language, speakers = fields.get("language"), fields.get("speaker_count")
    if "language" in fields and (not isinstance(language, str) or language not in LANGUAGES):
        problems.append(f"language {language!r} is none of its {len(LANGUAGES)} codes")
    if "speaker_count" in fields:
        # bool is an int, too
        if type(speakers) is not int or not 1 <= speakers <= MAX_SPEAKERS:
            problems.append(f"speakers_expected must be between 1 and {MAX_SPEAKERS}")
        if fields["diarize"] is not True:
            problems.append("speakers_expected needs diarize = true")
    if options.get("word_timestamps") is False and fields["diarize"]:
        problems.append("word_timestamps = false is ignored with diarize = true")
    problems += [f"extra.{name} is not for a route to say" for name in _NOT_EXTRA if name in fields]
    return problems


def find_extension(audio: Audio) -> str | None:
    """Return the file name extension of the audio's format; None when it is not one of theirs."""
    return _EXTENSIONS.get(audio.facts.container) if audio.facts else None


def price_job(duration_ms: int, per_hour_micros: int | None) -> Cost:
    """Price a job per second begun; how fractions of a second are billed is not documented."""
    seconds = -(-duration_ms // 1000)
    per_hour = PRICE_PER_HOUR_MICROS if per_hour_micros is None else per_hour_micros
    return Cost((per_hour * seconds * 2 + 3600) // 7200, "USD", seconds * 1000)
