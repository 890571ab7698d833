"""Scripted speech is reproducible, fits its recording, and takes the time it is told to take."""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.audio.listener import RecognisedTurn, RecognisedWord
from transcription_pipeline.audio.recognise import ChannelRecognition, Recognition
from transcription_pipeline.emulators.clock import Clock, Timeline
from transcription_pipeline.emulators.invoice import find_attempt_token
from transcription_pipeline.emulators.speech import (
    Recogniser,
    Script,
    Speech,
    SpeechSettings,
    draw_job_s,
    make_script,
    speech_from,
)
from transcription_pipeline_tests.audio.sample_set import FOLDER


@given(
    seed=st.integers(0, 2**32),
    duration_ms=st.integers(160, 3_600_000),
    word_count=st.integers(0, 900),
    channel_count=st.integers(1, 3),
)
def test_scripts_fit_their_recording(
    seed: int, duration_ms: int, word_count: int, channel_count: int
) -> None:
    """Words keep their number and order and end within the audio, whatever is prescribed."""
    speech = Script(seed, duration_ms, word_count, channel_count).speak()
    words = [word for turn in speech.turns for word in turn.words]
    assert len(words) == word_count
    starts = [word.start_ms for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word.start_ms <= word.end_ms <= duration_ms for word in words)
    assert all(0 <= word.confidence <= 1 for word in words)
    assert all(turn.words and turn.channel < channel_count for turn in speech.turns)


def test_the_url_can_tell_the_length() -> None:
    """``x-tp-audio-s`` sets the length; the rest of the query and the host mean nothing."""
    settings = SpeechSettings()
    told = make_script("https://a/x.mp3?x-tp-audio-s=12.5&sig=1", settings, duration_ms=None)
    assert told.duration_ms == 12_500
    assert told == make_script("https://b/x.mp3?x-tp-audio-s=12.5", settings, duration_ms=None)
    measured = make_script("https://a/x.mp3?x-tp-audio-s=12.5", settings, duration_ms=900)
    assert measured.duration_ms == 900


def test_lognormal_job_times_are_those_of_the_bench() -> None:
    """For five-minute calls the model gives about 17 s in the middle, and the same for one job."""
    settings = SpeechSettings(job_time="lognormal")
    drawn = [draw_job_s(f"job {number}", 300_000, settings) for number in range(400)]
    assert statistics.median(drawn) == pytest.approx(17, rel=0.08)
    assert drawn[7] == draw_job_s("job 7", 300_000, settings)


def _recognition(channel_count: int) -> Recognition:
    words = tuple(RecognisedWord(f"w{i}", i * 100, i * 100 + 90, 0.5) for i in range(15))
    turns = tuple(
        RecognisedTurn(part[0].start_ms, part[-1].end_ms, "", part)
        for part in (words[:14], words[14:])
    )
    channels = tuple(ChannelRecognition(number, turns) for number in range(channel_count))
    return Recognition("test", 2_000, channels)


def test_one_channel_gets_two_alternating_voices() -> None:
    """An emulator cannot tell voices apart, so turns of one channel alternate."""
    speech = speech_from(_recognition(1))
    assert [turn.voice for turn in speech.turns] == [0, 1]
    ends = [word.ends_sentence for word in speech.turns[0].words]
    assert ends == [False] * 11 + [True, False, True]


def test_each_of_several_channels_is_a_voice() -> None:
    """Recorded channels are voices of their own, merged by time."""
    speech = speech_from(_recognition(2))
    assert [(turn.voice, turn.channel) for turn in speech.turns] == [(0, 0), (1, 1), (0, 0), (1, 1)]


def test_the_timeline_tells_actions_when_they_were_due() -> None:
    """A leap runs everything in order of its moment, including what was added on the way."""
    clock = Clock(frozen_at=1_000.0)
    timeline = Timeline(clock)
    seen: list[float] = []

    def again(when: float) -> None:
        seen.append(when)
        if len(seen) < 4:
            timeline.at(when + 10, again)

    timeline.at(1_010.0, again)
    timeline.at(1_015.0, seen.append)
    timeline.run_due()
    assert seen == []
    clock.advance(35)
    timeline.run_due()
    assert seen == [1_010.0, 1_015.0, 1_020.0, 1_030.0]


def test_a_thawed_clock_goes_on_from_where_it_stood() -> None:
    """Freezing and thawing lose no time that was advanced."""
    clock = Clock()
    clock.freeze()
    clock.advance(500)
    at = clock.now()
    clock.thaw()
    assert not clock.is_frozen
    assert clock.now() - at < 5
    assert clock.offset_s == pytest.approx(500, abs=5)


@pytest.mark.parametrize(
    ("urls", "token"),
    [
        (("https://a/b?x-tp-attempt=1&c=d",), "1"),
        (("https://a/b", "https://h/?q=1&x-tp-attempt=2"), "2"),
        (("https://a/x-tp-attempt", None), None),
    ],
)
def test_the_attempt_token_is_found_in_queries(
    urls: tuple[str | None, ...], token: str | None
) -> None:
    """The first URL whose query has the token decides."""
    assert find_attempt_token(*urls) == token


def test_emulators_that_share_what_they_heard_hear_it_once(tmp_path: Path) -> None:
    """However many want the same audio at once, one of them recognises it."""
    settings = SpeechSettings(speech="recognised", heard=str(tmp_path / "heard"))
    several = [Recogniser() for _ in range(3)]
    before = len(multiprocessing.active_children())

    async def hear_all() -> list[Speech]:
        return await asyncio.gather(
            *(one.hear(FOLDER / "appointment.flac", settings) for one in several)
        )

    try:
        first, *others = asyncio.run(hear_all())
        assert first.turns
        assert others == [first, first]
        assert len(multiprocessing.active_children()) == before + 1
    finally:
        for one in several:
            one.close()
