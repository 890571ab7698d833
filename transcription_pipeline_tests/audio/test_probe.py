"""Probing tells what audio is and puts aside what no provider should be paid for."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from transcription_pipeline.audio.probe import VERIFY_LIMIT_BYTES, probe
from transcription_pipeline.domain.recording import AudioFacts, QuarantineReason
from transcription_pipeline.errors import AudioError, StorageUnavailable
from transcription_pipeline_tests.audio.sample_set import BAD, FOLDER, GOOD, SPOKEN, name_of


def probe_bytes(content: bytes) -> AudioFacts:
    """Probe bytes as if they were an object."""
    return probe(lambda start, length: content[start : start + length], len(content))


def make_wav(duration_ms: int) -> bytes:
    """Make a 16 kHz mono wav of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setparams((1, 2, 16_000, 0, "NONE", ""))
        output.writeframes(b"\0\0" * (duration_ms * 16))
    return file.getvalue()


@pytest.mark.parametrize("sample", GOOD, ids=name_of)
def test_facts_of_good_samples(sample: dict[str, Any]) -> None:
    """Container, codec, channels and duration come from the content, whatever the name says."""
    facts = probe_bytes((FOLDER / sample["file"]).read_bytes())
    assert facts.container == sample["container"]
    assert facts.codec == sample["codec"]
    assert facts.channel_count == sample["channels"]
    assert facts.duration_ms == pytest.approx(sample["duration_ms"], abs=100)


@pytest.mark.parametrize("sample", BAD, ids=name_of)
def test_reasons_of_bad_samples(sample: dict[str, Any]) -> None:
    """Every bad sample is put aside for the reason in the manifest."""
    with pytest.raises(AudioError) as caught:
        probe_bytes((FOLDER / sample["file"]).read_bytes())
    assert caught.value.reason == sample["quarantine_reason"]


@pytest.mark.parametrize("sample", SPOKEN, ids=name_of)
def test_half_a_file_is_truncated(sample: dict[str, Any]) -> None:
    """Half of any sample, in every container, is noticed as truncated."""
    content = (FOLDER / sample["file"]).read_bytes()
    with pytest.raises(AudioError) as caught:
        probe_bytes(content[: len(content) // 2])
    assert caught.value.reason == QuarantineReason.TRUNCATED


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>Access denied</body></html>" * 200,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
        np.random.default_rng(7).bytes(50_000),
        b"\0",
    ],
    ids=["html", "playlist", "concat", "subtitles", "noise", "one byte"],
)
def test_what_is_not_audio(content: bytes) -> None:
    """Text, playlists, subtitles and random bytes are not audio, and nothing they name is opened."""
    with pytest.raises(AudioError) as caught:
        probe_bytes(content)
    assert caught.value.reason == QuarantineReason.NOT_AUDIO


def test_video_without_sound(tmp_path: Path) -> None:
    """A film without a sound track has no audio stream."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10, width=32, height=32)
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(AudioError) as caught:
        probe_bytes(path.read_bytes())
    assert caught.value.reason == QuarantineReason.NO_AUDIO_STREAM


def test_too_short() -> None:
    """A tenth of a second is too short, a fifth is not."""
    with pytest.raises(AudioError) as caught:
        probe_bytes(make_wav(100))
    assert caught.value.reason == QuarantineReason.TOO_SHORT
    assert probe_bytes(make_wav(200)).duration_ms == 200


def test_header_without_duration_is_measured() -> None:
    """A FLAC written to a pipe names no length; its packets do."""
    content = bytearray((FOLDER / "appointment.flac").read_bytes())
    # Total samples: the lower four bits of byte 21 and the four bytes after it.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    truth = probe_bytes((FOLDER / "appointment.flac").read_bytes())
    assert probe_bytes(bytes(content)).duration_ms == pytest.approx(truth.duration_ms, abs=100)


def test_a_big_file_is_not_read() -> None:
    """An hour of uncompressed sound is known after less than a mebibyte."""
    header = make_wav(0)[:40]
    samples_bytes = 3_600 * 32_000
    head = header[:4] + (samples_bytes + 36).to_bytes(4, "little") + header[8:]
    head += samples_bytes.to_bytes(4, "little")
    size_bytes = len(head) + samples_bytes
    assert size_bytes > VERIFY_LIMIT_BYTES
    read_count = 0

    def read_range(start: int, length: int) -> bytes:
        nonlocal read_count
        read_count += length
        return head[start : start + length].ljust(length, b"\0")

    facts = probe(read_range, size_bytes)
    assert facts.duration_ms == 3_600_000
    assert read_count < 1024 * 1024


@pytest.mark.parametrize("served_count", [0, 1, 2])
def test_a_failing_store_is_not_a_bad_recording(served_count: int) -> None:
    """When the store stops answering, its own error comes out and nothing is put aside."""
    with pytest.raises(StorageUnavailable):
        probe(fail_after(served_count, (FOLDER / "baker.ogg").read_bytes()), 96_816)


def fail_after(served_count: int, content: bytes) -> Callable[[int, int], bytes]:
    """Read ranges of ``content``, but only so many."""
    left = iter(range(served_count))

    def read_range(start: int, length: int) -> bytes:
        if next(left, None) is None:
            raise StorageUnavailable("connection refused", key="calls/baker.ogg")
        return content[start : start + length]

    return read_range


def test_a_shorter_object_than_listed() -> None:
    """An object that ends before its listed size is truncated."""
    content = (FOLDER / "hotel.mp3").read_bytes()
    with pytest.raises(AudioError) as caught:
        probe(lambda start, length: content[start : start + length], len(content) + 10)
    assert caught.value.reason == QuarantineReason.TRUNCATED
