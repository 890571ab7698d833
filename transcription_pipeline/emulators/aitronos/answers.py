"""The transcription, the rows of the list, sentences and paragraphs, in the vendor's envelope.

Field names and units follow "Create transcription" (complete), "Get transcription", "List
transcriptions", "Get sentences" and "Get paragraphs" (field lists; their samples are not public to
us). ``app.py`` sends what this returns.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from transcription_pipeline.emulators.aitronos.jobs import MODEL, AitronosSettings, Job
from transcription_pipeline.emulators.aitronos.refusals import write_instant
from transcription_pipeline.emulators.speech import Script, Speech, SpokenWord, Turn

_LINKS = {
    "get_paragraphs": "/paragraphs",
    "get_sentences": "/sentences",
    "get_subtitles_srt": "/subtitles/srt",
    "get_subtitles_vtt": "/subtitles/vtt",
    "get_subtitles_txt": "/subtitles/txt",
    "search": "/search",
}


def make_metadata(at: float, **more: Any) -> dict[str, Any]:
    """Make the metadata of one request."""
    return {
        "request_id": f"req_{uuid.uuid4().hex}",
        "timestamp": write_instant(at),
        "processing_time_ms": 12,
        **more,
    }


def make_created(job: Job, settings: AitronosSettings, base_url: str) -> dict[str, Any]:
    """Answer the create request."""
    return {
        "success": True,
        "data": {
            "transcription_id": job.id,
            "status": "queued",
            "model_key": MODEL,
            "audio_metadata": _make_audio(job, settings),
            "timestamps": {"created_at": write_instant(job.created_at)},
        },
        "billing": _make_billing(job)
        | {
            "transaction_id": f"txn_{job.id.removeprefix('trans_')}",
            "multipliers": {"base": settings.multiplier, "organization": 1.0, "priority": 1.0},
        },
        "metadata": make_metadata(job.created_at),
        "actions": {"check_status": f"{base_url}/v1/audio/transcribe/{job.id}"},
    }


def make_transcript(job: Job, at: float) -> dict[str, Any]:
    """Answer the multipart form: a bare object, as the vendor's package types it.

    What segments are cut at, and the numbers that nobody measured, are our choice; word timings are
    left out, as no package says how they are written.
    """
    segments = cut_sentences(job, "")
    text = " ".join(one["text"] for one in segments)
    return {
        "language": job.options["transcription_options"]["language"],
        "language_probability": 0.99,
        "duration_seconds": job.audio_ms / 1000,
        "text": text,
        "segments": segments,
        "word_count": len(text.split()),
        "processing_time_seconds": round(at - job.created_at, 1),
        "model": MODEL,
    }


def make_found(
    job: Job, at: float, settings: AitronosSettings, base_url: str, *, was_refreshed: bool
) -> dict[str, Any]:
    """Answer a get, showing what the machine behind last said."""
    status = job.status_at(job.seen_at) or "queued"
    timestamps: dict[str, Any] = {
        "created_at": write_instant(job.created_at),
        "updated_at": write_instant(job.seen_at),
    }
    actions = {"check_status": f"{base_url}/v1/audio/transcribe/{job.id}"}
    data: dict[str, Any] = {
        "transcription_id": job.id,
        "status": status,
        "model_key": MODEL,
        # Whether these names are those of the create answer is not documented; our choice.
        "audio_metadata": _make_audio(job, settings),
        "timestamps": timestamps,
    }
    if status in ("completed", "failed") and job.finished_at is not None:
        timestamps["completed_at"] = write_instant(job.finished_at)
        timestamps["processing_time_seconds"] = round(job.finished_at - job.created_at, 1)
    if status == "completed":
        actions = {
            name: f"{base_url}/v1/audio/transcribe/{job.id}{p}" for name, p in _LINKS.items()
        }
        if settings.text_field:
            data[settings.text_field] = " ".join(one["text"] for one in cut_sentences(job, ""))
    return {
        "success": True,
        "data": data,
        "billing": _make_billing(job),
        "metadata": make_metadata(at, upstream_refreshed=was_refreshed),
        "actions": actions,
    }


def make_row(job: Job, at: float) -> dict[str, Any]:
    """Write one row of the list: no audio URL."""
    status = job.status_at(at)
    row = {
        "transcription_id": job.id,
        "status": status,
        "model_key": MODEL,
        "synapses_consumed": job.synapses,
        "audio_duration_seconds": job.audio_ms / 1000,
        "created_at": write_instant(job.created_at),
    }
    if status in ("completed", "failed") and job.finished_at is not None:
        row["completed_at"] = write_instant(job.finished_at)
    return row


def make_pieces(
    job: Job, at: float, kind: str, page: tuple[int | None, int], settings: AitronosSettings
) -> dict[str, Any]:
    """Answer for sentences or paragraphs, cut to one page."""
    speaker = settings.speaker_field
    pieces = cut_sentences(job, speaker) if kind == "sentences" else cut_paragraphs(job, speaker)
    limit, offset = page
    shown = pieces[offset:] if limit is None else pieces[offset : offset + limit]
    counts = {"total_count": len(pieces)} if settings.has_total_count else {}
    more = {"upstream_latency_ms": 180, "retry_attempts": 0, "cache_hit": False}
    return {
        "success": True,
        "data": {
            "transcription_id": job.id,
            "audio_duration_seconds": job.audio_ms / 1000,
            kind: shown,
        },
        "metadata": make_metadata(at, **more, **counts, returned_count=len(shown)),
        "actions": {},
    }


def cut_sentences(job: Job, speaker_field: str) -> list[dict[str, Any]]:
    """Cut what was said into sentences; times in seconds."""
    return _pieces(job, speaker_field, is_by_sentence=True)


def cut_paragraphs(job: Job, speaker_field: str) -> list[dict[str, Any]]:
    """Cut what was said into paragraphs, one per turn; how the service cuts is not documented."""
    return _pieces(job, speaker_field, is_by_sentence=False)


def _pieces(job: Job, speaker_field: str, *, is_by_sentence: bool) -> list[dict[str, Any]]:
    if job.said is None:
        return []
    named = speaker_field if job.is_diarized else ""
    return [dict(one) for one in _cut(job.said, named, is_by_sentence)]


@lru_cache(maxsize=64)
def _cut(
    said: Script | Speech, speaker_field: str, is_by_sentence: bool
) -> tuple[dict[str, Any], ...]:
    speech = said.speak() if isinstance(said, Script) else said
    pieces: list[dict[str, Any]] = []
    for turn in speech.turns:
        sentences = _cut_turn(turn)
        for group in [[one] for one in sentences] if is_by_sentence else [sentences]:
            piece: dict[str, Any] = {
                "text": " ".join(_write(words) for words in group),
                "start": group[0][0].start_ms / 1000,
                "end": group[-1][-1].end_ms / 1000,
            }
            if speaker_field:
                piece[speaker_field] = chr(ord("A") + turn.voice % 26)
            pieces.append(piece)
    return tuple(sorted(pieces, key=lambda one: one["start"]))


def _cut_turn(turn: Turn) -> list[list[SpokenWord]]:
    sentences: list[list[SpokenWord]] = [[]]
    for word in turn.words:
        sentences[-1].append(word)
        if word.ends_sentence:
            sentences.append([])
    return [words for words in sentences if words]


def _write(words: list[SpokenWord]) -> str:
    """Write a sentence: a capital first and a full stop last."""
    text = " ".join(word.text for word in words)
    return text[:1].upper() + text[1:] + "."


def _make_audio(job: Job, settings: AitronosSettings) -> dict[str, Any]:
    url = job.audio_url
    shown = {"whole": {"url": url}, "without_query": {"url": url.partition("?")[0]}, "absent": {}}
    language = job.options["transcription_options"]["language"]
    return {
        **shown[settings.echoed_url],
        "duration_seconds": job.audio_ms / 1000,
        "language_code": language,
    }


def _make_billing(job: Job) -> dict[str, Any]:
    return {
        "synapses_consumed": job.synapses,
        "synapses_refunded": job.refunded,
        "currency": "synapses",
    }
