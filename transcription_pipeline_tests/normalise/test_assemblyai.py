"""AssemblyAI's answer becomes a transcript, or an error that names the place; never anything else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline_tests.normalise.assemblyai_answers import (
    make_answer,
    make_turn,
    make_word,
    read,
    refuse,
)

SAMPLES = Path(__file__).parent.parent / "samples" / "assemblyai"


def test_the_vendors_example() -> None:
    """The example of the API description reads as it stands there, field by field."""
    body = (SAMPLES / "Transcript.json").read_bytes()
    given_words = json.loads(body)["words"]
    given_turns = json.loads(body)["utterances"]
    transcript = read(body)
    assert transcript.text.startswith("Smoke from hundreds of wildfires in Canada")
    assert transcript.language == "en_us"
    assert transcript.language_confidence == 0.9959
    assert transcript.duration_ms == json.loads(body)["audio_duration"] * 1000
    spoken = [w for turn in given_turns for w in turn["words"]] or given_words
    assert transcript.words.text == [w["text"] for w in spoken]
    assert transcript.words.start_ms == [w["start"] for w in spoken]
    assert transcript.words.end_ms == [w["end"] for w in spoken]
    assert transcript.words.confidence == [w["confidence"] for w in spoken]
    assert transcript.words.speaker_label == [w["speaker"] for w in spoken]
    assert transcript.words.start_ms[0] == 250


def test_a_tombstone_is_no_transcript() -> None:
    """The example of a deleted transcript, which calls itself completed, is refused."""
    error = refuse((SAMPLES / "DeleteTranscriptResponse.json").read_bytes())
    assert error.path == "$.audio_url"


@pytest.mark.parametrize("status", ["queued", "processing", "error", "something new", ""])
def test_an_unfinished_answer_is_refused(status: str) -> None:
    """Whatever is not completed is refused at its status."""
    assert refuse(make_answer(status=status)).path == "$.status"


def test_turns_are_taken_as_they_are() -> None:
    """The provider's own turns are segments and utterances alike, and own their words."""
    turns = [
        make_turn(make_word("Hi", 0, 200, speaker="A"), make_word("you", 250, 400, speaker="A")),
        make_turn(make_word("Hello", 500, 900, speaker="B")),
    ]
    transcript = read(make_answer(text="Hi you Hello", utterances=turns, audio_duration=2))
    assert transcript.utterances.text == ["Hi you", "Hello"]
    assert transcript.utterances.speaker_label == ["A", "B"]
    assert transcript.utterances.word_count == [2, 1]
    assert transcript.utterances.confidence == [0.8, 0.8]
    assert transcript.words.utterance_index == transcript.words.segment_index == [0, 0, 1]
    assert transcript.segments == transcript.utterances
    assert transcript.duration_ms == 2_000


def test_channels_count_from_zero() -> None:
    """Channels "1" and "2" are 0 and 1; overlapping words come in the order they were said."""
    turns = [
        make_turn(
            make_word("one", 0, 100, channel="1"),
            make_word("three", 600, 700, channel="1"),
            channel="1",
        ),
        make_turn(make_word("two", 300, 400, channel="2"), channel="2"),
    ]
    transcript = read(make_answer(utterances=turns, multichannel=True))
    assert transcript.words.text == ["one", "two", "three"]
    assert transcript.words.channel == [0, 1, 0]
    assert transcript.words.utterance_index == [0, 1, 0]
    assert transcript.utterances.channel == [0, 1]


def test_turns_are_ordered_by_start() -> None:
    """Turns listed channel by channel are put in the order they were said, with their words."""
    turns = [
        make_turn(make_word("late", 900, 950, channel="1"), channel="1"),
        make_turn(make_word("early", 100, 200, channel="2"), channel="2"),
    ]
    transcript = read(make_answer(utterances=turns))
    assert transcript.utterances.start_ms == [100, 900]
    assert transcript.words.text == ["early", "late"]
    assert transcript.words.utterance_index == [0, 1]


@pytest.mark.parametrize("utterances", [None, []])
def test_without_speakers_the_rule_cuts(utterances: Any) -> None:
    """Words without turns are cut by our one rule."""
    words = [make_word("a", 0, 100), make_word("b", 200, 300), make_word("c", 1_400, 1_500)]
    transcript = read(make_answer(words=words, utterances=utterances))
    assert transcript.utterances.text == ["a b", "c"]
    assert transcript.words.utterance_index == [0, 0, 1]
    assert transcript.words.speaker_label == [None, None, None]


def test_turns_without_words_lose_none() -> None:
    """Where turns carry no words, the words beside them are used."""
    words = [make_word("a", 0, 100), make_word("b", 200, 300)]
    turn = {"text": "a b", "start": 0, "end": 300, "confidence": 0.5, "words": []}
    transcript = read(make_answer(words=words, utterances=[turn]))
    assert transcript.words.text == ["a", "b"]
    assert transcript.utterances.text == ["a b"]


@pytest.mark.parametrize("nothing", [None, [], "absent"])
def test_silence_is_an_empty_transcript(nothing: Any) -> None:
    """No words, null words and no field at all are silence, not an error."""
    answer = make_answer(text=None, words=nothing, confidence=0.0, audio_duration=12)
    if nothing == "absent":
        del answer["words"], answer["utterances"], answer["text"]
    transcript = read(answer)
    assert transcript.text == ""
    assert len(transcript.words) == len(transcript.utterances) == len(transcript.segments) == 0
    assert transcript.confidence is None
    assert transcript.duration_ms == 12_000


def test_absent_is_null() -> None:
    """Fields the answer does not have are null, and unknown ones are skipped."""
    bare = {"text": "a", "start": 0, "end": 1}
    transcript = read({"status": "completed", "words": [bare], "brand_new": {"x": [1]}})
    assert transcript.words.confidence == [None]
    assert transcript.model is None
    assert transcript.language is None
    assert transcript.duration_ms is None


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an answer with turns of one or two channels, each in order, or with words alone."""
    texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
    turns = []
    for channel in draw(st.sampled_from([[None], ["1"], ["1", "2"]])):
        at = draw(st.integers(0, 1_000))
        for _ in range(draw(st.integers(0, 5))):
            words = []
            for _ in range(draw(st.integers(1, 5))):
                end = at + draw(st.integers(0, 600))
                words.append(make_word(draw(texts), at, end, speaker="A", channel=channel))
                at = end + draw(st.integers(0, 1_500))
            turns.append(make_turn(*words, channel=channel))
    words = sorted((w for t in turns for w in t["words"]), key=lambda w: w["start"])
    if draw(st.booleans()):
        turns = []
    return make_answer(words=words, utterances=turns)


@given(answers())
def test_no_word_is_lost(answer: dict[str, Any]) -> None:
    """Every word is there once, in order, inside its utterance and inside the turn's bounds."""
    transcript = read(answer)
    words, turns = transcript.words, transcript.utterances
    expected = Counter(
        (w["start"], w["end"], w["text"].replace("\0", "\ufffd")) for w in answer["words"]
    )
    assert Counter(zip(words.start_ms, words.end_ms, words.text, strict=True)) == expected
    assert words.start_ms == sorted(words.start_ms)
    assert turns.start_ms == sorted(turns.start_ms)
    assert sum(count or 0 for count in turns.word_count) == len(words)
    for index, owner in enumerate(words.utterance_index):
        assert owner is not None
        assert turns.start_ms[owner] <= words.start_ms[index]
        assert words.end_ms[index] <= turns.end_ms[owner]
