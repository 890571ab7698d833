"""One AssemblyAI emulator for the session, clean and standing still at the start of each test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.wire_client import WireClient

JOB_S = 5.0


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[EmulatorServer]:
    """One running emulator."""
    with EmulatorServer("assemblyai", job_s=JOB_S, audio_s=30.0) as server:
        yield server


@pytest.fixture(scope="session")
def default_settings(shared_emulator: EmulatorServer) -> dict[str, object]:
    """The settings before any test changed them."""
    settings: dict[str, object] = shared_emulator.control("settings")
    return settings


@pytest.fixture
def emulator(
    shared_emulator: EmulatorServer, default_settings: dict[str, object]
) -> EmulatorServer:
    """The emulator without jobs, charges or faults; its clock moves only when a test moves it."""
    shared_emulator.reset()
    shared_emulator.configure(**default_settings)
    shared_emulator.control("clock", {"is_frozen": True})
    return shared_emulator


@pytest.fixture
def client(emulator: EmulatorServer) -> WireClient:
    """A client with a key."""
    return WireClient(emulator.base_url)


@dataclass
class Shelf:
    """Files behind a URL, and what was asked for them."""

    port: int = 0
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    post_statuses: list[int] = field(default_factory=list)
    posted_one: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A web server of the customer: audio to fetch, and a webhook that remembers."""
    shelf = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append(self.path)
            status, content = shelf.files.get(self.path.partition("?")[0], (404, b""))
            self._answer(status, content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            shelf.posted.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self._answer(shelf.post_statuses.pop(0) if shelf.post_statuses else 200, b"")
            shelf.posted_one.release()

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "/moved?to=here")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *parts: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shelf.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield shelf
        server.shutdown()
        thread.join()
