"""How the common options, audio formats and prices look at Plaud; pure.

What belongs here: the ``params`` of the submit body, what of them can be known to be refused, which
audio may be uploaded as it is, and the price. ``plaud.py`` sends what is made here,
``composition.py`` asks for the problems of a route. From docs.plaud.ai (Transcription API, Partner
API), read 2026-11-21, unless a comment names another source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.provider_settings import PlaudModel
from transcription_pipeline.providers.base import Cost

MODELS = get_args(PlaudModel)
PRICE_PER_HOUR_MICROS = 280_000
"""USD 0.28 per transcribed hour, by the vendor's billing page as a third party cites it; the first
300 hours, which are free, and the monthly price per device are not counted."""
MAX_DURATION_MS = 24 * 3600 * 1000
MAX_DIARIZED_MS = 6 * 3600 * 1000
"""Both by docs.plaud.ai of 2026-09-23 as a third party cites it."""

OPTIONS = frozenset({"language", "diarize", "model", "keyterms"})
"""The common options there is a field for."""

_LANGUAGE = re.compile(r"auto|[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")  # BCP-47; of how many: 112
_EXTRA = {  # name → (section, what it may be, and that in words)
    "decode_silence": ("vad", (False, True), "true or false"),
    "return_embedding": ("diarization", (False, True), "true or false"),
    # Third parties read it in the vendor's OpenAPI file.
    "detection_level": ("transcribe", ("segment", "chapter"), "segment or chapter"),
}


def make_params(options: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """Translate common options to ``params``; every field of the documented example is always sent.

    ``keyterms`` become ``hotwords``, a field of only one of the vendor's two OpenAPI files: what it
    does to a transcript is not documented.

    Args:
        options: A route's options; ``extra`` holds fields that have no common name.
        model: The model to use where the options name none.
    """
    params: dict[str, Any] = {
        "transcribe": {
            "language": options.get("language", "auto"),
            "model": options.get("model", model),
        },
        "vad": {"decode_silence": False},
        "diarization": {"enabled": bool(options.get("diarize")), "return_embedding": False},
    }
    for name, value in dict(options.get("extra", {})).items():
        params[_EXTRA[name][0]][name] = value
    if options.get("keyterms"):
        params["hotwords"] = ",".join(options["keyterms"])
    return params


def find_problems(options: Mapping[str, Any]) -> list[str]:
    """Say what Plaud could not honour of these options, each by its name."""
    problems = []
    language, model = options.get("language", "auto"), options.get("model", MODELS[0])
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        problems.append(f"language {language!r} is neither auto nor a BCP-47 tag")
    if model not in MODELS:
        problems.append(f"model {model!r} is none of {', '.join(MODELS)}")
    if any("," in term or not term.strip() for term in options.get("keyterms") or ()):
        problems.append("keyterms are sent separated by commas: none may be empty or contain one")
    extra = dict(options.get("extra", {}))
    for name, value in extra.items():
        if name not in _EXTRA:
            problems.append(f"extra.{name} is none of {', '.join(_EXTRA)}")
            continue
        _, allowed, words = _EXTRA[name]
        # 1 equals True, but is none.
        if not any(type(value) is type(one) and value == one for one in allowed):
            problems.append(f"extra.{name} must be {words}")
    if extra.get("return_embedding") is True and options.get("diarize") is not True:
        problems.append("extra.return_embedding needs diarize = true")
    return problems


def find_filetype(facts: AudioFacts | None) -> str | None:
    """Return as what an upload may take the audio; None where it must be transcoded to mp3.

    mp3 is what the vendor's own apps send. m4a is said to pass, wav to be refused, and opus to come
    back empty (third parties; the upload page names no list).
    """
    if facts is None:
        return None
    if (facts.container, facts.codec) == ("mp3", "mp3"):
        return "mp3"
    return "m4a" if facts.container in {"m4a", "mp4"} and facts.codec == "aac" else None


def price_job(duration_ms: int, per_hour_micros: int | None) -> Cost:
    """Price a job per second begun; how fractions of an hour are billed is not documented."""
    seconds = -(-duration_ms // 1000)
    per_hour = PRICE_PER_HOUR_MICROS if per_hour_micros is None else per_hour_micros
    return Cost((per_hour * seconds * 2 + 3600) // 7200, "USD", seconds * 1000)
