"""Plaud's answers about one job, read into our shape; pure.

What belongs here: the meaning of ``data`` of a finished job (docs.plaud.ai, Transcription API, read
2026-11-21). Its pages show ``segments`` with a ``speaker``, the vendor's OpenAPI file (as third
parties read it) and its own apps ``results`` with a ``speaker_id``: both are read. Unknown fields,
voice embeddings among them, are skipped unread, absent ones are null, wrong types are errors that
name their JSON path. Times are seconds as fractions, the length is whole seconds.

Turns: segments are the provider's own cut, utterances runs of one speaker without a pause of a
second (our one rule). There are no words, and no confidence but that of the language.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, join_turns
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.decoding import decode

NAME = "plaud"
FIELDS = frozenset({"text", "language", "duration", "segments", "results", "embeddings", "error"})
"""Known fields of ``data``; the last two are left unread."""
MAX_DURATION_S = 48 * 3600
"""A day is the service's limit; a time far beyond any recording is an error, not a segment."""

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_S)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Segment(msgspec.Struct, gc=False):
    text: str
    start: _Seconds
    end: _Seconds
    speaker: str | None = None
    speaker_id: str | None = None
    language: str | None = None
    language_probability: _Share | None = None
    # So misspelt, by a third party's client.
    language_probabilitiy: _Share | None = None


class _Data(msgspec.Struct, gc=False):
    text: str | None = None
    language: str | None = None
    duration: _Seconds | None = None
    segments: list[_Segment] | None = None
    results: list[_Segment] | None = None


class _Answer(msgspec.Struct, gc=False):
    status: str
    data: _Data | None = None


_DECODER = msgspec.json.Decoder(_Answer)


def normalise(body: bytes) -> Transcript:
    """Read one raw answer.

    Raises ``NormaliseError`` for an answer that is not a finished job of one of the two shapes.
    """
    answer = decode(_DECODER, body, NAME)
    if answer.status != "SUCCESS":
        raise NormaliseError(NAME, "$.status", "a job that did not succeed")
    told = answer.data or _Data()
    if told.text is None and told.segments is None and told.results is None:
        # Silence is an empty text; nothing at all is neither shape.
        raise NormaliseError(NAME, "$.data", "neither text nor segments")
    # Should both be there: what is in one alone must not be lost.
    name, spoken = max(
        ("segments", told.segments or []), ("results", told.results or []), key=lambda s: len(s[1])
    )
    _check_times(name, spoken)
    spoken.sort(key=lambda one: one.start)
    segments = _make_segments(spoken)
    language, confidence = _find_language(told.language, spoken)
    return Transcript(
        text=told.text or " ".join(segments.text),
        words=Words(),
        segments=segments,
        utterances=join_turns(segments),
        language=language,
        language_confidence=confidence,
        duration_ms=None if told.duration is None else _ms(told.duration),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _check_times(name: str, spoken: list[_Segment]) -> None:
    for index, one in enumerate(spoken):
        if one.start > one.end:
            raise NormaliseError(NAME, f"$.data.{name}[{index}]", f"times {one.start}..{one.end}")


def _make_segments(spoken: list[_Segment]) -> Turns:
    return Turns(
        start_ms=[_ms(one.start) for one in spoken],
        end_ms=[_ms(one.end) for one in spoken],
        text=[one.text for one in spoken],
        confidence=[None] * len(spoken),
        speaker_label=[one.speaker or one.speaker_id or None for one in spoken],
        channel=[None] * len(spoken),
        word_count=[None] * len(spoken),
        language=[one.language for one in spoken],
    )


def _find_language(told: str | None, spoken: list[_Segment]) -> tuple[str | None, float | None]:
    """Return the language of the whole, and how sure Plaud is of it where all segments agree.

    A probability is of one segment's language; said alike of all of them it is of the whole.
    """
    pairs = {(one.language, _probability(one)) for one in spoken}
    language, probability = pairs.pop() if len(pairs) == 1 else (None, None)
    # "en" of the whole and "en-US" of its segments are the same.
    if told and language and _primary(told) != _primary(language):
        probability = None
    return told or language, probability if language else None


def _probability(one: _Segment) -> float | None:
    told = one.language_probability
    return one.language_probabilitiy if told is None else told


def _primary(tag: str) -> str:
    return tag.replace("_", "-").partition("-")[0].lower()
