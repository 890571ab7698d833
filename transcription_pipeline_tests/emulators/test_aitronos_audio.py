"""Aitronos emulated: the audio is looked at before the charge, and fetched again for the work."""

from __future__ import annotations

import io
import threading
import time
import wave
from collections.abc import Iterator
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import Shelf
from transcription_pipeline_tests.emulators.wire_client import Answer, WireClient

PATH = "/v1/audio/transcribe"


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    """One emulator that fetches what it is sent."""
    with EmulatorServer("aitronos", job_s=0.0, fetch_audio=True, refresh_s=0.0) as server:
        yield server


def make_wav(seconds: float) -> bytes:
    """Write silence as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(round(seconds * 8_000) * 2))
    return file.getvalue()


def ask(emulator: EmulatorServer, method: str, path: str, body: Any = None) -> Answer:
    """Send one request with a key."""
    client = WireClient(emulator.base_url, key=None)
    headers = {"x-api-key": "ak_test", "content-type": "application/json"}
    return client.ask(method, path, body, **headers)


def create(emulator: EmulatorServer, url: str) -> Answer:
    """Ask for a transcription of a URL."""
    spoken = {"language": "en", "audio_url": url}
    body = {"organization_id": "org_1", "transcription_options": spoken}
    return ask(emulator, "POST", PATH, body)


def wait_for_end(emulator: EmulatorServer, path: str) -> str:
    """Look until a transcription is over, and return its status."""
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        status: str = ask(emulator, "GET", path).json["data"]["status"]
        if status in ("completed", "failed"):
            return status
        threading.Event().wait(0.02)
    raise AssertionError("still not over")


def test_the_length_is_measured_before_the_charge(emulator: EmulatorServer, shelf: Shelf) -> None:
    """What is charged is the real length of the audio, which is fetched a second time to hear it."""
    shelf.files["/call.wav"] = (200, make_wav(2.5))
    answer = create(emulator, shelf.url("/call.wav?X-Amz-Signature=a%2Fb"))
    assert answer.json["data"]["audio_metadata"]["duration_seconds"] == 2.5
    assert answer.json["billing"]["synapses_consumed"] == 3
    path = f"{PATH}/{answer.json['data']['transcription_id']}"
    assert wait_for_end(emulator, path) == "completed"
    assert shelf.asked == ["/call.wav?X-Amz-Signature=a%2Fb"] * 2


@pytest.mark.parametrize("content", [None, b"", b"<html>sign in</html>"], ids=["404", "", "html"])
def test_what_is_no_audio_is_refused_unpaid(
    emulator: EmulatorServer, shelf: Shelf, content: bytes | None
) -> None:
    """A URL without audio behind it is INVALID_AUDIO_URL, and nothing is charged."""
    if content is not None:
        shelf.files["/call.wav"] = (200, content)
    answer = create(emulator, shelf.url("/call.wav"))
    assert (answer.status, answer.json["error"]["code"]) == (422, "INVALID_AUDIO_URL")
    assert emulator.invoice() == []


def test_a_url_that_dies_in_the_queue_fails_the_job(emulator: EmulatorServer, shelf: Shelf) -> None:
    """The machine behind fetches the audio when the job starts; what is gone by then fails it."""
    emulator.configure(queue_s=60.0)
    shelf.files["/call.wav"] = (200, make_wav(1.0))
    answer = create(emulator, shelf.url("/call.wav"))
    shelf.files.clear()
    emulator.advance(60)
    path = f"{PATH}/{answer.json['data']['transcription_id']}"
    assert wait_for_end(emulator, path) == "failed"
    assert ask(emulator, "GET", path).json["billing"]["synapses_refunded"] == 1
