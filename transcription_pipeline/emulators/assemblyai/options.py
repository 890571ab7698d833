"""What a submit may ask for: fields, types, combinations, and how a transcript echoes them.

The field list and the order of the echo follow a submit answer of 2026 (the vendor's published
example) and the API reference of 2026-08-18. ``check_options`` refuses as the service does;
``make_echo`` gives the fields of the answer that repeat the request.
"""

from __future__ import annotations

import re
from typing import Any

from transcription_pipeline.emulators.assemblyai.refusals import (
    BAD_SCHEMA,
    BAD_SPEECH_MODELS,
    NO_AUDIO_URL,
    Refusal,
)

SPEECH_MODELS = ("universal-3-pro", "universal-2", "universal-3-5-pro")
_OLD_SPEECH_MODELS = ("best", "nano", "slam-1", "universal")

# name -> (kind, value in the answer when the request does not name it). None as a default is what
# recorded answers carry even for flags (multichannel).
_FIELDS: dict[str, tuple[str, Any]] = {
    "language_code": ("text", None),
    "language_codes": ("texts", None),
    "speech_understanding": ("object", None),
    "audio_url": ("text", None),
    "punctuate": ("flag", True),
    "format_text": ("flag", True),
    "dual_channel": ("flag", False),
    "webhook_url": ("text", None),
    "webhook_auth_header_name": ("text", None),
    "webhook_auth_header_value": ("text", None),
    "speed_boost": ("flag", False),
    "auto_highlights": ("flag", False),
    "audio_start_from": ("count", None),
    "audio_end_at": ("count", None),
    "word_boost": ("texts", []),
    "boost_param": ("text", None),
    "prompt": ("text", None),
    "keyterms_prompt": ("texts", None),
    "keyterms_prompt_options": ("object", None),
    "filter_profanity": ("flag", False),
    "redact_pii": ("flag", False),
    "redact_pii_audio": ("flag", False),
    "redact_pii_audio_quality": ("text", None),
    "redact_pii_audio_options": ("object", None),
    "redact_pii_policies": ("texts", None),
    "redact_pii_sub": ("text", None),
    "redact_pii_return_unredacted": ("flag", False),
    "redact_static_entities": ("object", None),
    "speaker_labels": ("flag", False),
    "speaker_options": ("object", None),
    "content_safety": ("flag", False),
    "content_safety_confidence": ("count", None),
    "iab_categories": ("flag", False),
    "language_detection": ("flag", None),
    "language_detection_options": ("object", None),
    "language_confidence_threshold": ("number", None),
    "custom_spelling": ("list", None),
    "auto_chapters": ("flag", False),
    "summarization": ("flag", False),
    "summary_type": ("text", None),
    "summary_model": ("text", None),
    "custom_topics": ("flag", False),
    "topics": ("texts", []),
    "speech_threshold": ("number", None),
    "speech_model": ("text", None),
    "speech_models": ("texts", None),
    "temperature": ("number", None),
    "remove_audio_tags": ("text", "all"),
    "domain": ("text", None),
    "disfluencies": ("flag", False),
    "entity_detection": ("flag", False),
    "sentiment_analysis": ("flag", False),
    "speakers_expected": ("count", None),
    "multichannel": ("flag", None),
}
# Never in an answer: API reference, `webhook_auth` is all that is told of the value.
_SECRET = "webhook_auth_header_value"  # noqa: S105 - the name of a field

# Not in the published submit answer, whose request did not name them; whether an answer has them as
# null is not documented.
_ECHOED_IF_GIVEN = frozenset(
    {
        _SECRET,
        "language_codes",
        "keyterms_prompt_options",
        "redact_pii_return_unredacted",
        "content_safety_confidence",
        "domain",
    }
)

# Only "… must be a Boolean" is documented (API reference, example of a 400); the others follow it.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "flag": ((bool,), "a Boolean"),
    "text": ((str,), "a String"),
    "count": ((int,), "an Integer"),
    "number": ((int, float), "a Number"),
    "texts": ((list,), "a List of Strings"),
    "list": ((list,), "a List"),
    "object": ((dict,), "an Object"),
}

WITHOUT_EFFECT = frozenset(
    {
        "boost_param",
        "content_safety_confidence",
        "custom_topics",
        "disfluencies",
        "domain",
        "filter_profanity",
        "keyterms_prompt",
        "keyterms_prompt_options",
        "language_codes",
        "language_detection_options",
        "prompt",
        "redact_pii_audio_options",
        "redact_static_entities",
        "remove_audio_tags",
        "speaker_options",
        "speakers_expected",
        "speed_boost",
        "summary_model",
        "summary_type",
        "temperature",
        "topics",
        "word_boost",
    }
)
"""Options that are checked and echoed like all others, but change nothing in what is heard."""

# Combinations the API reference forbids; only the prohibition is documented, not its sentence.
_REQUIRES = (
    ("speaker_labels", "punctuate"),
    ("speakers_expected", "speaker_labels"),
    ("speaker_options", "speaker_labels"),
    ("redact_pii", "format_text"),
    ("redact_pii", "redact_pii_policies"),
    ("redact_pii_audio", "redact_pii"),
    ("redact_pii_return_unredacted", "redact_pii"),
    ("redact_static_entities", "redact_pii"),
    ("sentiment_analysis", "punctuate"),
    ("summarization", "punctuate"),
    ("summarization", "format_text"),
    ("language_confidence_threshold", "language_detection"),
    ("webhook_auth_header_name", "webhook_auth_header_value"),
    ("webhook_auth_header_value", "webhook_auth_header_name"),
    ("webhook_auth_header_name", "webhook_url"),
)
_EXCLUDES = (
    ("language_code", "language_detection"),
    ("speakers_expected", "speaker_options"),
    ("prompt", "keyterms_prompt"),
    ("auto_chapters", "summarization"),
)
_RANGES = {
    "language_confidence_threshold": (0, 1),
    "speech_threshold": (0, 1),
    "temperature": (0, 1),
    "content_safety_confidence": (25, 100),
    "speakers_expected": (1, 1_000),
    "audio_start_from": (0, 36_000_000),
    "audio_end_at": (0, 36_000_000),
}
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]{1,1000}")
_HEADER_VALUE = re.compile(r"[^\r\n]{1,1000}")


def check_options(body: Any, *, models_required: bool, default_models: list[str]) -> dict[str, Any]:
    """Check a submit body and fill in what it leaves out and an answer must name.

    Raises:
        Refusal: With the sentence the service gives.
    """
    if not isinstance(body, dict):
        raise Refusal(BAD_SCHEMA)
    given = {name: value for name, value in body.items() if value is not None}
    if not given.get("audio_url"):
        raise Refusal(NO_AUDIO_URL)
    if given.keys() - _FIELDS.keys():
        raise Refusal(BAD_SCHEMA)  # the sentence does not say which field
    for name, value in given.items():
        _check_kind(name, value)
    _check_models(given, models_required=models_required)
    # "Automatic language detection", 2026: on unless a language is named.
    given.setdefault("language_detection", "language_code" not in given)
    _check_combinations(given)
    _check_values(given)
    given.setdefault("speech_models", default_models)
    return given


def make_echo(given: dict[str, Any]) -> dict[str, Any]:
    """Repeat the request in the shape of an answer: every option, the header's value never."""
    echo = {
        name: given.get(name, default)
        for name, (_, default) in _FIELDS.items()
        if name in given or name not in _ECHOED_IF_GIVEN
    }
    echo.pop(_SECRET, None)
    echo["webhook_auth"] = _SECRET in given
    if given.get("redact_pii"):
        # API reference: defaults of the redaction options once redaction is on.
        echo["redact_pii_sub"] = given.get("redact_pii_sub", "hash")
        echo["redact_pii_audio_quality"] = given.get("redact_pii_audio_quality", "mp3")
    # The official SDK 1.8.2 fails on any name but the old ones here; recorded answers say null.
    echo["speech_model"] = given.get("speech_model")
    return echo


def _check_kind(name: str, value: Any) -> None:
    types, called = _KINDS[_FIELDS[name][0]]
    is_right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if is_right and _FIELDS[name][0] == "texts":
        is_right = all(isinstance(item, str) for item in value)
    if not is_right and name == "speech_models":
        raise Refusal(BAD_SPEECH_MODELS)
    if not is_right:
        raise Refusal(f"{name} must be {called}")
    if name in _RANGES:
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise Refusal(f"{name} must be between {low} and {high}")


def _check_models(given: dict[str, Any], *, models_required: bool) -> None:
    """Apply the rules about models: required between 2026-02 and mid-2026, optional since."""
    models = given.get("speech_models")
    if models is None and models_required and "speech_model" not in given:
        raise Refusal(BAD_SPEECH_MODELS)
    if models is not None and (not models or any(name not in SPEECH_MODELS for name in models)):
        raise Refusal(BAD_SPEECH_MODELS)
    if given.get("speech_model") not in (None, *_OLD_SPEECH_MODELS):
        raise Refusal(BAD_SCHEMA)


def _check_combinations(given: dict[str, Any]) -> None:
    def is_on(name: str) -> bool:
        return bool(given.get(name, _FIELDS[name][1]))

    for name, needed in _REQUIRES:
        if is_on(name) and not is_on(needed):
            raise Refusal(f"{name} requires {needed}")
    for one, other in _EXCLUDES:
        if is_on(one) and is_on(other):
            raise Refusal(f"{one} cannot be used together with {other}")
    if not given["language_detection"] and not is_on("language_code"):
        raise Refusal("language_detection must be true when language_code is not set")


def _check_values(given: dict[str, Any]) -> None:
    """Check what is inside a field; only the limits are documented, not the sentences."""
    options = given.get("speaker_options") or {}
    least, most = options.get("min_speakers_expected"), options.get("max_speakers_expected")
    if least is not None and most is not None and least > most:
        raise Refusal("min_speakers_expected must not be greater than max_speakers_expected")
    # API reference: at most 1,000 terms of six words (200 for Universal-2 alone).
    terms = given.get("keyterms_prompt") or []
    most_terms = 200 if given.get("speech_models") == ["universal-2"] else 1_000
    if len(terms) > most_terms or any(len(term.split()) > 6 for term in terms):
        raise Refusal(f"keyterms_prompt must be at most {most_terms} terms of six words each")
    if "webhook_auth_header_name" in given and not (
        _HEADER_NAME.fullmatch(given["webhook_auth_header_name"])
        and _HEADER_VALUE.fullmatch(given[_SECRET])
    ):
        raise Refusal("webhook_auth_header_name or webhook_auth_header_value is invalid")
    if not re.match(r"https?://", given["audio_url"]):
        raise Refusal(NO_AUDIO_URL)  # not documented for a malformed URL; we chose the nearest
