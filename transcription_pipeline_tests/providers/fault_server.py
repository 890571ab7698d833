"""A TCP server that misbehaves as told: it counts connections and requests, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

Act = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One connection that arrived, and the request on it, if one was read."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: FaultServer

    async def read_request(self) -> bytes:
        """Read one whole request; the head is remembered."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.server.requests.append(head.decode("latin-1"))
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                self.server.bodies.append(await self.reader.readexactly(int(value)))
        return head

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class FaultServer:
    """Listens on loopback while its ``async with`` lasts; each connection gets ``act``."""

    act: Act
    connections: int = 0
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    base_url: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> FaultServer:
        """Start listening."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and drop whoever still waits."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self.act(Exchange(reader, writer, self))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)


def answer(status: int, body: bytes = b"{}", **headers: str) -> Act:
    """Answer every request of the connection with this, keeping it alive."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return send("\r\n".join(lines).encode() + b"\r\n\r\n" + body, is_alive=True)


def send(raw: bytes, *, is_alive: bool = False) -> Act:
    """Read a request, write these bytes, and close unless ``is_alive``."""

    async def act(exchange: Exchange) -> None:
        while True:
            await exchange.read_request()
            exchange.writer.write(raw)
            await exchange.writer.drain()
            if not is_alive:
                return

    return act


def zipped(size: int) -> bytes:
    """Return a whole answer whose small body unpacks to ``size`` bytes."""
    body = gzip.compress(bytes(size))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def close_on_accept(exchange: Exchange) -> None:
    """Hang up before reading anything."""


async def reset_on_accept(exchange: Exchange) -> None:
    """Reset before reading anything."""
    exchange.reset()


async def reset_while_reading(exchange: Exchange) -> None:
    """Read the head and reset before the body."""
    await exchange.reader.readuntil(b"\r\n\r\n")
    exchange.reset()


async def accept_then_silence(exchange: Exchange) -> None:
    """Read the request and say nothing."""
    await exchange.read_request()
    await asyncio.Event().wait()


async def accept_then_close(exchange: Exchange) -> None:
    """Read the request and hang up."""
    await exchange.read_request()


async def accept_then_reset(exchange: Exchange) -> None:
    """Read the request and reset."""
    await exchange.read_request()
    exchange.reset()


async def never_read(exchange: Exchange) -> None:
    """Accept the connection and read nothing."""
    await asyncio.Event().wait()


async def drip(exchange: Exchange) -> None:
    """Answer with a byte every 20 ms, for ever."""
    await exchange.read_request()
    exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        exchange.writer.write(b" ")
        await exchange.writer.drain()
        await asyncio.sleep(0.02)
