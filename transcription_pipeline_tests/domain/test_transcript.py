"""Utterances: made by one rule, no word lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import PAUSE_MS, Words, make_utterances


def make_words(*said: tuple[int, int, str | None, int | None]) -> Words:
    """Make words of (start, end, speaker, channel), each with its own text."""
    return Words(
        start_ms=[w[0] for w in said],
        end_ms=[w[1] for w in said],
        text=[f"w{index}" for index in range(len(said))],
        confidence=[None if index % 3 == 0 else 0.5 for index in range(len(said))],
        speaker_label=[w[2] for w in said],
        channel=[w[3] for w in said],
    )


@st.composite
def spoken(draw: st.DrawFn) -> Words:
    """Draw words in order of their start, from up to two channels and three speakers."""
    channels = draw(st.sampled_from([[None], [0], [0, 1]]))
    starts = sorted(draw(st.lists(st.integers(0, 20_000), max_size=40)))
    return make_words(
        *(
            (
                start,
                start + draw(st.integers(0, 2_500)),
                draw(st.sampled_from([None, "A", "B"])),
                draw(st.sampled_from(channels)),
            )
            for start in starts
        )
    )


@given(spoken())
def test_no_word_is_lost(words: Words) -> None:
    """Every word is in exactly one utterance, and the utterance's text is its words in order."""
    turns = make_utterances(words)
    texts: list[list[str]] = [[] for _ in range(len(turns))]
    for index, owner in enumerate(words.utterance_index):
        assert owner is not None
        texts[owner].append(words.text[index])
    assert [" ".join(text) for text in texts] == turns.text
    assert [len(text) for text in texts] == turns.word_count
    assert sum(turns.word_count or []) == len(words)


@given(spoken())
def test_order_and_bounds(words: Words) -> None:
    """Utterances are ordered by start and reach from their first word to the end of their last."""
    turns = make_utterances(words)
    assert turns.start_ms == sorted(turns.start_ms)
    for place in range(len(turns)):
        own = [i for i, owner in enumerate(words.utterance_index) if owner == place]
        assert turns.start_ms[place] == min(words.start_ms[i] for i in own)
        assert turns.end_ms[place] == max(words.end_ms[i] for i in own)
        assert {words.speaker_label[i] for i in own} == {turns.speaker_label[place]}
        assert {words.channel[i] for i in own} == {turns.channel[place]}


@given(spoken())
def test_doing_it_twice_changes_nothing(words: Words) -> None:
    """The rule depends on the words alone."""
    first = make_utterances(words)
    owners = list(words.utterance_index)
    assert make_utterances(words) == first
    assert words.utterance_index == owners


def test_a_pause_cuts_exactly_at_the_limit() -> None:
    """A pause one millisecond short of the limit joins, a pause of the limit cuts."""
    joined = make_words((0, 100, "A", None), (100 + PAUSE_MS - 1, 2_000, "A", None))
    cut = make_words((0, 100, "A", None), (100 + PAUSE_MS, 2_000, "A", None))
    assert make_utterances(joined).text == ["w0 w1"]
    assert make_utterances(cut).text == ["w0", "w1"]


def test_a_change_of_speaker_cuts() -> None:
    """Another speaker starts another utterance, even without a pause."""
    words = make_words((0, 10, "A", None), (10, 20, "B", None), (20, 30, "A", None))
    assert make_utterances(words).speaker_label == ["A", "B", "A"]


def test_overlapping_channels_stay_two_turns() -> None:
    """Words of two channels that interleave make one turn each."""
    words = make_words((0, 400, "A", 0), (100, 300, "B", 1), (450, 900, "A", 0), (500, 800, "B", 1))
    turns = make_utterances(words)
    assert turns.text == ["w0 w2", "w1 w3"]
    assert turns.channel == [0, 1]
    assert words.utterance_index == [0, 1, 0, 1]


def test_confidence_is_the_mean_of_what_is_known() -> None:
    """Words without a confidence do not pull the mean; none at all gives null."""
    words = make_words(*((i, i + 1, "A", None) for i in range(6)))
    assert make_utterances(words).confidence == [0.5]
    words.confidence = [None] * 6
    assert make_utterances(words).confidence == [None]


def test_silence_has_no_utterances() -> None:
    """No words, no utterances."""
    assert len(make_utterances(Words())) == 0
