"""What is no recording, or none that a provider takes, costs nothing: nobody is even asked."""

from __future__ import annotations

import io
import wave

import pytest

from transcription_pipeline import pipeline
from transcription_pipeline_tests.audio.sample_set import BAD, FOLDER
from transcription_pipeline_tests.contract.conftest import OpenScene
from transcription_pipeline_tests.engine.scene import make_wav
from transcription_pipeline_tests.engine.scenes import PAID

PAID_OPERATIONS = {"submit", "upload", "put", "presign", "complete"}
"""Submits, and what is only done for the sake of one."""


def make_long_wav(hours: int) -> bytes:
    """Write so many hours of silence in a few bytes: ten samples a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(10)
        out.writeframes(bytes(hours * 3_600 * 10))
    return file.getvalue()


FILES = {str(sample["file"]): (FOLDER / sample["file"]).read_bytes() for sample in BAD} | {
    "no-bytes.wav": b"",
    "a-page.wav": b"<!doctype html><title>404</title>" * 50,
    "cut.wav": make_wav()[:9_000],
    "cut.mp3": (FOLDER / "hotel.mp3").read_bytes()[:100],
    "a-tenth-of-a-second.wav": make_wav(0.1),
}
QUARANTINED = {str(sample["file"]): str(sample["quarantine_reason"]) for sample in BAD} | {
    "no-bytes.wav": "zero_bytes",
    "a-page.wav": "not_audio",
    "cut.wav": "truncated",
    "cut.mp3": "not_audio",
    "a-tenth-of-a-second.wav": "too_short",
}
"""What no provider gets."""
REFUSED = {
    "aitronos": {},  # no limit of length is documented
    "assemblyai": {"eleven-hours.wav": (make_long_wav(11), "too_long")},
    "plaud": {"a-day-and-an-hour.wav": (make_long_wav(25), "too_long")},
    "scriptivox": {
        "eleven-hours.wav": (make_long_wav(11), "too_long"),
        "half-a-second.wav": (make_wav(0.5), "too_short"),
    },
}
"""What one provider does not take, and others may."""


@pytest.mark.parametrize("provider", PAID)
def test_bad_audio_is_never_sent(new_scene: OpenScene, provider: str) -> None:
    """Each is put aside or failed with its reason; there is no submit, no upload and no charge."""
    scene = new_scene(provider)
    refused = REFUSED[provider]
    for name, body in (FILES | {name: body for name, (body, _) in refused.items()}).items():
        scene.tools.audio.put(name, body)
    pipeline.discover(scene.tools)
    scene.run()
    assert scene.write().published == 0
    assert scene.run().due == 0
    put_aside = {r["key"]: r["quarantine_reason"] for r in scene.tools.ledger.read_recordings()}
    assert put_aside == QUARANTINED | dict.fromkeys(refused)
    failed = {key: job["cause"] for key, job in scene.jobs().items() if job["state"] == "failed"}
    assert failed == {name: cause for name, (_, cause) in refused.items()}
    assert scene.tools.ledger.count_states()["unaccounted"] == 0
    assert scene.emulator.invoice() == []
    asked = {entry["operation"] for entry in scene.emulator.request_log()}
    assert not asked & PAID_OPERATIONS
