"""AssemblyAI's price list, and the invoice line of one completed transcript.

Prices are read from https://www.assemblyai.com/pricing and the page "Select the speech model"
(2026-10-07); the add-ons are cents divided by hours of real usage records in a fixture of the
vendor's own CLI (2026-06). Prices of PII redaction, content moderation, topics and medical mode
were in no source we trust and are not charged; whether channels are billed apart is not
documented, and we chose that they are not.
"""

from __future__ import annotations

from typing import Any

CURRENCY = "USD"

# Micros of a US dollar per hour of audio.
_MODELS = {"universal-3-5-pro": 210_000, "universal-3-pro": 210_000, "universal-2": 150_000}
_ADD_ONS = {
    "speaker_labels": 20_000,
    "entity_detection": 80_000,
    "sentiment_analysis": 20_000,
    "auto_highlights": 10_000,
    "summarization": 30_000,
    "auto_chapters": 80_000,
}


def price_items(model: str, options: dict[str, Any]) -> dict[str, int]:
    """List what is charged per hour of audio."""
    items = {model: _MODELS[model]}
    items |= {name: price for name, price in _ADD_ONS.items() if options.get(name)}
    return items


def amount_micros(items: dict[str, int], audio_s: int) -> int:
    """Charge whole seconds of audio ("billed per second", pricing page), half a micro up."""
    return (sum(items.values()) * audio_s * 2 + 3_600) // 7_200
