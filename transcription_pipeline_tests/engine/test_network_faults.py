"""Every way the network can fail the one request that costs money, at every paid provider.

The rows are those of the failure model: what a client sees, whether the provider had acted, and so
which proof there can be. The provider's own invoice is the witness.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.engine.scenes import PAID, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server, find_free_port

SUBMIT_PATHS = (
    b"/v2/transcript ",
    b"/v1/transcribe ",
    b"/v1/audio/transcribe ",
    b"/transcriptions/ ",
)
DAYS_S = 3 * 24 * 3600.0
"""After so long every signed URL is dead and every list has settled."""
QUICK = Patience(connect_s=0.3, read_s=0.5, deadline_s=1.0, retries=2, retry_wait_s=0.01)
Act = Callable[[socket.socket], None]
Class = Literal["not_sent", "taken", "lost"]


def _close(connection: socket.socket) -> None:
    connection.close()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _say_nothing(connection: socket.socket) -> None:
    time.sleep(2.0)
    connection.close()


def _status(status: int, **more: Any) -> dict[str, Any]:
    return {"action": "status", "status": status, **more}


EMULATED: Mapping[str, tuple[Class, dict[str, Any]]] = {
    "read, then closed": ("lost", {"action": "drop_before"}),
    "read, then reset": ("lost", {"action": "reset", "act": False}),
    "502, not taken": ("lost", _status(502)),
    "taken, then silence": ("taken", {"action": "hang", "seconds": 2.0}),
    "taken, then closed": ("taken", {"action": "drop_after"}),
    "taken, then reset": ("taken", {"action": "reset"}),
    "taken, half a header": ("taken", {"action": "half_headers"}),
    "taken, cut body": ("taken", {"action": "truncate"}),
    "taken, no HTTP": ("taken", {"action": "garbage"}),
    "taken, bad gzip": (
        "taken",
        _status(200, act=True, body="no gzip", headers={"Content-Encoding": "gzip"}),
    ),
    "taken, 500": ("taken", _status(500, act=True)),
    "taken, 502": ("taken", _status(502, act=True)),
    "taken, 504": ("taken", _status(504, act=True)),
    "taken, 408": ("taken", _status(408, act=True)),
    "taken, 409": ("taken", _status(409, act=True)),
    "taken, a page": ("taken", {"action": "html"}),
    "taken, no id": ("taken", _status(200, act=True, body="{}")),
    "taken, byte by byte": ("taken", {"action": "drip", "seconds": 0.08}),
    "429": ("not_sent", _status(429, headers={"Retry-After": "0"})),
}
PROXIED: Mapping[str, Act] = {
    "closed before it was read": _close,
    "reset before it was read": _reset,
    "never read": _say_nothing,
}


@pytest.fixture(scope="module", params=PAID)
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """One running emulator of each paid provider."""
    with run_emulator(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def settings(emulator: EmulatorServer) -> dict[str, Any]:
    """Its settings before any test changed them."""
    told: dict[str, Any] = emulator.control("settings")
    return told


@pytest.fixture
def scene(
    emulator: EmulatorServer, settings: dict[str, Any], moto: S3Server, tmp_path: Path
) -> Iterator[Any]:
    """An empty world with an impatient client."""
    with open_scene(emulator, settings, moto, tmp_path, patience=QUICK) as opened:
        yield opened


def _assert_ends(scene: Any, kind: Class) -> None:
    """Let runs and time pass, and hold the end against what the provider lets anybody know."""
    for wait_s in (31.0, 31.0, 601.0, DAYS_S if kind == "lost" else 301.0, 31.0):
        scene.pass_time(wait_s)
        scene.run()
    (job,) = scene.jobs().values()
    lines = scene.emulator.invoice()
    submits = scene.emulator.request_counts().get("submit", 0)
    if kind == "not_sent":
        assert (job["attempt_state"], job["attempt_count"], len(lines)) == ("stored", 1, 1)
    elif kind == "taken":
        is_known = scene.provider != "plaud"
        assert job["attempt_state"] == ("stored" if is_known else "held"), job["cause"]
        assert len(lines) == 1
        # A replayed request is the same request under the same key.
        assert submits == (2 if scene.provider == "scriptivox" else 1)
    else:
        is_known = scene.provider in {"assemblyai", "scriptivox"}
        assert job["attempt_state"] == ("stored" if is_known else "held"), job["cause"]
        assert job["attempt_count"] == (2 if scene.provider == "assemblyai" else 1)
        assert len(lines) == (1 if is_known else 0)
    assert scene.tools.ledger.count_states()["unaccounted"] == 0


@pytest.mark.parametrize(("kind", "fault"), EMULATED.values(), ids=EMULATED)
def test_an_answer_that_goes_wrong_is_paid_once(
    scene: Any, kind: Class, fault: dict[str, Any]
) -> None:
    """Taken or not, the end is published once or held, and never a second charge."""
    scene.put(["a.wav"], seconds=2.0)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, **fault})
    scene.run()
    scene.emulator.set_faults()
    _assert_ends(scene, kind)


@pytest.mark.parametrize("act", PROXIED.values(), ids=PROXIED)
def test_a_request_that_is_not_read_is_in_doubt(scene: Any, act: Act) -> None:
    """What the client sees is what it would see of a request that was taken."""
    scene.put(["a.wav"], seconds=2.0)
    with _run_proxy(scene.emulator.port, act) as base_url:
        scene.use(base_url=base_url, patience=QUICK)
        scene.run()
    scene.use(patience=QUICK)
    _assert_ends(scene, "lost")


@pytest.mark.parametrize("base_url", ["closed port", "no such name", "silent TLS"])
def test_where_no_connection_comes_about_nothing_is_in_doubt(scene: Any, base_url: str) -> None:
    """Name lookup, connect and TLS fail before a byte is sent: the same attempt is sent later."""
    scene.put(["a.wav"], seconds=2.0)
    scene.limit(window_s=3.0)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = {
            "closed port": f"http://127.0.0.1:{find_free_port()}",
            "no such name": "http://nobody.invalid",
            "silent TLS": f"https://127.0.0.1:{silent.getsockname()[1]}",
        }[base_url]
        scene.use(base_url=address, patience=QUICK)
        scene.run()
    assert scene.attempt_states()["a.wav"] in {"intent", None}
    scene.use(patience=QUICK)
    scene.limit(window_s=30.0)
    _assert_ends(scene, "not_sent")


@contextmanager
def _run_proxy(port: int, act: Act) -> Iterator[str]:
    """Forward everything to the emulator but the paid request, which ``act`` is done to."""
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=forward, args=(connection,), daemon=True).start()

    def forward(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head = connection.recv(4096, socket.MSG_PEEK)
            line = head.split(b"\r\n")[0]
            if line.startswith(b"POST") and any(path in line for path in SUBMIT_PATHS):
                act(connection)
                return
            with socket.create_connection(("127.0.0.1", port)) as upstream:
                threading.Thread(target=pump, args=(upstream, connection), daemon=True).start()
                pump(connection, upstream)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        is_over.set()
        listener.close()
