"""Scriptivox's answer becomes a transcript, or an error that names the place; never anything else."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import ToldCost, Transcript, Turns
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.scriptivox import MAX_DURATION_S, normalise
from transcription_pipeline.tables.build import build_tables

SAMPLES = Path(__file__).parent.parent / "samples" / "scriptivox"


def make_word(word: str, start: float, end: float, **rest: Any) -> dict[str, Any]:
    """Make one word of an answer."""
    return {"word": word, "start": start, "end": end, "confidence": 0.9, **rest}


def make_turn(*words: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Make one utterance of an answer around its words."""
    return {
        "text": " ".join(word["word"] for word in words),
        "start": words[0]["start"],
        "end": max(word["end"] for word in words),
        "confidence": 0.8,
        "words": list(words),
        **rest,
    }


def make_answer(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Make a completed answer; ``fields`` replace those of its result."""
    text = " ".join(turn["text"] for turn in turns)
    result = {"full_transcript": text, "duration_seconds": 12, "utterances": list(turns)}
    return {"id": "1", "status": "completed", "cost_cents": 0.0667, "result": result | fields}


def read(answer: Any) -> Transcript:
    """Normalise an answer, and make sure that the tables can hold what came out."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    transcript = normalise(body)
    build_tables([({"recording_id": "r", "provider": "scriptivox"}, transcript)])
    return transcript


def refuse(answer: Any) -> NormaliseError:
    """Normalise an answer that must be refused."""
    with pytest.raises(NormaliseError) as caught:
        read(answer)
    assert caught.value.provider == "scriptivox"
    assert caught.value.path.startswith("$")
    return caught.value


def test_the_quickstart_s_example() -> None:
    """The one whole example of the vendor's pages, field by field."""
    transcript = read((SAMPLES / "quickstart.200.json").read_bytes())
    assert transcript.text == "Hello, thanks for joining the call today..."
    assert (transcript.language, transcript.language_confidence) == ("en", None)
    assert transcript.duration_ms == 120_000
    assert transcript.told_cost == ToldCost(6_667, "USD", None)
    assert transcript.words.text == ["Hello,", "thanks"]
    assert transcript.words.start_ms == [500, 1_000]
    assert transcript.words.end_ms == [900, 1_300]
    assert transcript.words.confidence == [0.98, 0.97]
    assert transcript.words.speaker_label == ["SPEAKER 1", "SPEAKER 1"]
    assert transcript.words.utterance_index == transcript.words.segment_index == [0, 0]
    assert transcript.segments == transcript.utterances
    assert transcript.utterances == Turns(
        start_ms=[500],
        end_ms=[3_200],
        text=["Hello, thanks for joining the call today."],
        confidence=[0.95],
        speaker_label=["SPEAKER 1"],
        channel=[None],
        word_count=[2],
    )


def test_the_reference_s_example() -> None:
    """The same shape with every top-level field reads the same."""
    transcript = read((SAMPLES / "completed.200.json").read_bytes())
    assert (transcript.text, transcript.words.text) == ("Hello …", ["Hello,"])
    assert transcript.told_cost == ToldCost(6_667, "USD", None)


@pytest.mark.parametrize("name", ["failed.200.json", "created.200.json", "cancelled.200.json"])
def test_the_other_examples_are_no_transcripts(name: str) -> None:
    """A failed, a cancelled and a new job are refused at their status."""
    assert refuse((SAMPLES / name).read_bytes()).path == "$.status"


def test_without_alignment_there_are_turns_and_no_words() -> None:
    """``align`` off: utterances with text and times; how many words they have is not known."""
    turn = {"text": "Hi you.", "start": 0.25, "end": 1.0}
    transcript = read(make_answer(turn))
    assert len(transcript.words) == 0
    assert transcript.utterances.text == ["Hi you."]
    assert transcript.utterances.word_count == [None]
    assert transcript.utterances.confidence == [None]


@pytest.mark.parametrize("speaker", [{}, {"speaker": None}, {"speaker": ""}])
def test_a_speaker_nobody_asked_for_is_null(speaker: dict[str, Any]) -> None:
    """Absent, null and empty are the same: no label."""
    transcript = read(make_answer(make_turn(make_word("Hi", 0, 0.2, **speaker), **speaker)))
    assert transcript.words.speaker_label == transcript.utterances.speaker_label == [None]


def test_turns_are_ordered_by_start() -> None:
    """Overlapping turns are put in the order they began, words in the order they were said."""
    late = make_turn(make_word("b", 1.0, 1.2), make_word("d", 3.0, 3.1), speaker="SPEAKER 1")
    early = make_turn(make_word("a", 0.5, 0.8), make_word("c", 2.0, 2.5), speaker="SPEAKER 2")
    transcript = read(make_answer(late, early))
    assert transcript.words.text == ["a", "b", "c", "d"]
    assert transcript.words.utterance_index == [0, 1, 0, 1]
    assert transcript.utterances.speaker_label == ["SPEAKER 2", "SPEAKER 1"]


def test_words_outside_turns_are_not_lost() -> None:
    """Words that stand beside the utterances, or without any, are cut by our one rule."""
    words = [make_word("a", 0, 0.1), make_word("c", 1.4, 1.5), make_word("b", 0.2, 0.3)]
    for utterances in (None, [], [{"text": "a b c", "start": 0, "end": 1.5}]):
        transcript = read(make_answer(words=words, utterances=utterances))
        assert transcript.words.text == ["a", "b", "c"]
        assert transcript.utterances.text == ["a b", "c"]


@pytest.mark.parametrize("fields", [{"full_transcript": ""}, {"full_transcript": None}])
def test_silence_is_an_empty_transcript(fields: dict[str, Any]) -> None:
    """No utterances are silence, not an error."""
    transcript = read(make_answer(**fields))
    assert transcript.text == ""
    assert len(transcript.words) == len(transcript.utterances) == 0


def test_a_completed_answer_without_a_result_is_refused() -> None:
    """Money was spent and nothing came: an error at its place, never an empty transcript."""
    assert refuse({"status": "completed"}).path == "$.result"
    assert refuse({"status": "completed", "result": None}).path == "$.result"
    assert refuse({"status": "completed", "result": {}}).path == "$.result.full_transcript"


def test_absent_is_null_and_unknown_is_skipped() -> None:
    """Only status and text are needed; the length falls back to the measured one."""
    bare = {"status": "completed", "result": {"full_transcript": "Hi", "new": [1]}, "newer": {}}
    transcript = read(bare)
    assert (transcript.language, transcript.duration_ms, transcript.told_cost) == (None, None, None)
    measured = read(bare | {"audio_duration_seconds": 3.5, "language": "de", "cost_cents": 0})
    assert (measured.language, measured.duration_ms) == ("de", 3_500)
    assert measured.told_cost == ToldCost(0, "USD")


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0.0004, 0), (0.0006, 1), (1.2345, 1_234), (59.9996, 60_000), (7, 7_000)]
)
def test_seconds_become_whole_milliseconds(seconds: float, ms: int) -> None:
    """Times are rounded to the nearest millisecond."""
    word = make_word("a", seconds, seconds + 1)
    assert read(make_answer(make_turn(word))).words.start_ms == [ms]


def test_times_that_run_backwards() -> None:
    """A word or turn that ends before it starts is refused at its place."""
    words = [make_word("a", 0, 0.1), make_word("b", 0.9, 0.8)]
    assert refuse(make_answer(make_turn(*words))).path == "$.result.words[1]"
    turn = make_turn(make_word("a", 1, 2), start=1, end=0.5)
    assert refuse(make_answer(turn)).path == "$.result.utterances[0]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>502</html>",
        b'{"status": "completed"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"status": "completed", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"status": "completed", "cost_cents": 1e400}',
        b'{"status": "completed", "audio_duration_seconds": ' + b"9" * 5_000 + b"}",
    ],
    ids=range(10),
)
def test_hostile_bytes(body: bytes) -> None:
    """Whatever arrives instead of a transcript is a NormaliseError, never another exception."""
    refuse(body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"\uD83D\uDE00!", "😀!"),
        (rb"nul\u0000!", "nul\ufffd!"),
        (rb"\\u0000", r"\u0000"),
    ],
)
def test_what_no_table_can_hold_is_replaced(escaped: bytes, text: str) -> None:
    """NUL and lone surrogates become the replacement character; the rest stays."""
    body = (
        b'{"status": "completed", "result": {"full_transcript": "%b", "utterances": [{"text": "%b",'
        b'"start": 0, "end": 1, "speaker": "%b"}]}}' % (escaped, escaped, escaped)
    )
    transcript = read(body)
    assert transcript.text == text
    assert transcript.utterances.text == transcript.utterances.speaker_label == [text]


WRONG = [None, True, -1, -0.5, 1.5, 10**30, MAX_DURATION_S * 2, "x", "1", [], [1], {}, {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List every place in a JSON value, however deep."""
    yield path
    if isinstance(value, (dict, list)):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, step))


def test_five_hundred_wrong_answers_raise_nothing_else() -> None:
    """Any value at any place of the example: a transcript, or an error with a path inside it."""
    example = json.loads((SAMPLES / "completed.200.json").read_bytes())
    example["result"]["words"] = copy.deepcopy(example["result"]["utterances"][0]["words"])
    chance, refusals = random.Random(0), []
    spots = [path for path in places(example) if path]
    for _ in range(500):
        answer: Any = copy.deepcopy(example)
        for path in chance.sample(spots, chance.randint(1, 3)):
            inner = answer
            with suppress(TypeError, KeyError, IndexError):
                for step in path[:-1]:
                    inner = inner[step]
                inner[path[-1]] = copy.deepcopy(chance.choice(WRONG))
        try:
            read(answer)
        except NormaliseError as error:
            refusals.append(error.path)
    assert 200 < len(refusals) < 500
    assert all(path.startswith("$") for path in refusals)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an answer with turns, each in order, or with words alone."""
    texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
    turns = []
    for speaker in draw(st.sampled_from([[None], ["SPEAKER 1"], ["SPEAKER 1", "SPEAKER 2"]])):
        at = draw(st.integers(0, 1_000))
        for _ in range(draw(st.integers(0, 4))):
            words = []
            for _ in range(draw(st.integers(1, 5))):
                end = at + draw(st.integers(0, 600))
                words.append(make_word(draw(texts), at / 1000, end / 1000, speaker=speaker))
                at = end + draw(st.integers(0, 1_500))
            turns.append(make_turn(*words, speaker=speaker))
    words = [word for turn in turns for word in turn["words"]]
    if draw(st.booleans()):
        return make_answer(words=draw(st.permutations(words)))
    return make_answer(*draw(st.permutations(turns)), words=words)


@given(answers())
def test_no_word_is_lost(answer: dict[str, Any]) -> None:
    """Every word is there once, in order, inside its utterance and inside the turn's bounds."""
    transcript = read(answer)
    words, turns = transcript.words, transcript.utterances
    expected = Counter(
        (round(w["start"] * 1000), round(w["end"] * 1000), w["word"].replace("\0", "\ufffd"))
        for w in answer["result"]["words"]
    )
    assert Counter(zip(words.start_ms, words.end_ms, words.text, strict=True)) == expected
    assert words.start_ms == sorted(words.start_ms)
    assert turns.start_ms == sorted(turns.start_ms)
    assert sum(count or 0 for count in turns.word_count) == len(words)
    for index, owner in enumerate(words.utterance_index):
        assert owner is not None
        assert turns.start_ms[owner] <= words.start_ms[index]
        assert words.end_ms[index] <= turns.end_ms[owner]


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(body: bytes) -> None:
    """Random bytes are refused as what they are."""
    refuse(body)
