"""Every way the network can fail the one request that costs money, at every paid provider.

The rows are those of the failure model: what a client sees, whether the provider had acted, and so
which proof there can be. Every fault shows that it struck: one that did not is a failure of its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from proof.books import judge_scene, tell_apart
from proof.verdict import Outcome
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.s3_servers import find_free_port

IMPATIENT = Patience(connect_s=0.5, read_s=1.5, deadline_s=3.0, retries=2, retry_wait_s=0.01)
"""While a fault strikes; afterwards nothing is lost because this machine is busy."""
_SILENCE_S = 5.0
"""Longer than that patience; whoever is silent notices when the client goes."""
_SUBMIT_PATHS = (
    b"/v2/transcript ",
    b"/v1/transcribe ",
    b"/v1/audio/transcribe ",
    b"/transcriptions/ ",
)
_DAYS_S = 3 * 24 * 3600.0
"""After so long every signed URL is dead and every list has settled."""
_WINDOW_S = 3.0
"""For runs that reach nobody."""
_SHOWS_ITS_LIST = {"assemblyai", "scriptivox"}
"""Where a request that never arrived is proved not to have: by the list, or by a replay."""
Class = Literal["not sent", "taken", "lost"]
Act = Callable[[socket.socket, bytes], bool]
"""Does something to a connection whose first bytes are a paid request; True: and that was its end."""


@dataclass(frozen=True)
class Fault:
    """What befalls the first paid request, and what had become of it by then."""

    kind: Class
    befall: Callable[[Any], bool]
    """Let it happen in a scene, during one run; return whether it happened once, as it is meant to."""


def play_fault(scene: Any, title: str, fault: Fault) -> Outcome:
    """Let one request be lost, let runs and time pass, and judge by the provider's invoice."""
    outcome, started_at = Outcome("network fault", scene.provider, title), time.monotonic()
    tell_apart(scene)
    scene.put(["a.wav"], seconds=2.0)
    if not fault.befall(scene):
        outcome.lost.append("the fault did not strike the paid request")
    scene.use()
    for wait_s in (31.0, 31.0, 601.0, _DAYS_S if fault.kind == "lost" else 301.0, 31.0):
        scene.pass_time(wait_s)
        scene.run()
    judge_scene(scene, outcome)
    (job,) = scene.jobs().values()
    told = (len(scene.emulator.invoice()), job["attempt_count"], job["attempt_state"] == "held")
    if told != (expected := _expect(scene.provider, fault.kind)):
        outcome.lost.append(f"charges, attempts, held: {told}, not {expected}")
    # A replayed request is the same request under the same key.
    submits = scene.emulator.request_counts().get("submit", 0)
    if fault.kind == "taken" and submits != (2 if scene.provider == "scriptivox" else 1):
        outcome.paid_twice.append(f"sent {submits} times")
    outcome.seconds = time.monotonic() - started_at
    return outcome


def _expect(provider: str, kind: Class) -> tuple[int, int, bool]:
    """Return what it must come to: charges, attempts, and whether a person has to decide."""
    if kind == "not sent":
        return 1, 1, False
    if kind == "taken":
        return 1, 1, provider == "plaud"
    is_known = provider in _SHOWS_ITS_LIST
    return int(is_known), 2 if provider == "assemblyai" else 1, not is_known


# -- faults ------------------------------------------------------------------------------------------


def _emulated(kind: Class, **rule: Any) -> Fault:
    """Let the emulator itself misbehave."""

    def befall(scene: Any) -> bool:
        scene.emulator.set_faults({"operation": "submit", "nth": 1, **rule})
        scene.run()
        struck: int = scene.emulator.control("faults")["rules"][0]["struck"]
        scene.emulator.set_faults()
        return struck == 1

    return Fault(kind, befall)


def _status(kind: Class, status: int, **more: Any) -> Fault:
    return _emulated(kind, action="status", status=status, act=kind == "taken", **more)


def _proxied(end: Callable[[socket.socket], None]) -> Fault:
    """Do something to the connection of the paid request, which is read by nobody."""

    def befall(scene: Any) -> bool:
        ended: list[bytes] = []

        def act(connection: socket.socket, head: bytes) -> bool:
            ended.append(head)
            end(connection)
            return True

        with run_proxy(scene.emulator.port, act) as base_url:
            scene.use(base_url=base_url, patience=IMPATIENT)
            scene.run()
        return len(ended) == 1 and _count_submits(scene) == 0

    return Fault("lost", befall)


def _unreachable(open_address: Callable[[], contextlib.AbstractContextManager[str]]) -> Fault:
    """Let no connection for the paid request come about.

    Free requests go where they always go: Plaud's audio is uploaded before anything is paid.
    """

    def befall(scene: Any) -> bool:
        window_s, nobody = scene.tools.limits[scene.provider].window_s, []
        scene.limit(window_s=_WINDOW_S)
        with open_address() as base_url:
            make = scene.make_client(scene.emulator.base_url, patience=IMPATIENT)
            make_in_vain = scene.make_client(base_url, patience=IMPATIENT)

            def make_both() -> Any:
                client, in_vain = make(), make_in_vain()
                nobody.append(in_vain)
                client.submit, aclose = in_vain.submit, client.aclose

                async def close_both() -> None:
                    await in_vain.aclose()
                    await aclose()

                client.aclose = close_both
                return client

            scene.tools = replace(scene.tools, make_provider={scene.provider: make_both})
            scene.run()
        scene.limit(window_s=window_s)
        return sum(one.request_count for one in nobody) > 0 and _count_submits(scene) == 0

    return Fault("not sent", befall)


def _count_submits(scene: Any) -> int:
    return int(scene.emulator.request_counts().get("submit", 0))


def _close(connection: socket.socket) -> None:
    connection.close()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _say_nothing(connection: socket.socket) -> None:
    time.sleep(_SILENCE_S)
    connection.close()


@contextmanager
def _closed_port() -> Iterator[str]:
    yield f"http://127.0.0.1:{find_free_port()}"


@contextmanager
def _no_such_name() -> Iterator[str]:
    yield "http://nobody.invalid"


@contextmanager
def _silent_tls() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"https://127.0.0.1:{silent.getsockname()[1]}"


FAULTS: Mapping[str, Fault] = {
    "no such name": _unreachable(_no_such_name),
    "closed port": _unreachable(_closed_port),
    "silent TLS": _unreachable(_silent_tls),
    "429": _status("not sent", 429, headers={"Retry-After": "0"}),
    "closed before it was read": _proxied(_close),
    "reset before it was read": _proxied(_reset),
    "never read": _proxied(_say_nothing),
    "read, then closed": _emulated("lost", action="drop_before"),
    "read, then reset": _emulated("lost", action="reset", act=False),
    "502, not taken": _status("lost", 502),
    "taken, then silence": _emulated("taken", action="hang", seconds=_SILENCE_S),
    "taken, then closed": _emulated("taken", action="drop_after"),
    "taken, then reset": _emulated("taken", action="reset"),
    "taken, half a header": _emulated("taken", action="half_headers"),
    "taken, cut body": _emulated("taken", action="truncate"),
    "taken, no HTTP": _emulated("taken", action="garbage"),
    "taken, bad gzip": _status("taken", 200, body="no gzip", headers={"Content-Encoding": "gzip"}),
    "taken, 500": _status("taken", 500),
    "taken, 502": _status("taken", 502),
    "taken, 504": _status("taken", 504),
    "taken, 408": _status("taken", 408),
    "taken, 409": _status("taken", 409),
    "taken, a page": _emulated("taken", action="html"),
    "taken, no id": _status("taken", 200, body="{}"),
    "taken, byte by byte": _emulated("taken", action="drip", seconds=0.2),
}


@contextmanager
def run_proxy(port: int, act: Act) -> Iterator[str]:
    """Forward everything to the emulator but what ``act`` makes an end of."""
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
            is_paid = line.startswith(b"POST") and any(path in line for path in _SUBMIT_PATHS)
            if is_paid and act(connection, head):
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
