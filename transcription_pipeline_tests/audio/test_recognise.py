"""The recogniser repeats itself exactly, and its processes neither block, leak nor lose work."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from transcription_pipeline.audio.decode import decode_channels
from transcription_pipeline.audio.recognise import RecogniserDied, RecogniserPool, recognise
from transcription_pipeline.errors import AudioError
from transcription_pipeline_tests.audio.sample_set import FOLDER, hear

pytestmark = pytest.mark.slow

SPEECH = FOLDER / "appointment.flac"
SILENCE = FOLDER / "silence.flac"

PARENT = """
import asyncio, multiprocessing, sys, time
from pathlib import Path
from transcription_pipeline.audio.recognise import RecogniserPool

if __name__ == "__main__":
    asyncio.run(RecogniserPool(2).recognise(Path(sys.argv[1])))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def pool() -> Iterator[RecogniserPool]:
    """One child process, ended after the test."""
    pool = RecogniserPool(1)
    yield pool
    pool.close()


def test_the_same_answer_again() -> None:
    """A recording is heard alike, whatever was heard in between."""
    before = recognise(SPEECH)
    hear("teacher.webm")
    assert recognise(SPEECH) == before


def test_words_are_inside_their_turns() -> None:
    """Words lie in order inside their turn, turns inside the recording, confidences in 0 to 1."""
    recognition = hear("baker.ogg")
    for channel in recognition.channels:
        for turn in channel.turns:
            edges = [edge for word in turn.words for edge in (word.start_ms, word.end_ms)]
            assert edges == sorted(edges)
            assert (turn.start_ms, turn.end_ms) == (edges[0], edges[-1])
            assert turn.end_ms <= recognition.duration_ms
            assert turn.text == " ".join(word.text for word in turn.words)
            assert all(0 <= word.confidence <= 1 for word in turn.words)


def test_silence_has_no_turns() -> None:
    """A second of silence is a channel without turns, not an error."""
    recognition = recognise(SILENCE)
    assert recognition.duration_ms == 1_000
    assert [channel.turns for channel in recognition.channels] == [()]


def test_speech_up_to_the_last_sample(tmp_path: Path) -> None:
    """Speech that the recording's end cuts off on a frame boundary is still heard."""
    channel = np.concatenate(list(decode_channels(SPEECH)), axis=1)[0]
    path = tmp_path / "cut.wav"
    with wave.open(str(path), "wb") as output:
        output.setparams((1, 2, 16_000, 0, "NONE", ""))
        output.writeframes(channel[: 480 * 60].tobytes())  # 60 frames of 30 ms, in mid-sentence
    (turn,) = recognise(path).channels[0].turns
    assert turn.text.startswith("i would like to")
    assert turn.end_ms <= 1_800


def test_the_pool_hears_what_the_function_hears(pool: RecogniserPool) -> None:
    """A child process gives the very answer this process gives, and refuses what it refuses."""

    async def scenario() -> None:
        assert await pool.recognise(SPEECH) == recognise(SPEECH)
        with pytest.raises(AudioError) as caught:
            await pool.recognise(FOLDER / "text.mp3")
        assert caught.value.reason == "not_audio"
        with pytest.raises(FileNotFoundError):
            await pool.recognise(FOLDER / "absent.mp3")

    asyncio.run(scenario())


def test_a_killed_child_is_replaced(pool: RecogniserPool) -> None:
    """A recording whose child is killed is heard by the next one."""

    async def scenario() -> None:
        await pool.recognise(SILENCE)
        asked = asyncio.ensure_future(pool.recognise(SPEECH))
        await asyncio.sleep(0.05)
        for child in multiprocessing.active_children():
            child.kill()
        assert (await asked).channels[0].turns

    asyncio.run(scenario())


def test_two_killed_children_are_an_error(pool: RecogniserPool) -> None:
    """When the successor dies too, the caller is told, and the pool works again afterwards."""

    async def kill_all() -> None:
        while True:
            for child in multiprocessing.active_children():
                child.kill()
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        killer = asyncio.ensure_future(kill_all())
        with pytest.raises(RecogniserDied):
            await pool.recognise(SPEECH)
        killer.cancel()
        assert (await pool.recognise(SILENCE)).duration_ms == 1_000

    asyncio.run(scenario())


def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    """After ``kill -9`` of the parent none of its recognisers lives on."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    with subprocess.Popen(
        [sys.executable, str(script), str(SILENCE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert children
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Say whether a process exists and is more than an unreaped entry."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}
