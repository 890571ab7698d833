"""The transcription object, and the words in it, in both shapes that the vendor publishes.

``segments`` is the shape of the pages, ``results`` that of the OpenAPI file as reported and of the
vendor's apps; ``app.py`` sends what this returns.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

from transcription_pipeline.emulators.backstage import seed_of
from transcription_pipeline.emulators.plaud.jobs import Job, PlaudSettings
from transcription_pipeline.emulators.speech import Script, Speech, SpokenWord

_EMBEDDING_LENGTH = 256
"""Reported."""


def make_pending(job_id: str) -> dict[str, Any]:
    """Write the answer to a submit, and that of a job nobody knows, where the settings say so."""
    return {"transcription_id": job_id, "status": "PENDING", "data": {}}


def make_answer(job: Job, at: float, settings: PlaudSettings) -> dict[str, Any]:
    """Write the answer to a look at a job."""
    status = job.status_at(at, settings)
    answer: dict[str, Any] = {"transcription_id": job.id, "status": status, "data": {}}
    if status == "SUCCESS" and job.said is not None:
        answer["data"] = _make_data(job, job.said, settings)
    elif job.reason is not None and status == job.outcome:
        if settings.failure_reason == "message":
            answer["message"] = job.reason
        elif settings.failure_reason == "data.error":
            answer["data"] = {"error": job.reason}
    return answer


def _make_data(job: Job, said: Script | Speech, settings: PlaudSettings) -> dict[str, Any]:
    wanted, diarization = job.params.transcribe.language, job.params.diarization
    language = settings.detected_language if wanted == "auto" else wanted
    rows = _cut(said)
    audio_ms = job.audio_ms or 0
    data: dict[str, Any] = {
        "text": " ".join(text for _, _, text, _ in rows),
        "language": language,
        "duration": audio_ms // 1000 if settings.duration == "down" else -(-audio_ms // 1000),
    }
    for shape, speaker in (("segments", "speaker"), ("results", "speaker_id")):
        if settings.result_shape not in (shape, "both"):
            continue
        more = {"language": language, "language_probability": 0.98} if shape == "results" else {}
        data[shape] = [
            {"start": start, "end": end, "text": text}
            | ({speaker: label} if diarization.enabled else {})
            | more
            for start, end, text, label in rows
        ]
    if diarization.enabled and diarization.return_embedding:
        data["embeddings"] = {label: _embed(label) for label in sorted({row[3] for row in rows})}
    return data


@lru_cache(maxsize=64)
def _cut(said: Script | Speech) -> tuple[tuple[float, float, str, str], ...]:
    """Cut what was said into sentences: start and end in seconds, text, speaker.

    Where the service cuts is not documented; capitals and full stops are ours.
    """
    speech = said.speak() if isinstance(said, Script) else said
    rows = []
    labels: dict[int, str] = {}
    for turn in speech.turns:
        label = labels.setdefault(turn.voice, f"Speaker {len(labels) + 1}")
        words: list[SpokenWord] = []
        for index, word in enumerate(turn.words):
            words.append(word)
            if word.ends_sentence or index == len(turn.words) - 1:
                text = " ".join(one.text for one in words)
                start, end = words[0].start_ms / 1000, max(one.end_ms for one in words) / 1000
                rows.append((start, end, f"{text[:1].upper()}{text[1:]}.", label))
                words = []
    return tuple(sorted(rows))


def _embed(label: str) -> list[float]:
    chance = random.Random(seed_of(label))  # noqa: S311 - reproducible, not secret
    return [round(chance.uniform(-1, 1), 6) for _ in range(_EMBEDDING_LENGTH)]
