"""The local answer becomes a transcript with every word, in order and inside the recording."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import PAUSE_MS
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise import find_unknown_fields
from transcription_pipeline.normalise.local import normalise

DURATION_MS = 60_000


def make_word(text: str, start_ms: int, end_ms: int, confidence: float = 0.5) -> dict[str, Any]:
    """Make one word of an answer."""
    return {"text": text, "start_ms": start_ms, "end_ms": end_ms, "confidence": confidence}


def make_turn(*words: dict[str, Any]) -> dict[str, Any]:
    """Make one turn of an answer around its words."""
    return {
        "start_ms": words[0]["start_ms"],
        "end_ms": words[-1]["end_ms"],
        "text": " ".join(word["text"] for word in words),
        "words": list(words),
    }


def make_answer(*channels: list[dict[str, Any]]) -> dict[str, Any]:
    """Make an answer of so many channels."""
    return {
        "engine": "pocketsphinx 5.1.1",
        "language": "en_us",
        "duration_ms": DURATION_MS,
        "channel_count": len(channels),
        "channels": [{"channel": number, "turns": turns} for number, turns in enumerate(channels)],
    }


def encode(answer: dict[str, Any]) -> bytes:
    """Write an answer as bytes."""
    return json.dumps(answer).encode()


@st.composite
def channels(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw the turns of one channel: in order, without overlap, each with at least one word."""
    edges = sorted(draw(st.lists(st.integers(0, DURATION_MS), max_size=40)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    confidences = draw(st.lists(st.floats(0, 1), min_size=len(pairs), max_size=len(pairs)))
    texts = draw(
        st.lists(
            st.text("abcdefghij'", min_size=1, max_size=8), min_size=len(pairs), max_size=len(pairs)
        )
    )
    words = [
        make_word(text, start, end, confidence)
        for text, (start, end), confidence in zip(texts, pairs, confidences, strict=True)
    ]
    turns = []
    while words:
        count = draw(st.integers(1, len(words)))
        turns.append(make_turn(*words[:count]))
        del words[:count]
    return turns


@given(st.lists(channels(), min_size=1, max_size=3))
def test_nothing_is_lost_or_moved(drawn: list[list[dict[str, Any]]]) -> None:
    """Any well-formed answer keeps its words and turns, ordered, bounded and pointing at each other."""
    transcript = normalise(encode(make_answer(*drawn)))
    words, segments, utterances = transcript.words, transcript.segments, transcript.utterances
    given_words = [
        (word["text"], word["start_ms"], word["end_ms"])
        for turns in drawn
        for turn in turns
        for word in turn["words"]
    ]
    kept = list(zip(words.text, words.start_ms, words.end_ms, strict=True))
    assert Counter(kept) == Counter(given_words)
    assert len(segments) == sum(len(turns) for turns in drawn)
    for rows in (words, segments, utterances):
        order = list(zip(rows.start_ms, (channel or 0 for channel in rows.channel), strict=True))
        assert order == sorted(order)
        assert all(
            0 <= s <= e <= DURATION_MS for s, e in zip(rows.start_ms, rows.end_ms, strict=True)
        )
    for parents, index_column in (
        (segments, words.segment_index),
        (utterances, words.utterance_index),
    ):
        counts = Counter(index_column)
        assert [counts[index] for index in range(len(parents))] == parents.word_count
        for row, index in enumerate(index_column):
            assert index is not None
            assert parents.channel[index] == words.channel[row]
            assert parents.start_ms[index] <= words.start_ms[row]
            assert words.end_ms[row] <= parents.end_ms[index]
    assert Counter(transcript.text.split()) == Counter(text for text, _, _ in given_words)


def test_two_channels_are_two_speakers() -> None:
    """Channels become the speakers A and B, their turns merged by time."""
    transcript = normalise(
        encode(
            make_answer(
                [make_turn(make_word("hello", 0, 400)), make_turn(make_word("bye", 5_000, 5_300))],
                [
                    make_turn(
                        make_word("good", 900, 1_200, 0.9), make_word("day", 1_200, 1_500, 0.7)
                    )
                ],
            )
        )
    )
    assert transcript.utterances.speaker_label == ["A", "B", "A"]
    assert transcript.utterances.channel == [0, 1, 0]
    assert transcript.utterances.text == ["hello", "good day", "bye"]
    assert transcript.text == "hello good day bye"
    assert transcript.segments.confidence == [0.5, pytest.approx(0.8), 0.5]
    assert transcript.confidence == pytest.approx(0.65)
    assert transcript.words.segment_index == [0, 1, 1, 2]
    assert (transcript.model, transcript.language) == ("pocketsphinx 5.1.1", "en_us")
    assert transcript.duration_ms == DURATION_MS


def test_one_channel_has_no_speaker() -> None:
    """A mono answer names neither speaker nor channel, and a long pause ends an utterance."""
    turns = [
        make_turn(make_word("one", 0, 400)),
        make_turn(make_word("two", 400 + PAUSE_MS - 1, 2_000)),
        make_turn(make_word("three", 2_000 + PAUSE_MS, 4_000)),
    ]
    transcript = normalise(encode(make_answer(turns)))
    assert transcript.utterances.text == ["one two", "three"]
    assert len(transcript.segments) == 3
    for rows in (transcript.words, transcript.segments, transcript.utterances):
        assert set(rows.speaker_label) == {None}
        assert set(rows.channel) == {None}


def test_silence_is_a_transcript() -> None:
    """An answer without words is an empty transcript without a confidence."""
    transcript = normalise(encode(make_answer([], [])))
    assert transcript.text == ""
    assert transcript.confidence is None
    assert len(transcript.words) == len(transcript.segments) == len(transcript.utterances) == 0


def test_unknown_fields_are_reported() -> None:
    """A field this reading does not know is named, not dropped in silence."""
    answer = {**make_answer([]), "weather": "fine", "mood": 3}
    assert find_unknown_fields("local", encode(answer)) == ("mood", "weather")
    assert find_unknown_fields("local", encode(make_answer([]))) == ()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"[" * 100_000, "$"),
        (b'"text"', "$"),
        (b"{}", "$"),
        (encode({**make_answer([]), "duration_ms": "long"}), "$.duration_ms"),
        (encode({**make_answer([]), "duration_ms": -1}), "$.duration_ms"),
        (encode({**make_answer([]), "channel_count": 2}), "$.channel_count"),
        (
            encode(make_answer([make_turn(make_word("late", 0, DURATION_MS + 1))])),
            "$.channels[0].turns[0]",
        ),
        (
            encode(make_answer([make_turn(make_word("a", 0, 90), make_word("b", 90, 50))])),
            "$.channels[0].turns[0].words[1]",
        ),
        (
            encode(make_answer([make_turn(make_word("sure", 0, 90, 1.5))])),
            "$.channels[0].turns[0].words[0].confidence",
        ),
    ],
)
def test_a_wrong_shape_names_its_path(body: bytes, path: str) -> None:
    """Anything that is not the documented answer is refused with the path of the fault."""
    with pytest.raises(NormaliseError) as caught:
        normalise(body)
    assert caught.value.path == path
    assert caught.value.provider == "local"
