"""Between a client and an emulator on two sockets: hears every answer, and may change it.

``Proxy`` runs in a thread and forwards; ``replay`` answers by itself from what a proxy has heard.
Operations are named as the emulator names them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.contract.damage import Answer
from transcription_pipeline_tests.providers.fault_server import Act, Exchange, FaultServer

Change = Callable[[str, str, Answer], Answer]
"""(operation, path, answer) → the answer that the client gets."""
Operation = Callable[[str, str], str]
_PASSED_ON = {"etag", "retry-after", "idempotent-replay"}


def serve(reply: Callable[[str, str, bytes, bytes], Awaitable[tuple[Answer, str]]]) -> Act:
    """Answer each request of a connection with what ``reply(method, target, head, body)`` gives."""

    async def act(exchange: Exchange) -> None:
        while True:
            had = len(exchange.server.bodies)
            head = await exchange.read_request()
            body = b"".join(exchange.server.bodies[had:])
            exchange.server.requests.clear()
            exchange.server.bodies.clear()
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            answer, more = await reply(method, target, head, body)
            kind = f"Content-Type: {answer.content_type}\r\n" if answer.content_type else ""
            # 204 has no body by definition (RFC 9110), and announcing one would be another fault.
            body = b"" if answer.status == 204 else answer.body
            length = "" if answer.status == 204 else f"Content-Length: {len(body)}\r\n"
            start = f"HTTP/1.1 {answer.status} Said\r\n{kind}{more}{length}\r\n"
            exchange.writer.write(start.encode("latin-1") + body)
            await exchange.writer.drain()

    return act


def replay(operation_of: Operation, answer_of: Callable[[str], Answer]) -> Act:
    """Answer every operation alike, whatever is asked."""

    async def reply(method: str, target: str, head: bytes, body: bytes) -> tuple[Answer, str]:
        return answer_of(operation_of(method, target.partition("?")[0])), 'ETag: "0"\r\n'

    return serve(reply)


def _keep(operation: str, path: str, answer: Answer) -> Answer:
    del operation, path
    return answer


class Proxy:
    """One listener before one emulator, while its ``with`` lasts."""

    def __init__(self, emulator: EmulatorServer, change: Change | None = None) -> None:
        self.change: Change = change or _keep
        self.heard: dict[str, dict[bytes, Answer]] = {}
        """Operation → its different answers, as the emulator gave them."""
        self.asked: dict[str, list[bytes]] = {}
        """Operation → the bodies of its requests, in order."""
        self.base_url = ""
        self._emulator = emulator
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())

    async def _listen(self) -> None:
        async with (
            aiohttp.ClientSession(auto_decompress=True) as self._http,
            FaultServer(serve(self._forward)) as server,
        ):
            self.base_url = server.base_url
            self._ready.set()
            await self._over.wait()

    async def _forward(
        self, method: str, target: str, head: bytes, body: bytes
    ) -> tuple[Answer, str]:
        lines = (line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:-2])
        # Host stays, so that the addresses which the service names lead here, too.
        headers = {n: v.strip() for n, _, v in lines if n.lower() != "content-length"}
        url = URL(self._emulator.base_url + target, encoded=True)
        async with self._http.request(
            method, url, headers=headers, data=body, allow_redirects=False
        ) as got:
            answer = Answer(got.status, got.headers.get("Content-Type", ""), await got.read())
            more = [f"{n}: {v}\r\n" for n, v in got.headers.items() if n.lower() in _PASSED_ON]
        path = target.partition("?")[0]
        operation = self._emulator.service.operation_of(method, path)
        self.asked.setdefault(operation, []).append(body)
        if 200 <= answer.status < 300:
            self.heard.setdefault(operation, {})[answer.body] = answer
        return self.change(operation, path, answer), "".join(more)
