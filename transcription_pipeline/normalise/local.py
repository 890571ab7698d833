"""The local recogniser's answer as a ``Transcript``.

What belongs here: the shape of that JSON and its reading. What does not: making it
(``providers/local.py``, with which it shares no code, as with any other provider). Pure;
``pipeline.py`` calls ``normalise`` now and at every rebuild.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, make_utterances
from transcription_pipeline.errors import NormaliseError

_PROVIDER = "local"
FIELDS = frozenset({"engine", "language", "duration_ms", "channel_count", "channels"})
_PATH_IN_MESSAGE = re.compile(r" - at `([^`]*)`$")

_Ms = Annotated[int, msgspec.Meta(ge=0)]
_Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
# A letter each; more channels than letters is no recording of speech.
_Channel = Annotated[int, msgspec.Meta(ge=0, lt=26)]


class _Word(msgspec.Struct, frozen=True):
    text: str
    start_ms: _Ms
    end_ms: _Ms
    confidence: _Confidence


class _Turn(msgspec.Struct, frozen=True):
    start_ms: _Ms
    end_ms: _Ms
    text: str
    words: list[_Word]


class _ChannelTurns(msgspec.Struct, frozen=True):
    channel: _Channel
    turns: list[_Turn]


class _Answer(msgspec.Struct, frozen=True):
    engine: str
    language: str
    duration_ms: _Ms
    channel_count: int
    channels: list[_ChannelTurns]


def normalise(body: bytes) -> Transcript:
    """Read one raw answer.

    A channel is a speaker where there are several; a single channel says nothing of who speaks.

    Raises:
        NormaliseError: Terminal. The answer does not have the shape ``providers/local.py`` writes,
            or a time lies outside the recording.
    """
    answer = _decode(body)
    _check(answer)
    turns = [
        (turn, channel.channel if len(answer.channels) > 1 else None)
        for channel in answer.channels
        for turn in channel.turns
    ]
    turns.sort(key=lambda item: (item[0].start_ms, item[1] or 0))
    segments = Turns()
    placed: list[tuple[_Word, int | None, int]] = []
    for segment_index, (turn, channel) in enumerate(turns):
        segments.start_ms.append(turn.start_ms)
        segments.end_ms.append(turn.end_ms)
        segments.text.append(turn.text)
        segments.confidence.append(_mean([word.confidence for word in turn.words]))
        segments.speaker_label.append(_label(channel))
        segments.channel.append(channel)
        segments.word_count.append(len(turn.words))
        placed += [(word, channel, segment_index) for word in turn.words]
    placed.sort(key=lambda item: (item[0].start_ms, item[1] or 0))
    words = _make_words(placed)
    utterances = make_utterances(words)
    return Transcript(
        text=" ".join(utterances.text),
        words=words,
        segments=segments,
        utterances=utterances,
        model=answer.engine,
        language=answer.language,
        duration_ms=answer.duration_ms,
        confidence=_mean([word.confidence for word, _, _ in placed]),
    )


def _decode(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except msgspec.ValidationError as error:
        # The message names types, lengths and bounds; a value only of an enumeration, of which
        # this shape has none.
        message = str(error)
        path = _PATH_IN_MESSAGE.search(message)
        found = _PATH_IN_MESSAGE.sub("", message)
        raise NormaliseError(_PROVIDER, path.group(1) if path else "$", found) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NormaliseError(_PROVIDER, "$", f"no JSON ({type(error).__name__})") from error


def _check(answer: _Answer) -> None:
    """Refuse what types cannot: repeated channels, and times that run backwards or outside."""
    if len({channel.channel for channel in answer.channels}) != answer.channel_count:
        found = f"{answer.channel_count} for {len(answer.channels)} channels"
        raise NormaliseError(_PROVIDER, "$.channel_count", found)
    for c, channel in enumerate(answer.channels):
        for t, turn in enumerate(channel.turns):
            path = f"$.channels[{c}].turns[{t}]"
            _check_times(turn, answer.duration_ms, path)
            for w, word in enumerate(turn.words):
                _check_times(word, answer.duration_ms, f"{path}.words[{w}]")


def _check_times(span: _Word | _Turn, duration_ms: int, path: str) -> None:
    if not span.start_ms <= span.end_ms <= duration_ms:
        found = f"{span.start_ms} to {span.end_ms} in a recording of {duration_ms}"
        raise NormaliseError(_PROVIDER, path, found)


def _make_words(placed: list[tuple[_Word, int | None, int]]) -> Words:
    return Words(
        start_ms=[word.start_ms for word, _, _ in placed],
        end_ms=[word.end_ms for word, _, _ in placed],
        text=[word.text for word, _, _ in placed],
        confidence=[word.confidence for word, _, _ in placed],
        speaker_label=[_label(channel) for _, channel, _ in placed],
        channel=[channel for _, channel, _ in placed],
        segment_index=[segment_index for _, _, segment_index in placed],
    )


def _label(channel: int | None) -> str | None:
    return None if channel is None else chr(ord("A") + channel)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
