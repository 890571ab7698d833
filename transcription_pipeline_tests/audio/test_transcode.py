"""Transcoding makes an mp3 of any audio: same length, same channels, same bytes every time."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from transcription_pipeline.audio.decode import decode_channels
from transcription_pipeline.audio.probe import probe
from transcription_pipeline.audio.transcode import transcode_to_mp3
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.errors import AudioError
from transcription_pipeline_tests.audio.sample_set import FOLDER, GOOD, name_of


def transcode(source: Path | bytes) -> bytes:
    """Make an mp3 of a file, or of what is in one."""
    target = io.BytesIO()
    content = source if isinstance(source, bytes) else source.read_bytes()
    transcode_to_mp3(io.BytesIO(content), target, threading.Event())
    return target.getvalue()


def probe_bytes(content: bytes) -> AudioFacts:
    """Probe what would be sent."""
    return probe(lambda start, length: content[start : start + length], len(content))


def make_wav(rate: int, channel_count: int, seconds: float = 1.0) -> bytes:
    """Make noise of any rate and number of channels."""
    noise = np.random.default_rng(1).integers(
        -9_000, 9_000, (1, int(rate * seconds) * channel_count)
    )
    target = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channel_count]
    with av.open(target, "w", format="wav") as made:
        stream = made.add_stream("pcm_s16le", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(noise.astype(np.int16), format="s16", layout=layout)
        frame.rate = rate
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    return target.getvalue()


@pytest.mark.parametrize("sample", GOOD, ids=name_of)
def test_every_format_becomes_an_mp3_of_its_length(sample: dict[str, Any]) -> None:
    """Channels and duration stay, and the same bytes come out again."""
    content = transcode(FOLDER / sample["file"])
    facts = probe_bytes(content)
    assert (facts.container, facts.codec) == ("mp3", "mp3")
    assert facts.channel_count == sample["channels"]
    assert facts.duration_ms == pytest.approx(sample["duration_ms"], abs=100)
    assert transcode(FOLDER / sample["file"]) == content


def test_channels_stay_apart() -> None:
    """While one speaker talks, the other channel stays all but silent."""
    content = transcode(FOLDER / "appointment.flac")
    samples = np.concatenate(list(decode_channels(io.BytesIO(content))), axis=1).astype(np.int64)
    during_a = samples[:, 16 * 500 : 16 * 1_900]
    assert np.abs(during_a[0]).max() > 50 * np.abs(during_a[1]).max()


@pytest.mark.parametrize(
    ("rate", "channels", "expected"),
    [
        (8_000, 1, (8_000, 1)),
        (9_000, 1, (11_025, 1)),
        (11_025, 2, (11_025, 2)),
        (16_000, 6, (16_000, 2)),
        (44_100, 2, (24_000, 2)),
        (96_000, 1, (24_000, 1)),
    ],
)
def test_rates_and_channels_that_mp3_has(
    rate: int, channels: int, expected: tuple[int, int]
) -> None:
    """The next higher rate, up to where speech has nothing more; two channels at most."""
    facts = probe_bytes(transcode(make_wav(rate, channels, seconds=3.0)))
    assert (facts.sample_rate_hz, facts.channel_count) == expected
    assert facts.duration_ms == pytest.approx(3_000, abs=100)


def test_damage_in_the_middle_is_skipped() -> None:
    """Noise in the middle of an mp3 costs a little sound, not the recording."""
    content = bytearray((FOLDER / "hotel.mp3").read_bytes())
    content[30_000:32_000] = np.random.default_rng(1).bytes(2_000)
    assert probe_bytes(transcode(bytes(content))).duration_ms > 0.9 * 14_200


@pytest.mark.parametrize("content", [b"", b"no audio", (FOLDER / "text.mp3").read_bytes()])
def test_what_is_not_audio(content: bytes) -> None:
    """Anything else is an AudioError, never another exception."""
    with pytest.raises(AudioError):
        transcode(content)


def test_a_full_disk_says_nothing_of_the_audio() -> None:
    """An error of the machine passes as what it is."""

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with (FOLDER / "hotel.mp3").open("rb") as source, pytest.raises(OSError, match="No space"):
        transcode_to_mp3(source, Full(), threading.Event())


def test_it_stops_when_told() -> None:
    """Nobody waits: next to nothing is encoded."""
    stop, target = threading.Event(), io.BytesIO()
    stop.set()
    with (FOLDER / "hotel.mp3").open("rb") as source:
        transcode_to_mp3(source, target, stop)
    assert len(target.getvalue()) < 5_000


def test_the_mp3_is_written_while_the_source_is_read() -> None:
    """Neither of them is ever whole in memory: the first bytes leave long before the last are read."""
    source = io.BytesIO(make_wav(16_000, 2, seconds=60.0))
    read_by_then: list[int] = []

    class Watching(io.BytesIO):
        def write(self, content: Any) -> int:
            read_by_then.append(source.tell())
            return super().write(content)

    transcode_to_mp3(source, Watching(), threading.Event())
    assert read_by_then[0] < len(source.getvalue()) / 10
