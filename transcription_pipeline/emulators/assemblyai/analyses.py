"""Stand-ins for AssemblyAI's audio intelligence: documented shapes, simple contents.

An emulator does not understand speech, so moods, topics and summaries are drawn from the text by
fixed rules; they exist so that a client meets the shapes. Shapes are those of the API reference's
example transcript, 2026-08-18, and of recorded answers; ``answers.py`` asks for what a request
switched on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from transcription_pipeline.emulators.assemblyai.wording import ENTITIES
from transcription_pipeline.emulators.backstage import seed_of

FLAGS = (
    "auto_highlights",
    "content_safety",
    "iab_categories",
    "sentiment_analysis",
    "entity_detection",
    "auto_chapters",
    "summarization",
)
UNAVAILABLE = {"status": "unavailable", "results": [], "summary": {}}
"""Recorded: analyses that were not asked for, once the transcript is completed."""
_MOODS = ("POSITIVE", "NEUTRAL", "NEGATIVE")
_MATTER = "financials"
_TOPIC = "BusinessAndFinance>Industries>LogisticsIndustry"


def analyse(
    wanted: frozenset[str],
    text: str,
    words: Sequence[Any],
    sentences: Sequence[Any],
    *,
    spoken: Sequence[Any],
) -> dict[str, Any]:
    """Fill the result fields of a completed transcript, switched on or not.

    ``spoken`` are the words before redaction: entities are found in them, because the page "PII
    redaction" warns that they may still hold what was redacted.
    """
    return {
        "auto_highlights_result": _highlights(words) if "auto_highlights" in wanted else None,
        "content_safety_labels": _safety(sentences) if "content_safety" in wanted else UNAVAILABLE,
        "iab_categories_result": _topics(sentences) if "iab_categories" in wanted else UNAVAILABLE,
        "sentiment_analysis_results": (
            [_mood(sentence) for sentence in sentences] if "sentiment_analysis" in wanted else None
        ),
        "entities": _entities(spoken) if "entity_detection" in wanted else None,
        "chapters": _chapters(text, sentences) if "auto_chapters" in wanted else None,
        "summary": _gist(text) if "summarization" in wanted else None,
    }


def _plain(word: dict[str, Any]) -> str:
    return str(word["text"]).strip(".?!,").lower()


def _mood(sentence: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": sentence["text"],
        "start": sentence["start"],
        "end": sentence["end"],
        "sentiment": _MOODS[seed_of(sentence["text"]) % 3],
        "confidence": sentence["confidence"],
        "speaker": sentence["speaker"],
    } | ({"channel": sentence["channel"]} if "channel" in sentence else {})


def _entities(words: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "entity_type": ENTITIES[_plain(word)],
            "text": str(word["text"]).strip(".?!,"),
            "start": word["start"],
            "end": word["end"],
        }
        for word in words
        if _plain(word) in ENTITIES
    ]


def _highlights(words: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Take the longest frequent words for key phrases."""
    counts = Counter(_plain(word) for word in words if len(_plain(word)) > 6)
    results = [
        {
            "count": count,
            "rank": round(count / len(words), 4),
            "text": text,
            "timestamps": [
                {"start": word["start"], "end": word["end"]}
                for word in words
                if _plain(word) == text
            ],
        }
        for text, count in counts.most_common(5)
    ]
    return {"status": "success", "results": results}


def _safety(sentences: Sequence[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {
            "text": sentence["text"],
            "labels": [{"label": _MATTER, "confidence": 0.8, "severity": 0.2}],
            "sentences_idx_start": 0,
            "sentences_idx_end": 0,
            "timestamp": {"start": sentence["start"], "end": sentence["end"]},
        }
        for sentence in sentences[:1]
    ]
    severity = {_MATTER: {"low": 1.0, "medium": 0.0, "high": 0.0}} if results else {}
    return {
        "status": "success",
        "results": results,
        "summary": {_MATTER: 0.8} if results else {},
        "severity_score_summary": severity,
    }


def _topics(sentences: Sequence[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {
            "text": sentence["text"],
            "labels": [{"relevance": 0.9, "label": _TOPIC}],
            "timestamp": {"start": sentence["start"], "end": sentence["end"]},
        }
        for sentence in sentences[:1]
    ]
    return {"status": "success", "results": results, "summary": {_TOPIC: 0.9} if results else {}}


def _gist(text: str) -> str:
    return "- " + text.partition(".")[0]


def _chapters(text: str, sentences: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not sentences:
        return []
    return [
        {
            "gist": sentences[0]["text"].rstrip("."),
            "headline": sentences[0]["text"],
            "summary": _gist(text),
            "start": sentences[0]["start"],
            "end": sentences[-1]["end"],
        }
    ]


def understand(request: dict[str, Any], heard: dict[str, Any]) -> dict[str, Any]:
    """Answer ``speech_understanding``: shapes of the vendor's Python SDK 1.8.2.

    Returns:
        The fields of the transcript that it fills; what an analysis that the SDK does not know
        answers is not documented, and is its status alone.
    """
    response: dict[str, Any] = {name: {"status": "success"} for name in request}
    turns, text = heard["utterances"] or [], heard["text"]
    if "summarization" in request:
        kind = request["summarization"].get("summary_type", "bullets")
        told = {"bullets": [_gist(text)]} if kind == "bullets" else {"text": _gist(text)}
        words = heard["words"]
        spans = [{"start": words[0]["start"], "end": words[-1]["end"]}] if words else []
        response["summarization"] |= {
            "summary": [span | {"headline": "Call"} | told for span in spans],
            "block_summary": _gist(text),
            "summary_type": kind,
        }
    if "speaker_identification" in request:
        names = {turn["speaker"]: f"Speaker {turn['speaker']}" for turn in turns}
        response["speaker_identification"]["mapping"] = names
    fields: dict[str, Any] = {"speech_understanding": {"request": request, "response": response}}
    if "translation" in request:
        languages = request["translation"].get("target_languages", [])
        fields["translated_texts"] = {one: f"[{one}] {text}" for one in languages}
    return fields
