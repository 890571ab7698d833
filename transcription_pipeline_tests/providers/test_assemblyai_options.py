"""Every option of AssemblyAI can be asked for, and what it would refuse is refused before sending."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from transcription_pipeline.composition import REGISTRY, build_routes
from transcription_pipeline.emulators.assemblyai.options import SPEECH_MODELS, check_options
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.providers.assemblyai_options import make_fields, price_job
from transcription_pipeline.providers.assemblyai_rules import FIELDS, MODELS, POLICIES
from transcription_pipeline.settings import Settings

HOUR_MS = 3_600_000
REDACTS = {"redact_pii": True, "redact_pii_policies": ["person_name"]}

COMMON: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"speech_models": ["universal-3-pro", "universal-2"]}),
    ({"language": "auto"}, {"language_detection": True}),
    ({"language": "en_us"}, {"language_code": "en_us"}),
    (
        {"diarize": True, "speakers_expected": 2},
        {"speaker_labels": True, "speakers_expected": 2},
    ),
    ({"redact_pii": ["person_name"]}, REDACTS),
    ({"sentiment": True}, {"sentiment_analysis": True}),
    ({"entities": True}, {"entity_detection": True}),
    ({"highlights": True}, {"auto_highlights": True}),
    (
        {"summary": True},
        {"summarization": True, "summary_type": "bullets", "speech_models": ["universal-2"]},
    ),
    ({"keyterms": ["Dagster"]}, {"keyterms_prompt": ["Dagster"]}),
    ({"multichannel": True, "word_timestamps": True}, {"multichannel": True}),
    ({"model": "universal-2"}, {"speech_models": ["universal-2"]}),
    ({"webhook": "https://hooks.test/tp"}, {"webhook_url": "https://hooks.test/tp/assemblyai"}),
]

EXTRA: list[dict[str, Any]] = [
    {"speech_models": ["universal-3-5-pro"], "temperature": 0.2, "prompt": "a call about wind"},
    {"language_code": "de"},
    {"language_code": "en", "language_codes": ["en", "es"]},
    {"language_confidence_threshold": 0.5, "language_detection_options": {"swiss_german": True}},
    {
        "speaker_labels": True,
        "speaker_options": {"min_speakers_expected": 2, "max_speakers_expected": 4},
    },
    {"punctuate": False, "format_text": False, "disfluencies": True, "filter_profanity": True},
    {
        "keyterms_prompt": ["one two three"],
        "keyterms_prompt_options": {"keyterms_match_strength": "high"},
    },
    {"remove_audio_tags": "speaker", "domain": "medical-v1", "speech_threshold": 0.1},
    {"audio_start_from": 1_000, "audio_end_at": 5_000},
    {"custom_spelling": [{"from": ["dag ster"], "to": "Dagster"}]},
    {
        **REDACTS,
        "redact_pii_sub": "entity_name",
        "redact_pii_audio": True,
        "redact_pii_audio_quality": "wav",
        "redact_pii_audio_options": {"override_audio_redaction_method": "silence"},
        "redact_pii_return_unredacted": True,
        "redact_static_entities": {"PROJECT": ["Bear"]},
    },
    {"content_safety": True, "content_safety_confidence": 25, "iab_categories": True},
    {"auto_chapters": True},
    {"summarization": True, "summary_model": "catchy", "summary_type": "gist"},
    {"speech_understanding": {"request": {"summarization": {"summary_type": "bullets"}}}},
    {
        "webhook_url": "https://hooks.test/",
        "webhook_auth_header_name": "X-Secret",
        "webhook_auth_header_value": "s",
    },
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"nonsense": 1}, "extra.nonsense"),
    ({"audio_url": "https://elsewhere.test/a.mp3"}, "extra.audio_url"),
    ({"speech_model": "best"}, "speech_models"),
    ({"word_boost": ["a"]}, "keyterms_prompt"),
    ({"dual_channel": True}, "multichannel"),
    ({"punctuate": "yes"}, "punctuate"),
    ({"speech_models": []}, "speech_models"),
    ({"speech_models": ["nano"]}, "speech_models"),
    ({"language_code": "en", "language_detection": True}, "exclude"),
    ({"language_detection": False}, "language_code"),
    ({"language_code": "en", "language_confidence_threshold": 0.4}, "language_detection"),
    ({"language_detection_options": {"localization": ["en_us"]}}, "localization"),
    ({"language_codes": ["de", "fr"]}, "language_codes"),
    ({"speakers_expected": 2}, "speaker_labels"),
    ({"speaker_labels": True, "speakers_expected": 0}, "speakers_expected"),
    (
        {
            "speaker_labels": True,
            "speakers_expected": 2,
            "speaker_options": {"min_speakers_expected": 1},
        },
        "exclude",
    ),
    (
        {
            "speaker_labels": True,
            "speaker_options": {"min_speakers_expected": 3, "max_speakers_expected": 2},
        },
        "min_speakers_expected",
    ),
    ({"speaker_labels": True, "speaker_options": {"speakers": 2}}, "speaker_options"),
    ({"speaker_labels": True, "punctuate": False}, "punctuate"),
    ({"prompt": "a", "keyterms_prompt": ["b"]}, "exclude"),
    ({"prompt": "a", "speech_models": ["universal-2"]}, "Universal-3"),
    ({"prompt": "word " * 1_501}, "1500 words"),
    ({"temperature": 0.5}, "universal-3-5-pro"),
    ({"temperature": 1.5, "speech_models": ["universal-3-5-pro"]}, "temperature"),
    ({"keyterms_prompt": ["one two three four five six seven"]}, "keyterms_prompt"),
    ({"keyterms_prompt": ["a"] * 1_001}, "keyterms_prompt"),
    ({"keyterms_prompt": ["a"] * 201, "speech_models": ["universal-2"]}, "200"),
    ({"summarization": True, "auto_chapters": True}, "exclude"),
    ({"summarization": True, "speech_models": ["universal-3-pro"]}, "universal-2"),
    ({"auto_chapters": True, "speech_models": ["universal-3-pro"]}, "universal-2"),
    ({"summarization": True, "format_text": False}, "format_text"),
    ({"summary_type": "bullets"}, "summarization"),
    ({"summarization": True, "summary_type": "sonnet"}, "summary_type"),
    ({"sentiment_analysis": True, "punctuate": False}, "punctuate"),
    ({"redact_pii": True}, "redact_pii_policies"),
    ({**REDACTS, "format_text": False}, "format_text"),
    ({"redact_pii": True, "redact_pii_policies": ["names"]}, "redact_pii_policies"),
    ({**REDACTS, "redact_pii_sub": "entity_type"}, "redact_pii_sub"),
    ({**REDACTS, "redact_pii_audio": True, "redact_pii_audio_quality": "flac"}, "quality"),
    ({"redact_pii_audio": True}, "redact_pii"),
    ({"redact_pii_return_unredacted": True}, "redact_pii"),
    ({"redact_static_entities": {"A": ["b"]}}, "redact_pii"),
    ({**REDACTS, "redact_static_entities": {"A": ["b"] * 201}}, "redact_static_entities"),
    ({"content_safety": True, "content_safety_confidence": 24}, "content_safety_confidence"),
    ({"content_safety_confidence": 50}, "content_safety"),
    ({"custom_spelling": [{"from": ["a"], "to": "b c"}]}, "custom_spelling"),
    ({"custom_spelling": [{"from": [], "to": "b"}]}, "custom_spelling"),
    ({"custom_spelling": {"a": "b"}}, "custom_spelling"),
    ({"webhook_auth_header_name": "X"}, "webhook_auth_header_value"),
    ({"webhook_auth_header_name": "X", "webhook_auth_header_value": "s"}, "webhook_url"),
    ({"webhook_auth_header_name": "X Y"}, "webhook_auth_header_name"),
    ({"webhook_auth_header_value": "a\n"}, "webhook_auth_header_value"),
    ({"speech_understanding": {"request": {"poem": {}}}}, "speech_understanding"),
    ({"audio_start_from": 5, "audio_end_at": 5}, "audio_end_at"),
    ({"audio_start_from": -1}, "audio_start_from"),
]


def find(options: dict[str, Any]) -> list[str]:
    """Ask the registry, as the configuration does."""
    return REGISTRY["assemblyai"].find_problems(options)


def accepted(options: dict[str, Any]) -> dict[str, Any]:
    """Let the emulated service check the body that would be sent."""
    body = {"audio_url": "https://audio.test/a.mp3", **make_fields(options)}
    sent = msgspec.json.decode(msgspec.json.encode(body))
    return check_options(sent, models_required=True, default_models=list(SPEECH_MODELS))


@pytest.mark.parametrize(("options", "fields"), COMMON)
def test_common_options(options: dict[str, Any], fields: dict[str, Any]) -> None:
    """Each common option is sent under the vendor's name, and the service takes it."""
    assert make_fields(options).items() >= fields.items()
    assert find(options) == []
    accepted(options)


@pytest.mark.parametrize("extra", EXTRA)
def test_extra_options(extra: dict[str, Any]) -> None:
    """Everything else of the API can be set as it is called there, and the service takes it."""
    assert find({"extra": extra}) == []
    assert accepted({"extra": extra}).items() >= extra.items()


def test_every_field_is_tried() -> None:
    """The two tables above use every field there is."""
    used = {name for _, fields in COMMON for name in fields} | {n for one in EXTRA for n in one}
    assert used == FIELDS.keys()
    assert len(POLICIES) == len(set(POLICIES)) == 65
    assert set(MODELS) == set(SPEECH_MODELS)


@pytest.mark.parametrize(("extra", "named"), REFUSED)
def test_what_would_be_refused(extra: dict[str, Any], named: str) -> None:
    """Wrong types, values and combinations are problems that name the field, never a secret."""
    problems = find({"extra": extra})
    assert any(named in problem for problem in problems), problems
    if "webhook_auth_header_value" in extra:
        assert "'a" not in str(problems)


def test_a_route_that_cannot_work_is_a_configuration_error() -> None:
    """Route, provider and field are named, and all problems come at once."""
    settings = Settings.model_validate(
        {
            "routes": [
                {
                    "providers": ["assemblyai"],
                    "redact_pii": ["names"],
                    "extra": {"assemblyai": {"nonsense": 1}},
                }
            ]
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        build_routes(settings)
    assert "routes.0: assemblyai: redact_pii_policies" in str(caught.value)
    assert "routes.0: assemblyai: extra.nonsense" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "micros"),
    [
        ({}, 210_000),
        ({"diarize": True, "entities": True}, 310_000),
        ({"summary": True}, 180_000),
        ({"extra": {"auto_chapters": True}}, 230_000),
        ({"sentiment": True, "highlights": True}, 240_000),
        ({"redact_pii": ["date"]}, 210_000),
    ],
)
def test_prices(options: dict[str, Any], micros: int) -> None:
    """An hour costs its model and the add-ons whose price is known."""
    assert price_job(options, HOUR_MS, None, None).micros == micros
