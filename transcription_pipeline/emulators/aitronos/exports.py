"""Subtitles and search: what can be had of a transcript besides its sentences.

Parameters and ranges are from "Get subtitles" and "Search transcript"; how captions are cut within
them is our choice, and so is the confidence of a match. ``app.py`` sends what this returns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from transcription_pipeline.emulators.aitronos.answers import cut_sentences
from transcription_pipeline.emulators.aitronos.checks import read_number
from transcription_pipeline.emulators.aitronos.jobs import Job
from transcription_pipeline.emulators.aitronos.refusals import Refusal

FORMATS = {"srt": "text/plain", "vtt": "text/vtt", "txt": "text/plain"}
_MAX_QUERY_CHARS = 128
_MAX_QUERY_WORDS = 5


def make_subtitles(job: Job, kind: str, query: Mapping[str, str]) -> str:
    """Write a transcript as captions, or as plain text."""
    if kind not in FORMATS:
        raise Refusal("VALIDATION_ERROR", "format must be srt, vtt or txt.")
    chars = read_number(query.get("chars_per_caption"), "chars_per_caption", 0, 512, 0)
    lines = read_number(query.get("max_lines"), "max_lines", 1, 3, 2)
    width = read_number(query.get("max_chars_per_line"), "max_chars_per_line", 20, 60, 42)
    sentences = cut_sentences(job, "")
    if kind == "txt":
        return "\n".join(one["text"] for one in sentences)
    room = min(chars, lines * width) if chars else lines * width
    captions: list[str] = []
    for one in sentences:
        parts = textwrap.wrap(one["text"], max(room, 1))
        step = (one["end"] - one["start"]) / max(1, len(parts))
        for index, part in enumerate(parts):
            start = one["start"] + index * step
            span = f"{_clock(start, kind)} --> {_clock(start + step, kind)}"
            text = "\n".join(textwrap.wrap(part, width))
            captions.append(f"{len(captions) + 1}\n{span}\n{text}\n")
    return ("WEBVTT\n\n" if kind == "vtt" else "") + "\n".join(captions)


def search(job: Job, query: str | None) -> dict[str, Any]:
    """Find an exact phrase; a match's times are those of its sentence."""
    phrase = (query or "").strip()
    if not 1 <= len(phrase) <= _MAX_QUERY_CHARS or len(phrase.split()) > _MAX_QUERY_WORDS:
        raise Refusal("VALIDATION_ERROR", "query must be 1 to 128 characters and 5 words at most.")
    matches = [
        {
            "text": phrase,
            "start": round(one["start"], 3),
            "end": round(one["end"], 3),
            "confidence": 1.0,
        }
        for one in cut_sentences(job, "")
        if phrase.lower() in one["text"].lower()
    ]
    return {
        "transcription_id": job.id,
        "query": phrase,
        "matches": matches,
        "total_count": len(matches),
    }


def _clock(seconds: float, kind: str) -> str:
    ms = round(seconds * 1000)
    point = "," if kind == "srt" else "."
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
