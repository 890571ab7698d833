"""What a completed transcript can be asked for besides itself: sentences, paragraphs, search, captions.

Everything is made from the answer's own words, so that an export never disagrees with the
transcript. Shapes follow the API reference, 2026-08-18; ``app.py`` sends what this returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from transcription_pipeline.emulators.assemblyai.analyses import FLAGS
from transcription_pipeline.emulators.assemblyai.answers import write_heard
from transcription_pipeline.emulators.assemblyai.jobs import Job
from transcription_pipeline.emulators.assemblyai.refusals import NO_WORDS, Refusal
from transcription_pipeline.emulators.assemblyai.wording import (
    make_paragraphs,
    make_sentences,
    view_of,
)

_CAPTION_CHARS = 128
"""Length of a caption when none is asked for; not documented."""


def _heard(job: Job) -> dict[str, Any]:
    assert job.said is not None  # only completed jobs come here
    wanted = frozenset(name for name in FLAGS if job.options.get(name))
    heard: dict[str, Any] = msgspec.json.decode(write_heard(job.said, view_of(job.options), wanted))
    return heard


def make_sentences_answer(job: Job) -> dict[str, Any]:
    """Cut the transcript into sentences."""
    heard = _heard(job)
    return {"sentences": make_sentences(heard["words"])} | _footing(job, heard)


def make_paragraphs_answer(job: Job) -> dict[str, Any]:
    """Cut the transcript into paragraphs."""
    heard = _heard(job)
    paragraphs = make_paragraphs(make_sentences(heard["words"]))
    return {"paragraphs": paragraphs} | _footing(job, heard)


def _footing(job: Job, heard: dict[str, Any]) -> dict[str, Any]:
    return {"id": job.id, "confidence": heard["confidence"], "audio_duration": job.audio_s}


def search_words(job: Job, phrases: str | None) -> dict[str, Any]:
    """Find words and phrases of at most five words; one comma-joined value.

    Capitals and punctuation do not matter, and matches come back lower-cased (recorded by the
    vendor's Go SDK tests). Phrases that are not found are left out; not documented.
    """
    wanted = [phrase.split() for phrase in (phrases or "").lower().split(",") if phrase.strip()]
    if not wanted:
        raise Refusal(NO_WORDS)
    words = _heard(job)["words"]
    plain = [re.sub(r"^\W+|\W+$", "", word["text"]).lower() for word in words]
    matches: list[dict[str, Any]] = []
    for phrase in wanted:
        length = len(phrase)
        places = [i for i in range(len(plain) - length + 1) if plain[i : i + length] == phrase]
        if places and length <= 5:
            found = {
                "text": " ".join(phrase),
                "count": len(places),
                "timestamps": [[words[i]["start"], words[i + length - 1]["end"]] for i in places],
                "indexes": places,
            }
            matches.append(found)
    total = sum(match["count"] for match in matches)
    return {"id": job.id, "total_count": total, "matches": matches}


def make_captions(job: Job, kind: str, chars_per_caption: int | None) -> str:
    """Write SRT or VTT. Captions end with the sentence, or earlier when they grow too long."""
    captions = list(_cut_captions(job, chars_per_caption or _CAPTION_CHARS))
    if kind == "srt":
        blocks = (
            f"{number}\n{_srt_time(start)} --> {_srt_time(end)}\n{text}\n"
            for number, (start, end, text) in enumerate(captions, 1)
        )
        return "\n".join(blocks) + ("\n" if captions else "")
    # The API reference's example has minutes and seconds only; a recording of a third party has
    # hours. We chose the former, with hours from the first hour on.
    blocks = (f"{_vtt_time(start)} --> {_vtt_time(end)}\n{text}\n" for start, end, text in captions)
    return "WEBVTT\n\n" + "\n".join(blocks) + ("\n" if captions else "")


def _cut_captions(job: Job, most_chars: int) -> Iterator[tuple[int, int, str]]:
    for sentence in make_sentences(_heard(job)["words"]):
        line: list[dict[str, Any]] = []
        for word in sentence["words"]:
            length = sum(len(one["text"]) + 1 for one in line) + len(word["text"])
            if line and length > most_chars:
                yield _caption(line)
                line = []
            line.append(word)
        if line:
            yield _caption(line)


def _caption(words: list[dict[str, Any]]) -> tuple[int, int, str]:
    text = " ".join(word["text"] for word in words)
    return words[0]["start"], max(word["end"] for word in words), text


def _srt_time(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def _vtt_time(ms: int) -> str:
    hours = f"{ms // 3_600_000:02}:" if ms >= 3_600_000 else ""
    return f"{hours}{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
