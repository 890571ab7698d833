"""How the common options and prices look at AssemblyAI; pure.

What belongs here: the fields of the submit body and the public price list. What does not: what would
be refused of them (``assemblyai_rules.py``). ``assemblyai.py`` sends what is made here. Field names and rules are from the API reference (submit), November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transcription_pipeline.providers.assemblyai_rules import find_field_problems
from transcription_pipeline.providers.base import Cost

# The default models flip-flopped through 2026, so they are always sent.
DEFAULT_MODELS = ["universal-3-pro", "universal-2"]
# USD per audio hour (pricing page, 2026-10), and add-ons from AssemblyAI's own usage records.
MODEL_PRICES = {"universal-3-5-pro": 210_000, "universal-3-pro": 210_000, "universal-2": 150_000}
ADD_ON_PRICES = {
    "speaker_labels": 20_000,
    "entity_detection": 80_000,
    "sentiment_analysis": 20_000,
    "auto_highlights": 10_000,
    "summarization": 30_000,
    "auto_chapters": 80_000,
}


def price_job(
    options: Mapping[str, Any], duration_ms: int, model: str | None, per_hour_micros: int | None
) -> Cost:
    """Price a job: per second begun, silence included.

    Args:
        options: The job's options.
        duration_ms: Length of the audio.
        model: The model that was used; None: the first one asked for.
        per_hour_micros: An agreed price that replaces the list; None: the list with its add-ons.
    """
    fields = make_fields(options)
    per_hour = per_hour_micros
    if per_hour is None:
        used = model or (fields["speech_models"] or [""])[0]
        per_hour = MODEL_PRICES.get(used, max(MODEL_PRICES.values()))
        per_hour += sum(price for name, price in ADD_ON_PRICES.items() if fields.get(name))
    seconds = -(-duration_ms // 1000)
    # Half a micro up; how AssemblyAI rounds is not documented.
    return Cost((per_hour * seconds * 2 + 3600) // 7200, "USD", seconds * 1000)


def _language(value: str) -> dict[str, Any]:
    # language_code and language_detection exclude each other (API reference, submit).
    return {"language_detection": True} if value == "auto" else {"language_code": value}


OPTIONS: dict[str, Any] = {
    "language": _language,
    "diarize": lambda value: {"speaker_labels": value},
    "speakers_expected": lambda value: {"speakers_expected": value},
    "word_timestamps": lambda _: {},  # always given
    "multichannel": lambda value: {"multichannel": value},
    "redact_pii": lambda value: {"redact_pii": True, "redact_pii_policies": list(value)},
    "sentiment": lambda value: {"sentiment_analysis": value},
    "entities": lambda value: {"entity_detection": value},
    "highlights": lambda value: {"auto_highlights": value},
    "summary": lambda value: (
        {"summarization": True, "summary_model": "informative", "summary_type": "bullets"}
        if value
        else {}
    ),
    "model": lambda value: {"speech_models": [value]},
    "keyterms": lambda value: {"keyterms_prompt": list(value)},
    "webhook": lambda value: {"webhook_url": f"{value}/assemblyai"},
}


def make_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Translate common options to fields of the submit body; ``extra`` wins over them."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if name != "extra":
            fields |= OPTIONS[name](value)
    fields |= options.get("extra", {})
    if "speech_models" not in fields:
        # The analyses of the older model are asked for with it, the only one that makes them.
        is_old = fields.get("summarization") or fields.get("auto_chapters")
        fields["speech_models"] = ["universal-2"] if is_old else DEFAULT_MODELS
    return fields


def find_problems(options: Mapping[str, Any]) -> list[str]:
    """Say what AssemblyAI could not honour of these options, each by its name."""
    return find_field_problems(make_fields(options))
