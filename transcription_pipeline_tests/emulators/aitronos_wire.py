"""One emulated Aitronos, as long as the page's sample, and the plainest way to ask it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.wire_client import Answer, WireClient

JOB_S = 30.0
PATH = "/v1/audio/transcribe"
URL = "https://storage.example.com/meeting-recording.mp3"


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator whose audio is as long as the page's sample."""
    with EmulatorServer("aitronos", job_s=JOB_S, audio_s=125.5, word_count=60) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator, empty; its clock moves only when a test moves it."""
    server.reset()
    server.configure(**settings)
    server.control("clock", {"is_frozen": True})
    return server


def ask(
    emulator: EmulatorServer, method: str, path: str, body: Any = None, **headers: str
) -> Answer:
    """Send one request with a key."""
    client = WireClient(emulator.base_url, key=None)
    sent = {"x-api-key": "ak_test", **{name.replace("_", "-"): v for name, v in headers.items()}}
    if body is not None and not isinstance(body, bytes):
        sent.setdefault("content-type", "application/json")
    return client.ask(method, path, body, **{name: v for name, v in sent.items() if v})


def make_body(url: str = URL, **sections: Any) -> dict[str, Any]:
    """Make a create request."""
    spoken = {"language": "en", "audio_url": url}
    return {"organization_id": "org_abc123def456", "transcription_options": spoken, **sections}


def create(emulator: EmulatorServer, body: dict[str, Any] | None = None) -> str:
    """Create a transcription, and return its path."""
    answer = ask(emulator, "POST", PATH, body or make_body())
    assert answer.status == 201, answer.body
    return f"{PATH}/{answer.json['data']['transcription_id']}"


def complete(emulator: EmulatorServer, body: dict[str, Any] | None = None) -> str:
    """Create a transcription and let it be completed, and seen so."""
    path = create(emulator, body)
    emulator.advance(JOB_S + 10)
    assert ask(emulator, "GET", path).json["data"]["status"] == "completed"
    return path
