"""AssemblyAI's transcript object, read into our shape; pure.

What belongs here: the meaning of the fields of ``GET /v2/transcript/{id}`` (API reference, November
2026). Unknown fields are skipped unread, absent ones are null, wrong types are errors that name
their JSON path. Times are integer milliseconds already; ``audio_duration`` alone is in seconds.

Turns: with speaker labels or several channels AssemblyAI gives utterances, which are taken as they
are, both as segments and as utterances; without, words are cut by our one rule. Its words stand
twice in the answer; those inside utterances are used, because they say which one they belong to.
"""

from __future__ import annotations

import re
from itertools import chain
from operator import le
from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, make_utterances
from transcription_pipeline.errors import NormaliseError

NAME = "assemblyai"
MAX_DURATION_MS = 48 * 3600 * 1000
"""No recording is longer: a time beyond it is an error, not a word."""
_MAX_CHANNELS = 64

_Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_DURATION_MS)]
_Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Duration = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_MS / 1000)]


class _Word(msgspec.Struct, gc=False):
    text: str
    start: _Time
    end: _Time
    confidence: _Confidence | None = None
    speaker: str | None = None
    channel: str | None = None


class _Utterance(msgspec.Struct, gc=False):
    text: str
    start: _Time
    end: _Time
    confidence: _Confidence | None = None
    speaker: str | None = None
    channel: str | None = None
    words: list[_Word] = []


class _Transcript(msgspec.Struct, gc=False):
    status: str
    text: str | None = None
    audio_url: str | None = None
    confidence: _Confidence | None = None
    audio_duration: _Duration | None = None
    language_code: str | None = None
    language_confidence: _Confidence | None = None
    speech_model_used: str | None = None
    utterances: list[_Utterance] | None = None


class _Words(msgspec.Struct, gc=False):
    words: list[_Word] | None = None


_decode = msgspec.json.Decoder(_Transcript).decode
_decode_words = msgspec.json.Decoder(_Words).decode


# An escaped backslash is matched first, so that the text ``\\u0000`` is left alone.
_ESCAPES = re.compile(
    rb"\\\\|\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[dD][c-fC-F][0-9a-fA-F]{2})"
)
_PAIR_BYTES = len(rb"\ud83d\ude00")


def normalise(body: bytes) -> Transcript:
    """Read one raw answer.

    Raises ``NormaliseError`` for an answer that is not a completed transcript of the documented
    shape.
    """
    answer, turns, spoken = _read(body)
    if not _is_ordered([turn.start for turn in turns]):
        turns = sorted(turns, key=lambda turn: turn.start)
        spoken = list(chain.from_iterable(u.words for u in turns))
    owners: list[int | None] = []
    for index, turn in enumerate(turns):
        owners += [index] * len(turn.words)
    if not _is_ordered([word.start for word in spoken]):
        # Turns of several channels overlap; words are kept in the order they were said.
        order = sorted(range(len(spoken)), key=lambda i: spoken[i].start)
        spoken = [spoken[i] for i in order]
        owners = [owners[i] for i in order] if turns else []
    words = _words(spoken)
    if turns:
        utterances = _turns(turns)
        words.utterance_index = owners
        words.segment_index = list(words.utterance_index)
    else:
        utterances = make_utterances(words)
        words.segment_index = list(words.utterance_index)
    duration_s = answer.audio_duration
    return Transcript(
        text=answer.text or "",
        words=words,
        segments=utterances,
        utterances=utterances,
        model=answer.speech_model_used,
        language=answer.language_code,
        language_confidence=answer.language_confidence,
        duration_ms=None if duration_s is None else round(duration_s * 1000),
        confidence=answer.confidence if spoken else None,
    )


def _read(body: bytes) -> tuple[_Transcript, list[_Utterance], list[_Word]]:
    # The single byte first: looking for it costs a fiftieth of looking for two.
    if b"\\" in body and any(start in body for start in (b"\\u0000", b"\\ud", b"\\uD")):
        body = _ESCAPES.sub(_replace_escape, body)
    try:
        answer = _decode(body)
        if answer.status != "completed":
            raise NormaliseError(NAME, "$.status", "a transcript that is not completed")
        if answer.audio_url is not None and answer.audio_url.endswith("deleted_by_user"):
            raise NormaliseError(NAME, "$.audio_url", "a transcript deleted at the provider")
        turns = answer.utterances or []
        spoken = list(chain.from_iterable(u.words for u in turns))
        if not spoken:
            # Turns without words would lose the words that stand beside them.
            spoken = _decode_words(body).words or []
            turns = [] if spoken else turns
    except msgspec.ValidationError as error:
        raise NormaliseError(NAME, *_place(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NormaliseError(NAME, "$", f"{len(body)} bytes that are not JSON") from None
    return answer, turns, spoken


def _replace_escape(match: re.Match[bytes]) -> bytes:
    # What no table can hold: NUL and lone surrogates. Pairs and escaped backslashes stay.
    found = match[0]
    return found if len(found) in (2, _PAIR_BYTES) else rb"\ufffd"


def _words(spoken: list[_Word]) -> Words:
    start_ms = [w.start for w in spoken]
    end_ms = [w.end for w in spoken]
    _check_times(start_ms, end_ms, "words")
    return Words(
        start_ms=start_ms,
        end_ms=end_ms,
        text=[w.text for w in spoken],
        confidence=[w.confidence for w in spoken],
        speaker_label=[w.speaker for w in spoken],
        channel=_channels([w.channel for w in spoken]),
    )


def _turns(turns: list[_Utterance]) -> Turns:
    start_ms = [u.start for u in turns]
    end_ms = [u.end for u in turns]
    _check_times(start_ms, end_ms, "utterances")
    return Turns(
        start_ms=start_ms,
        end_ms=end_ms,
        text=[u.text for u in turns],
        confidence=[u.confidence for u in turns],
        speaker_label=[u.speaker for u in turns],
        channel=_channels([u.channel for u in turns]),
        word_count=[len(u.words) for u in turns],
    )


def _is_ordered(start_ms: list[int]) -> bool:
    return start_ms == sorted(start_ms)  # one pass when they are, and none of it in Python


def _check_times(start_ms: list[int], end_ms: list[int], what: str) -> None:
    if all(map(le, start_ms, end_ms)):
        return
    for index, (start, end) in enumerate(zip(start_ms, end_ms, strict=True)):
        if start > end:
            raise NormaliseError(NAME, f"$.{what}[{index}]", f"times {start}..{end}")


def _channels(named: list[str | None]) -> list[int | None]:
    # Channels are strings counted from 1; ours are integers counted from 0.
    if not any(named):
        return [None] * len(named)
    return [_channel(name) for name in named]


def _channel(name: str | None) -> int | None:
    if not name:
        return None
    if not (name.isascii() and name.isdecimal() and len(name) <= 2 and int(name) <= _MAX_CHANNELS):
        raise NormaliseError(NAME, "$.words[...].channel", "not a channel number")
    return int(name) - 1 if int(name) else None


def _place(message: str) -> tuple[str, str]:
    # msgspec: "Expected `int`, got `str` - at `$.words[...].start`"
    what, _, where = message.partition(" - at ")
    return where.strip("`") or "$", what
