"""Answers of AssemblyAI, made small, and how the tests read and refuse them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transcription_pipeline.domain.transcript import Transcript
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.assemblyai import normalise
from transcription_pipeline.tables.build import build_tables


def make_word(text: str, start: int, end: int, **rest: Any) -> dict[str, Any]:
    """Make one word of an answer."""
    return {"text": text, "start": start, "end": end, "confidence": 0.9, "speaker": None, **rest}


def make_turn(*words: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Make one utterance of an answer around its words."""
    return {
        "text": " ".join(word["text"] for word in words),
        "start": words[0]["start"],
        "end": max(word["end"] for word in words),
        "confidence": 0.8,
        "words": list(words),
        "speaker": words[0]["speaker"],
        **rest,
    }


def make_answer(**fields: Any) -> dict[str, Any]:
    """Make a completed answer."""
    return {"id": "1", "status": "completed", "text": "", "words": [], "utterances": None, **fields}


def read(answer: Any) -> Transcript:
    """Normalise an answer, and make sure that the tables can hold what came out."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    transcript = normalise(body)
    build_tables([({"recording_id": "r", "provider": "assemblyai"}, transcript)])
    return transcript


def refuse(answer: Any) -> NormaliseError:
    """Normalise an answer that must be refused."""
    with pytest.raises(NormaliseError) as caught:
        read(answer)
    assert caught.value.provider == "assemblyai"
    assert caught.value.path.startswith("$")
    return caught.value
