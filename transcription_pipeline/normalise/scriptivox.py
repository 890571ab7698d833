"""Scriptivox's transcription object, read into our shape; pure.

What belongs here: the meaning of the fields of ``GET /v1/transcribe/{id}`` (the vendor's quickstart,
and its API reference as kept in its MCP server, read 2026-11-21). Unknown fields are skipped unread,
absent ones are null, wrong types are errors that name their JSON path. Times are seconds as
fractions; money is fractions of a cent.

Turns: its utterances are taken as they are, both as segments and as utterances. Where they carry no
words (``align`` off) there are none; where there are words and no utterances, our one rule cuts.
"""

from __future__ import annotations

from itertools import chain
from operator import le
from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import (
    ToldCost,
    Transcript,
    Turns,
    Words,
    make_utterances,
)
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.decoding import decode

NAME = "scriptivox"
MAX_DURATION_S = 48 * 3600
"""Ten hours are the service's limit; a time far beyond any recording is an error, not a word."""
MICROS_PER_CENT = 10_000
_FIELDS = """
    align audio_duration_seconds completed_at cost_cents created_at diarize error file_size_bytes id
    language progress result speaker_count started_at status
    """
FIELDS = frozenset(_FIELDS.split())
"""Documented top-level fields."""
_MAX_COST_CENTS = 1e9

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_S)]
_Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Cents = Annotated[float, msgspec.Meta(ge=0, le=_MAX_COST_CENTS)]


class _Word(msgspec.Struct, gc=False):
    word: str  # words say "word", utterances "text"
    start: _Seconds
    end: _Seconds
    confidence: _Confidence | None = None
    speaker: str | None = None


class _Utterance(msgspec.Struct, gc=False):
    text: str
    start: _Seconds
    end: _Seconds
    confidence: _Confidence | None = None
    speaker: str | None = None
    words: list[_Word] | None = None


class _Result(msgspec.Struct, gc=False):
    full_transcript: str | None = None
    language: str | None = None
    duration_seconds: _Seconds | None = None
    utterances: list[_Utterance] | None = None
    # In no example; read where utterances carry fewer, so that no word is lost.
    words: list[_Word] | None = None


class _Answer(msgspec.Struct, gc=False):
    status: str
    result: _Result | None = None
    audio_duration_seconds: _Seconds | None = None
    language: str | None = None
    cost_cents: _Cents | None = None


_DECODER = msgspec.json.Decoder(_Answer)


def normalise(body: bytes) -> Transcript:
    """Read one raw answer.

    Raises ``NormaliseError`` for an answer that is not a completed transcript of the documented
    shape.
    """
    answer, result = _read(body)
    turns = result.utterances or []
    spoken = list(chain.from_iterable(turn.words or () for turn in turns))
    if result.words and len(result.words) > len(spoken):
        spoken, turns = result.words, []
    turns.sort(key=lambda turn: turn.start)
    words, utterances = _join(turns) if turns else _cut(spoken)
    seconds = result.duration_seconds
    if seconds is None:
        seconds = answer.audio_duration_seconds
    return Transcript(
        text=result.full_transcript or "",
        words=words,
        segments=utterances,
        utterances=utterances,
        language=result.language or answer.language,
        duration_ms=None if seconds is None else _ms(seconds),
        told_cost=_read_cost(answer.cost_cents),
    )


def _read(body: bytes) -> tuple[_Answer, _Result]:
    answer = decode(_DECODER, body, NAME)
    if answer.status != "completed":
        raise NormaliseError(NAME, "$.status", "a transcript that is not completed")
    result = answer.result
    if result is None:
        raise NormaliseError(NAME, "$.result", "nothing in a completed transcript")
    if result.full_transcript is None and result.utterances is None and result.words is None:
        # Silence is an empty text; no text at all is none of the documented shapes.
        raise NormaliseError(NAME, "$.result.full_transcript", "neither text nor utterances")
    return answer, result


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _join(turns: list[_Utterance]) -> tuple[Words, Turns]:
    """Take the provider's turns, ordered by start, and their words in the order they were said."""
    owned = [(word, index) for index, turn in enumerate(turns) for word in turn.words or ()]
    owned.sort(key=lambda pair: pair[0].start)
    words = _words([word for word, _ in owned])
    words.utterance_index = [index for _, index in owned]
    words.segment_index = list(words.utterance_index)
    start_ms, end_ms = [_ms(turn.start) for turn in turns], [_ms(turn.end) for turn in turns]
    _check_times(start_ms, end_ms, "utterances")
    utterances = Turns(
        start_ms=start_ms,
        end_ms=end_ms,
        text=[turn.text for turn in turns],
        confidence=[turn.confidence for turn in turns],
        speaker_label=[turn.speaker or None for turn in turns],
        channel=[None] * len(turns),
        word_count=[None if turn.words is None else len(turn.words) for turn in turns],
    )
    return words, utterances


def _cut(spoken: list[_Word]) -> tuple[Words, Turns]:
    """Make turns of words that belong to none."""
    words = _words(sorted(spoken, key=lambda word: word.start))
    utterances = make_utterances(words)
    words.segment_index = list(words.utterance_index)
    return words, utterances


def _words(spoken: list[_Word]) -> Words:
    start_ms, end_ms = [_ms(word.start) for word in spoken], [_ms(word.end) for word in spoken]
    _check_times(start_ms, end_ms, "words")
    return Words(
        start_ms=start_ms,
        end_ms=end_ms,
        text=[word.word for word in spoken],
        confidence=[word.confidence for word in spoken],
        # Whether a speaker nobody asked for is absent, null or empty is not documented.
        speaker_label=[word.speaker or None for word in spoken],
        channel=[None] * len(spoken),
    )


def _check_times(start_ms: list[int], end_ms: list[int], what: str) -> None:
    if all(map(le, start_ms, end_ms)):
        return
    for index, (start, end) in enumerate(zip(start_ms, end_ms, strict=True)):
        if start > end:
            raise NormaliseError(NAME, f"$.result.{what}[{index}]", f"times {start}..{end}")


def _read_cost(cents: float | None) -> ToldCost | None:
    # "cost_cents" has up to four decimals: exact in micros. For how much audio it does not say.
    return None if cents is None else ToldCost(round(cents * MICROS_PER_CENT), "USD")
