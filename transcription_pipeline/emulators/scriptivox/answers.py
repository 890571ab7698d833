"""The transcription object, the rows of the list, and the words in them.

Field names, units and nulls follow the quickstart's example and the API reference; capitals, commas
and full stops are ours. ``app.py`` sends what this returns; the costly part, the words, is written
once per speech and request shape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from transcription_pipeline.emulators.clock import to_utc
from transcription_pipeline.emulators.scriptivox.jobs import Job, ScriptivoxSettings, to_cents
from transcription_pipeline.emulators.speech import Script, Speech, SpokenWord, Turn

_PROGRESS = {
    "created": "Transcription created.",
    "downloading": "Downloading audio.",
    "pending": "Waiting for the audio to be checked.",
    "processing": "Transcribing audio.",
    "completed": "Transcription completed successfully.",
    "failed": "Transcription failed.",
}
_ALWAYS_CAPITAL = {"i", "anna", "john", "london", "berlin", "monday", "friday"}


def make_answer(job: Job, at: float, settings: ScriptivoxSettings) -> bytes:
    """Write the answer of ``GET /transcribe/{id}`` at a moment."""
    answer = make_row(job, at, settings)
    status = answer["status"]
    answer["progress"] = _PROGRESS.get(status, "Working.")
    if status == "failed" and job.failure is not None:
        answer["error"] = {"code": job.failure.code, "message": job.failure.message}
    if status == "completed" and job.said is not None:
        language = job.options.get("language") or settings.detected_language
        shape = (job.options["diarize"], job.options["align"], settings.unasked_speaker)
        answer["result"] = msgspec.Raw(write_result(job.said, language, *shape))
    if settings.unfinished_fields == "absent":
        answer = {name: value for name, value in answer.items() if value is not None}
    return msgspec.json.encode(answer)


def make_row(job: Job, at: float, settings: ScriptivoxSettings) -> dict[str, Any]:
    """Write a row of the list: no result, no URL, no key."""
    status = job.status_at(at)
    is_probed = job.processing_at is not None and job.processing_at <= at
    is_over = status in ("completed", "failed")
    detected = settings.detected_language if status == "completed" else None
    cost = job.cost_micros if is_probed else None
    return {
        "id": job.id,
        "status": status,
        "audio_duration_seconds": _seconds(job.audio_ms) if is_probed else None,
        "file_size_bytes": job.size_bytes if is_probed else None,
        "language": job.options.get("language") or detected,
        "diarize": job.options["diarize"],
        "speaker_count": job.options.get("speaker_count"),
        "align": job.options["align"],
        "cost_cents": None if cost is None else to_cents(cost),
        "created_at": write_instant(job.created_at),
        "started_at": write_instant(job.started_at),
        "completed_at": write_instant(job.finished_at) if is_over else None,
    }


def write_instant(seconds: float | None) -> str | None:
    """Write an instant in ISO 8601, UTC, with Z."""
    return None if seconds is None else to_utc(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=256)
def write_result(
    said: Script | Speech, language: str, diarize: bool, align: bool, unasked: str
) -> bytes:
    """Write ``result`` of a completed job as JSON."""
    speech = said.speak() if isinstance(said, Script) else said
    labels: dict[int, str] = {}
    utterances = []
    for turn in speech.turns:
        label = labels.setdefault(turn.voice, f"SPEAKER {len(labels) + 1}") if diarize else None
        utterances += [
            _utterance(words, label, align, unasked) for words in _cut(turn, whole=diarize)
        ]
    result: dict[str, Any] = {
        "full_transcript": " ".join(one["text"] for one in utterances),
        "language": language,
        "duration_seconds": _seconds(speech.duration_ms),
    }
    if diarize:
        result["speakers"] = list(labels.values())
    elif unasked != "absent":
        result["speakers"] = None if unasked == "null" else []
    return msgspec.json.encode(result | {"utterances": utterances})


def _cut(turn: Turn, *, whole: bool) -> list[list[dict[str, Any]]]:
    """Cut a turn into sentences, unless it is one speaker's; which way is not documented."""
    cuts: list[list[dict[str, Any]]] = [[]]
    starts_sentence = True
    for word in turn.words:
        cuts[-1].append(_word(word, starts_sentence=starts_sentence))
        starts_sentence = word.ends_sentence
        if word.ends_sentence and not whole:
            cuts.append([])
    return [cut for cut in cuts if cut]


def _word(word: SpokenWord, *, starts_sentence: bool) -> dict[str, Any]:
    text = word.text
    if starts_sentence or text in _ALWAYS_CAPITAL:
        text = text[:1].upper() + text[1:]
    return {
        "word": text + "." if word.ends_sentence else text,
        "start": _seconds(word.start_ms),
        "end": _seconds(word.end_ms),
        "confidence": round(word.confidence, 4),
    }


def _utterance(
    words: list[dict[str, Any]], label: str | None, align: bool, unasked: str
) -> dict[str, Any]:
    speaker: dict[str, Any] = {}
    if label is not None:
        speaker = {"speaker": label}
    elif unasked != "absent":
        speaker = {"speaker": None if unasked == "null" else ""}
    mean = sum(word["confidence"] for word in words) / len(words)
    utterance = {
        "start": words[0]["start"],
        "end": max(word["end"] for word in words),
        "text": " ".join(word["word"] for word in words),
        **speaker,
        "confidence": round(mean, 4),
    }
    if align:
        utterance["words"] = [word | speaker for word in words]
    return utterance


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
