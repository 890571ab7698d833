"""How the common options and prices look at Aitronos; pure.

What belongs here: headers, the fields of either form, what of them can be known to be refused, and the
price in synapses. ``aitronos.py`` sends what is made here, ``composition.py`` asks for the problems
of a route. Field names and ranges are from the page "Create transcription", read 2026-11-21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from transcription_pipeline.providers.base import Cost

CURRENCY = "SYNAPSES"
MAX_SPEAKERS = 10
MICROS = 1_000_000

# Sentiment, entities, highlights and summary can be ordered, but no documented answer carries any of
# them; word times, channels, key terms and a choice of model have no field at all.
OPTIONS = frozenset({"language", "diarize", "speakers_expected", "redact_pii", "webhook"})
"""The common options there is a field for, and an answer that can carry what they ask."""

DIRECT_OPTIONS = frozenset({"language", "model"})
"""The common options of the multipart form. Its ``word_timestamps`` can be ordered, but how an answer
writes them is in no page and no package."""

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
}
"""What probing calls a container → how an upload names it: the five formats of "Upload audio"."""

_SECTIONS = (
    "transcription_options",
    "speaker_analysis",
    "intelligence_features",
    "privacy_settings",
    "webhook",
)
_NOT_EXTRA = ("audio_url", "language")
_DETECTED = ("language", "auto")
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")


FindProblems = Callable[[Mapping[str, Any]], list[str]]


def make_headers(api_key: str, auth: Literal["api_key", "bearer"]) -> dict[str, str]:
    """Make what every request carries."""
    # "Authentication": X-API-Key is the primary method, Bearer takes a session's token.
    key = {"X-API-Key": api_key} if auth == "api_key" else {"Authorization": f"Bearer {api_key}"}
    # Answers are "public" and cacheable, finished ones for 24 h ("Get transcription"): a cache on
    # the way could show us a state that is none any more.
    return {**key, "Cache-Control": "no-cache"}


def make_fields(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Translate common options to the sections of the create body; ``extra`` wins within each."""
    language = options.get("language", "auto")
    # Required; "if the language is unknown, use `en` and auto-detection will be applied".
    spoken = {"language": "en" if language == "auto" else language}
    fields: dict[str, dict[str, Any]] = {"transcription_options": spoken}
    if options.get("diarize"):
        fields["speaker_analysis"] = {"diarization_enabled": True}
        if options.get("speakers_expected") is not None:
            count = options["speakers_expected"]
            fields["speaker_analysis"]["speakers_expected_count"] = count
    policies = options.get("redact_pii")
    if policies:
        fields["privacy_settings"] = {
            "pii_redaction_enabled": True,
            "pii_policies": list(policies),
        }
    for name, section in dict(options.get("extra", {})).items():
        fields[name] = fields.get(name, {}) | dict(section)
    return fields


def make_direct_fields(options: Mapping[str, Any]) -> dict[str, str]:
    """Translate common options to the fields of the multipart form; left out, they are its own."""
    told = {name: options[name] for name in sorted(DIRECT_OPTIONS & options.keys())}
    return {name: str(value) for name, value in told.items() if (name, value) != _DETECTED}


def find_direct_problems(options: Mapping[str, Any]) -> list[str]:
    """Say what the multipart form could not honour of these options, each by its name."""
    odd = [name for name in options if name not in DIRECT_OPTIONS and options[name]]
    fields = make_direct_fields(options)
    return [f"{name} has no field in the multipart form" for name in sorted(odd)] + [
        f"{name} must be letters, digits, dots and dashes"
        for name, value in fields.items()
        if not _PLAIN.fullmatch(value)
    ]


def find_problems(options: Mapping[str, Any]) -> list[str]:
    """Say what Aitronos could not honour of these options, each by its name."""
    problems = []
    speakers = options.get("speakers_expected")
    if speakers is not None:
        # bool is an int, too
        if type(speakers) is not int or not 1 <= speakers <= MAX_SPEAKERS:
            problems.append(f"speakers_expected must be between 1 and {MAX_SPEAKERS}")
        if options.get("diarize") is not True:
            problems.append("speakers_expected needs diarize = true")
    for name, section in dict(options.get("extra", {})).items():
        if name not in _SECTIONS or not isinstance(section, Mapping):
            problems.append(f"extra.{name} must be a table named {', '.join(_SECTIONS)}")
        elif name == "transcription_options":
            found = [field for field in _NOT_EXTRA if field in section]
            problems += [f"extra.{name}.{field} is not for extra to say" for field in found]
    return problems


def price_job(duration_ms: int, per_hour_micros: int | None) -> Cost:
    """Price a job in synapses, whole ones, rounded up.

    One synapse per second begun is what the page's only example shows (125.5 s cost 126); money
    per synapse and the multipliers of an account are not documented.

    Args:
        duration_ms: Length of the audio.
        per_hour_micros: Millionths of a synapse per hour of audio, where an account's differ.
    """
    seconds = -(-duration_ms // 1000)
    per_hour = 3600 * MICROS if per_hour_micros is None else per_hour_micros
    return Cost(-(-per_hour * seconds // (3600 * MICROS)) * MICROS, CURRENCY, seconds * 1000)
