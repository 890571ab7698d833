"""Running an emulator: in a thread for tests, or as a process for the demo and the bench.

Both are one uvicorn on loopback with the same application; nothing here knows a vendor's wire. The
command line (``tp emulate``) calls ``serve``; tests use ``EmulatorServer``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.types import ASGIApp

from transcription_pipeline.emulators.backstage import Backstage, Service
from transcription_pipeline.emulators.clock import Clock
from transcription_pipeline.emulators.control import make_control_routes
from transcription_pipeline.emulators.wire import FaultLayer, WireProtocol
from transcription_pipeline.errors import ConfigurationError

_SERVICES = {
    "aitronos": "Aitronos",
    "assemblyai": "AssemblyAI",
    "plaud": "Plaud",
    "scriptivox": "Scriptivox",
}
"""Name to the class in its ``app.py``, which is loaded only when it is wanted."""
PROVIDERS = tuple(_SERVICES)
_HOST = "127.0.0.1"
_KEEP_ALIVE_S = 60
"""Idle connections are kept for a minute; how long the real service keeps them is not documented."""
_SHUTDOWN_S = 1
"""A stopping emulator waits this long for requests that hang, usually by order of a fault rule."""
_START_S = 30.0


def make_service(
    name: str,
    *,
    settings: Mapping[str, Any] | None = None,
    state: Path | None = None,
    clock: Clock | None = None,
) -> Service:
    """Build one emulated service.

    Args:
        name: One of ``PROVIDERS``.
        settings: The service's own settings by name; see its settings class. Values may be text, as
            a command line has them.
        state: Journal file; None keeps everything in memory.
        clock: Shared or frozen clock; None: real time.

    Raises:
        ConfigurationError: Terminal. Unknown provider, or a setting it does not have.
    """
    if name not in _SERVICES:
        raise ConfigurationError(f"no emulator for {name!r}; there are {', '.join(PROVIDERS)}")
    backstage = Backstage(clock=clock, state=state)
    application = import_module(f"transcription_pipeline.emulators.{name}.app")
    try:
        service: Service = getattr(application, _SERVICES[name])(backstage, dict(settings or {}))
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"emulator {name}: {error}") from error
    return service


def make_app(service: Service) -> ASGIApp:
    """Build the application of one service: its endpoints, the control interface, the faults."""
    backstage = service.backstage

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        service.replay()
        keeper = asyncio.create_task(backstage.timeline.run())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await service.close()
            await backstage.close()

    routes = make_control_routes(service) + service.routes()
    return FaultLayer(Starlette(routes=routes, lifespan=lifespan), service)


class _Server(uvicorn.Server):
    """uvicorn, telling when it is ready and leaving signals to us."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=WireProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,  # the emulator's own clock dates its answers
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_SHUTDOWN_S,
            )
        )
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: ``serve`` listens to signals, and a thread cannot."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    def stop(self) -> None:
        """End after the requests at hand; at once when asked twice."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _listen(port: int) -> socket.socket:
    """Bind before serving, so that the address is known and nobody else takes the port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"port {port} is taken: {error.strerror}") from error
    return listener


def serve(
    name: str,
    *,
    port: int = 0,
    json_output: bool = False,
    state: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Run one emulator on loopback until SIGTERM or SIGINT, and say where it is.

    Prints one line on standard output when it is ready: with ``json_output`` the object
    ``{"provider", "base_url", "pid"}``, else a sentence.

    Raises:
        ConfigurationError: Terminal. Unknown provider or setting, or the port is taken.
    """
    service = make_service(name, settings=settings, state=state)
    listener = _listen(port)
    base_url = f"http://{_HOST}:{listener.getsockname()[1]}"

    def say() -> None:
        line = f"{name} is emulated at {base_url} (pid {os.getpid()})"
        if json_output:
            line = json.dumps({"provider": name, "base_url": base_url, "pid": os.getpid()})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    server = _Server(make_app(service), say)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        await server.serve(sockets=[listener])

    with contextlib.closing(listener), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


class EmulatorServer:
    """An emulator in a daemon thread, for tests; ``with EmulatorServer("assemblyai") as server``."""

    def __init__(
        self,
        name: str = "assemblyai",
        *,
        port: int = 0,
        state: Path | None = None,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.service = make_service(name, settings=settings, state=state, clock=clock)
        self._listener = _listen(port)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://{_HOST}:{self.port}"
        self._ready = threading.Event()
        self._server = _Server(make_app(self.service), self._ready.set)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"emulator-{name}", daemon=True)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._server.serve(sockets=[self._listener]))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
        finally:
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_START_S)
        if self._failure is not None or not self._server.started:
            raise RuntimeError(f"the {self.name} emulator did not start") from self._failure
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._thread.join(_START_S)
        self._listener.close()

    def control(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask the control interface; POST when there is a body.

        Raises:
            ValueError: It refused, with its reason.
        """
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=30)
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            verb = method or ("GET" if body is None else "POST")
            connection.request(verb, f"/_control/{path}", content)
            response = connection.getresponse()
            answer = json.loads(response.read())
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer

    def invoice(self) -> list[dict[str, Any]]:
        """Read the invoice's lines."""
        lines: list[dict[str, Any]] = self.control("invoice")["lines"]
        return lines

    def request_counts(self) -> dict[str, int]:
        """Read how often each operation was asked for."""
        counts: dict[str, int] = self.control("requests")["counts"]
        return counts

    def request_log(self) -> list[dict[str, Any]]:
        """Read the last requests, oldest first."""
        log: list[dict[str, Any]] = self.control("requests?log=1")["log"]
        return log

    def set_faults(self, *rules: Mapping[str, Any]) -> None:
        """Replace the fault rules; none at all clears them."""
        self.control("faults", [dict(rule) for rule in rules])

    def advance(self, seconds: float) -> None:
        """Move the clock; what became due has happened afterwards."""
        self.control("clock", {"advance_s": seconds})

    def configure(self, **settings: Any) -> None:
        """Change settings while running."""
        self.control("settings", settings)

    def reset(self) -> None:
        """Forget all jobs, charges, counts and faults."""
        self.control("reset", {})


def read_invoice(base_url: str) -> list[dict[str, Any]]:
    """Read the invoice of an emulator that runs in another process."""
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname or _HOST, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/_control/invoice")
        lines: list[dict[str, Any]] = json.loads(connection.getresponse().read())["lines"]
    return lines
