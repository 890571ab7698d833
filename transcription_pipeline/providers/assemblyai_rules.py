"""What AssemblyAI would refuse of a submit body, known before anything is sent; pure.

What belongs here: every field a route may set, with its type and limits, and which fields need or
exclude each other. What does not: how common options become fields (``assemblyai_options.py``).
Rules are from the API reference of 2026-08-18, the pages "PII redaction" and "Universal-3 Pro", and
the types of the vendor's Python SDK 1.8.2, all read 2026-11-21. Where those disagree the wider rule
stands: a refused request costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MODELS = ("universal-3-5-pro", "universal-3-pro", "universal-2")
# 54 in the API reference, and the newer eleven of the SDK at the end.
_POLICIES = """
    account_number banking_information blood_type credit_card_cvv credit_card_expiration
    credit_card_number date date_interval date_of_birth drivers_license drug duration email_address
    event filename gender gender_sexuality healthcare_number injury ip_address language location
    location_address location_address_street location_city location_coordinate location_country
    location_state location_zip marital_status medical_condition medical_process money_amount
    nationality number_sequence occupation organization organization_medical_facility
    passport_number password person_age person_name phone_number physical_attribute
    political_affiliation religion sexuality statistics time url us_social_security_number username
    vehicle_id zodiac_sign
    corporate_action day effect financial_metric medical_code month organization_id product project
    trend year
    """
POLICIES = tuple(_POLICIES.split())
MAX_PROMPT_WORDS = 1_500

_Share = Annotated[float, Meta(ge=0, le=1)]
_Ms = Annotated[int, Meta(ge=0, le=10 * 3600 * 1000)]
_Positive = Annotated[int, Meta(ge=1)]
_HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,1000}\Z")]
_HeaderValue = Annotated[str, Meta(pattern=r"^[^\r\n]{1,1000}\Z")]
_Term = Annotated[str, Meta(min_length=1, max_length=200)]


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _SpeakerOptions(_Strict):
    min_speakers_expected: _Positive | None = None
    max_speakers_expected: _Positive | None = None
    use_two_stage_clustering: bool | None = None
    advanced_speaker_segmentation: bool | None = None  # in the published submit answer


class _LanguageDetection(_Strict):
    expected_languages: list[str] | None = None
    fallback_language: str | None = None
    code_switching: bool | None = None
    code_switching_confidence_threshold: _Share | None = None
    localization: list[Literal["en_au", "en_uk"]] | None = None
    on_low_language_confidence: Literal["error", "fallback"] | None = None
    swiss_german: bool | None = None


class _Spelling(_Strict):
    from_: Annotated[list[str], Meta(min_length=1)] = msgspec.field(name="from")
    to: str


class _RedactedAudio(_Strict):
    return_redacted_no_speech_audio: bool | None = None
    override_audio_redaction_method: Literal["silence"] | None = None


class _KeytermsOptions(_Strict):
    keyterms_match_strength: Literal["high", "standard"] | None = None


class _Understandings(_Strict):
    translation: dict[str, Any] | None = None
    speaker_identification: dict[str, Any] | None = None
    custom_formatting: dict[str, Any] | None = None
    summarization: dict[str, Any] | None = None
    action_items: dict[str, Any] | None = None


class _Understanding(_Strict):
    request: _Understandings


_FLAGS = """
    auto_chapters auto_highlights content_safety disfluencies entity_detection filter_profanity
    format_text iab_categories language_detection multichannel punctuate redact_pii
    redact_pii_audio redact_pii_return_unredacted sentiment_analysis speaker_labels summarization
    """
FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(_FLAGS.split(), bool),
    "audio_end_at": _Ms,
    "audio_start_from": _Ms,
    "content_safety_confidence": Annotated[int, Meta(ge=25, le=100)],
    "custom_spelling": list[_Spelling],
    "domain": Literal["medical-v1"] | None,
    "keyterms_prompt": list[_Term],
    "keyterms_prompt_options": _KeytermsOptions,
    "language_code": Annotated[str, Meta(min_length=2, max_length=40)],
    "language_codes": list[str],
    "language_confidence_threshold": _Share,
    "language_detection_options": _LanguageDetection,
    "prompt": str,
    "redact_pii_audio_options": _RedactedAudio,
    "redact_pii_audio_quality": Literal["mp3", "wav"],
    "redact_pii_policies": list[Literal[POLICIES]],  # type: ignore[valid-type]
    "redact_pii_sub": Literal["hash", "entity_name"],
    "redact_static_entities": Annotated[
        dict[str, Annotated[list[_Term], Meta(max_length=200)]], Meta(max_length=100)
    ],
    "remove_audio_tags": Literal["all", "speaker"] | None,
    "speaker_options": _SpeakerOptions,
    "speakers_expected": _Positive,
    "speech_models": Annotated[list[Literal[MODELS]], Meta(min_length=1)],  # type: ignore[valid-type]
    "speech_threshold": _Share,
    "speech_understanding": _Understanding,
    "summary_model": Literal["informative", "conversational", "catchy"],
    "summary_type": Literal["bullets", "bullets_verbose", "gist", "headline", "paragraph"],
    "temperature": _Share,
    "webhook_auth_header_name": _HeaderName,
    "webhook_auth_header_value": _HeaderValue,
    "webhook_url": Annotated[str, Meta(pattern=r"^https?://")],
}
"""Every field a route may set, and its type."""
_INSTEAD = {
    "audio_url": "the recording",
    "boost_param": "keyterms_prompt_options",
    "dual_channel": "multichannel",
    "speech_model": "speech_models",
    "word_boost": "keyterms_prompt",
}
_ON = {"punctuate", "format_text"}
"""On unless a route says otherwise."""
_NEEDS = (
    ("speaker_labels", "punctuate"),
    ("speakers_expected", "speaker_labels"),
    ("speaker_options", "speaker_labels"),
    ("redact_pii", "format_text"),
    ("redact_pii", "redact_pii_policies"),
    ("redact_pii_policies", "redact_pii"),
    ("redact_pii_audio", "redact_pii"),
    ("redact_pii_audio_quality", "redact_pii_audio"),
    ("redact_pii_audio_options", "redact_pii_audio"),
    ("redact_pii_sub", "redact_pii"),
    ("redact_pii_return_unredacted", "redact_pii"),
    ("redact_static_entities", "redact_pii"),
    ("sentiment_analysis", "punctuate"),
    ("content_safety_confidence", "content_safety"),
    ("summarization", "punctuate"),
    ("summarization", "format_text"),
    ("summary_model", "summarization"),
    ("summary_type", "summarization"),
    ("keyterms_prompt_options", "keyterms_prompt"),
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


def find_field_problems(fields: Mapping[str, Any]) -> list[str]:
    """Say what would be refused of a submit body without its audio, each by the field's name."""
    problems = [problem for name, value in fields.items() for problem in _check_type(name, value)]
    # What has a wrong type already cannot be asked for more.
    return problems or [
        problem
        for check in (_check_combinations, _check_models, _check_shapes)
        for problem in check(fields)
    ]


def _check_type(name: str, value: Any) -> Iterator[str]:
    if name in _INSTEAD:
        yield f"extra.{name} is not for a route to say; {_INSTEAD[name]} is"
    elif name not in FIELDS:
        yield f"extra.{name} is no field of its API"
    else:
        try:
            msgspec.convert(value, FIELDS[name])
        except msgspec.ValidationError as error:
            yield f"{name}: {error}"


def _check_combinations(fields: Mapping[str, Any]) -> Iterator[str]:
    def is_on(name: str) -> bool:
        return bool(fields.get(name, name in _ON))

    for name, needed in _NEEDS:
        if is_on(name) and not is_on(needed):
            yield f"{name} needs {needed}"
    for one, other in _EXCLUDES:
        if is_on(one) and is_on(other):
            yield f"{one} and {other} exclude each other"
    # Languages are detected unless one is named (API reference).
    detects = fields.get("language_detection", not is_on("language_code"))
    if not detects and not is_on("language_code"):
        yield "language_detection = false needs language_code"
    for name in ("language_confidence_threshold", "language_detection_options"):
        if is_on(name) and not detects:
            yield f"{name} needs language_detection"


def _check_models(fields: Mapping[str, Any]) -> Iterator[str]:
    models = fields["speech_models"]
    for name in ("summarization", "auto_chapters"):
        if fields.get(name) and models != ["universal-2"]:
            yield f"{name} needs speech_models = ['universal-2']"
    if fields.get("prompt") and not {*models} - {"universal-2"}:
        yield "prompt needs a Universal-3 model"
    if fields.get("temperature") is not None and "universal-3-5-pro" not in models:
        yield "temperature needs universal-3-5-pro"
    if len(fields.get("prompt", "").split()) > MAX_PROMPT_WORDS:
        yield f"prompt has more than {MAX_PROMPT_WORDS} words"
    terms = fields.get("keyterms_prompt", ())
    most = 200 if models == ["universal-2"] else 1_000
    if len(terms) > most or any(len(term.split()) > 6 for term in terms):
        yield f"keyterms_prompt takes {most} terms of six words each"


def _check_shapes(fields: Mapping[str, Any]) -> Iterator[str]:
    for rule in fields.get("custom_spelling", ()):
        if len(rule["to"].split()) != 1 or any(len(one.split()) > 5 for one in rule["from"]):
            yield "custom_spelling goes from phrases of five words to one word"
    speakers = fields.get("speaker_options", {})
    least, most = speakers.get("min_speakers_expected"), speakers.get("max_speakers_expected")
    if least and most and least > most:
        yield "speaker_options: min_speakers_expected exceeds max_speakers_expected"
    if fields.get("audio_end_at") and fields["audio_end_at"] <= fields.get("audio_start_from", 0):
        yield "audio_end_at is not after audio_start_from"
    if fields.get("language_codes") and "en" not in fields["language_codes"]:
        yield "language_codes: one must be en"
