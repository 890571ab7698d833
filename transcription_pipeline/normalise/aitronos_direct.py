"""Aitronos's answer in its multipart form, read into our shape; pure.

What belongs here: the bare object of that form, as the vendor's package types it (aitronos-sdk
0.8.178, ``audio_services``, read 2026-11-21): language, length, text and "timestamped segments with
text, start, end, and optional word timings". What does not: the documented form (``aitronos.py``, the
only caller). Neither the unit of a segment's times nor how word timings are written is told: seconds
are meant elsewhere in the answer, so times that do not fit its length are an error, and word timings
are left unread. No field names a speaker, a confidence or a price.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, join_turns
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.decoding import decode

NAME = "aitronos"
MAX_DURATION_S = 48 * 3600
"""No limit is documented; a time far beyond any recording is an error, not a word."""
_SLACK_S = 1.0
"""How far times may lie beyond the length: both are rounded, and models overshoot a little."""

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_S)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Segment(msgspec.Struct, gc=False):
    text: str
    start: _Seconds
    end: _Seconds


class _Answer(msgspec.Struct, gc=False):
    text: str
    segments: list[_Segment]
    duration_seconds: _Seconds
    language: str | None = None
    language_probability: _Share | None = None
    model: str | None = None


_DECODER = msgspec.json.Decoder(_Answer)


def normalise_direct(body: bytes) -> Transcript:
    """Read one raw answer; raises ``NormaliseError`` for what is none."""
    told = decode(_DECODER, body, NAME)
    longest_s = told.duration_seconds + _SLACK_S
    for index, one in enumerate(told.segments):
        if not one.start <= one.end <= longest_s:
            path = f"$.segments[{index}]"
            raise NormaliseError(NAME, path, f"times {one.start}..{one.end}")
    told.segments.sort(key=lambda one: one.start)
    count = len(told.segments)
    segments = Turns(
        start_ms=[round(one.start * 1000) for one in told.segments],
        end_ms=[round(one.end * 1000) for one in told.segments],
        text=[one.text.strip() for one in told.segments],
        confidence=[None] * count,
        speaker_label=[None] * count,
        channel=[None] * count,
        word_count=[None] * count,
    )
    return Transcript(
        text=told.text,
        words=Words(),
        segments=segments,
        utterances=join_turns(segments),
        model=told.model,
        language=told.language,
        language_confidence=told.language_probability,
        duration_ms=round(told.duration_seconds * 1000),
    )
