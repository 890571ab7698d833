"""The recordings of every scenario: a moment of speech and a moment of silence.

They are so short that the recogniser, too, is done in a second.
"""

from __future__ import annotations

import io
import wave
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from transcription_pipeline.audio.decode import decode_channels

_SAMPLE = Path(__file__).parent.parent / "samples" / "delivery.wav"
_RATE = 16_000
LENGTHS_MS = {"calls/delivery.wav": 1_600, "calls/silence.wav": 1_100}
"""Key → length, all different: an invoice tells recordings apart by it where nothing else does."""


def make_recordings() -> dict[str, bytes]:
    """Return key → WAV file."""
    decoded = np.concatenate([block[0] for block in islice(decode_channels(_SAMPLE), 40)])
    speech, silence = (length_ms * _RATE // 1000 for length_ms in LENGTHS_MS.values())
    bodies = (_write(decoded[:speech].tobytes()), _write(bytes(silence * 2)))
    return dict(zip(LENGTHS_MS, bodies, strict=True))


def create_bucket(s3: Any) -> str:
    """Put the recordings into a new bucket and return its name."""
    bucket: str = s3.create_bucket()
    client = s3.open_client()
    for key, body in make_recordings().items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    return bucket


def _write(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes(samples)
    return file.getvalue()
