"""AssemblyAI's transcript object, read into our shape; pure.

What belongs here: what was said, by whom and when, in ``GET /v2/transcript/{id}``. Its shape is in
``assemblyai_answer.py``, further analyses are read by ``assemblyai_insights.py``. Unknown fields are
skipped unread, absent ones are null, wrong types are errors that name their JSON path. Times are
integer milliseconds already; ``audio_duration`` alone is in seconds.

Turns: with speaker labels or several channels AssemblyAI gives utterances, which are taken as they
are, both as segments and as utterances; without, words are cut by our one rule. Its words stand
twice in the answer; those inside utterances are used, because they say which one they belong to.
"""

from __future__ import annotations

from itertools import chain
from operator import le

import msgspec

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, make_utterances
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.assemblyai_answer import (
    NAME,
    Answer,
    Spoken,
    Utterance,
    Word,
    read_channel,
)
from transcription_pipeline.normalise.assemblyai_insights import make_insights
from transcription_pipeline.normalise.decoding import decode

_ANSWER = msgspec.json.Decoder(Answer)
_SPOKEN = msgspec.json.Decoder(Spoken)


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
        insights=make_insights(answer, words),
    )


def _read(body: bytes) -> tuple[Answer, list[Utterance], list[Word]]:
    answer = decode(_ANSWER, body, NAME)
    if answer.status != "completed":
        raise NormaliseError(NAME, "$.status", "a transcript that is not completed")
    if answer.audio_url is not None and answer.audio_url.endswith("deleted_by_user"):
        raise NormaliseError(NAME, "$.audio_url", "a transcript deleted at the provider")
    turns = answer.utterances or []
    spoken = list(chain.from_iterable(u.words for u in turns))
    if not spoken:
        # Turns without words would lose the words that stand beside them.
        spoken = decode(_SPOKEN, body, NAME).words or []
        turns = [] if spoken else turns
    return answer, turns, spoken


def _words(spoken: list[Word]) -> Words:
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


def _turns(turns: list[Utterance]) -> Turns:
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
    if not any(named):
        return [None] * len(named)
    return [read_channel(name) for name in named]
