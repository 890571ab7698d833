"""Decoding gives one row of 16 kHz samples per channel, in small blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transcription_pipeline.audio.decode import SAMPLE_RATE_HZ, decode_channels
from transcription_pipeline.errors import AudioError
from transcription_pipeline_tests.audio.sample_set import FOLDER, GOOD, name_of


@pytest.mark.parametrize("sample", GOOD, ids=name_of)
def test_length_and_channels(sample: dict[str, Any]) -> None:
    """Every format decodes to its channels and its duration, in blocks of at most a second."""
    blocks = list(decode_channels(FOLDER / sample["file"]))
    assert {block.dtype for block in blocks} == {np.dtype(np.int16)}
    assert {block.shape[0] for block in blocks} == {sample["channels"]}
    assert max(block.shape[1] for block in blocks) <= SAMPLE_RATE_HZ
    duration_ms = sum(block.shape[1] for block in blocks) * 1_000 / SAMPLE_RATE_HZ
    assert duration_ms == pytest.approx(sample["duration_ms"], abs=100)


def test_channels_stay_apart() -> None:
    """While one speaker talks, the other channel of a lossless file is silent."""
    samples = np.concatenate(list(decode_channels(FOLDER / "appointment.flac")), axis=1)
    during_a = samples[:, 16 * 400 : 16 * 2_000]
    assert np.abs(during_a[0]).max() > 1_000
    assert np.abs(during_a[1]).max() == 0


def test_an_open_file_decodes_alike() -> None:
    """A file object gives the samples its path gives."""
    path = FOLDER / "launch.opus"
    with path.open("rb") as file:
        from_file = np.concatenate(list(decode_channels(file)), axis=1)
    assert np.array_equal(from_file, np.concatenate(list(decode_channels(path)), axis=1))


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    """Two kilobytes of noise in an mp3 cost a little sound, not the recording."""
    content = bytearray((FOLDER / "hotel.mp3").read_bytes())
    content[30_000:32_000] = np.random.default_rng(1).bytes(2_000)
    path = tmp_path / "damaged.mp3"
    path.write_bytes(content)
    sample_count = sum(block.shape[1] for block in decode_channels(path))
    assert sample_count > 0.9 * 14.2 * SAMPLE_RATE_HZ


def test_text_is_not_audio() -> None:
    """Text raises our error, a missing file the system's."""
    with pytest.raises(AudioError):
        list(decode_channels(FOLDER / "text.mp3"))
    with pytest.raises(FileNotFoundError):
        list(decode_channels(FOLDER / "absent.mp3"))
