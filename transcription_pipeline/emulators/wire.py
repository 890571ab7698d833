"""The connection below the service: counting requests, dating answers, and misbehaving on request.

``WireProtocol`` is uvicorn's own HTTP protocol with one addition: the request's scope carries a
``Line``, the TCP connection it came by, so that a fault can close, reset or garble it for real.
``FaultLayer`` is the ASGI application around the emulated service that consults the fault script;
it knows no vendor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from email.utils import formatdate
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from transcription_pipeline.emulators.backstage import Service
from transcription_pipeline.emulators.faults import Decision, FaultRule

CONTROL_PREFIX = "/_control"
_LINE = "emulator.line"
_DECISION = "emulator.decision"
_HANG_S = 3_600.0
"""Longer than any client's patience."""
_DRIP_S = 0.08
"""One byte per this many seconds: each byte comes in time, the whole answer never does."""


class Line:
    """One TCP connection to a client."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.lost = asyncio.Event()

    async def close(self) -> None:
        """Close after sending what was written (FIN)."""
        self.transport.close()
        await self.lost.wait()

    async def reset(self) -> None:
        """Close at once with a TCP reset."""
        connection = self.transport.get_extra_info("socket")
        # Lingering for zero seconds makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self.lost.wait()


class WireProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the connection reachable from the request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        self.line = Line(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end of the connection."""
        super().connection_lost(exc)
        self.line.lost.set()

    def on_message_begin(self) -> None:
        """Put the connection into the request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {_LINE: self.line}  # type: ignore[dict-item]


def decision_of(scope: Scope) -> Decision:
    """Say what the fault script decided about this request."""
    decision: Decision | None = scope.get(_DECISION)
    return decision or Decision(1)


class _Answer:
    """A whole answer, caught before it reaches the wire."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", []))
        else:
            self.body += message.get("body", b"")

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Emulated".encode()]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"


class FaultLayer:
    """The application around an emulated service that counts, dates and misbehaves."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service
        self.backstage = service.backstage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one that goes wrong."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL_PREFIX):
            await self.app(scope, receive, send)
            return
        self.backstage.timeline.run_due()
        operation = self.service.operation_of(scope["method"], scope["path"])
        self.backstage.requests.counts[operation] += 1
        now = self.backstage.clock.now()
        decision = self.backstage.faults.decide(operation, now)
        scope[_DECISION] = decision
        entry: dict[str, Any] = {
            "number": decision.number,
            "at": now,
            "method": scope["method"],
            "path": scope["path"],
            "status": None,
            "fault": decision.rule.action if decision.rule else None,
        }

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                message.setdefault("headers", [])
                date = formatdate(self.backstage.clock.now(), usegmt=True)
                message["headers"] = [*message["headers"], (b"date", date.encode())]
            await send(message)

        try:
            if decision.delay_s:
                await self._pause(scope, decision.delay_s)
            if decision.rule is None:
                await self.app(scope, receive, dated)
            else:
                await self._misbehave(decision, scope, receive, dated)
        finally:
            self.backstage.requests.record(operation, entry)

    async def _misbehave(
        self, decision: Decision, scope: Scope, receive: Receive, send: Send
    ) -> None:
        rule = decision.rule
        assert rule is not None
        answer = _Answer()
        if rule.does_act or rule.action == "kill_pid":
            await self.app(scope, receive, answer.send)
        elif rule.action not in ("hang", "reset"):  # those two leave the body unread
            while (await receive()).get("more_body"):
                pass
        if rule.action == "kill_pid":
            with contextlib.suppress(ProcessLookupError):
                os.kill(rule.pid, signal.SIGKILL)
            await _send(send, answer.status, answer.headers, answer.body)
        elif rule.action in ("status", "random_status", "rate_limit", "html", "redirect"):
            await self._answer_wrongly(decision, rule, send)
        elif rule.action == "drip":
            await self._drip(rule, answer, send)
        else:
            await self._cut(rule, answer, scope)

    async def _answer_wrongly(self, decision: Decision, rule: FaultRule, send: Send) -> None:
        status = {"rate_limit": 429, "html": 200, "redirect": 307}.get(rule.action, rule.status)
        content_type, body = self.service.fault_body(status)
        if rule.action == "html":
            content_type, body = "text/html", b"<html><body>Please log in</body></html>"
        if isinstance(rule.body, str):
            body = rule.body.encode()
        elif rule.body is not None:
            content_type, body = "application/json", msgspec.json.encode(rule.body)
        headers = {"content-type": content_type}
        if rule.action == "redirect":
            headers["location"] = rule.location
        if rule.action == "rate_limit" and rule.retry_after != "":
            headers["retry-after"] = rule.retry_after or str(decision.retry_after_s)
        headers |= {name.lower(): value for name, value in rule.headers.items()}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await _send(send, status, [*raw, (b"content-length", b"%d" % len(body))], body)

    async def _drip(self, rule: FaultRule, answer: _Answer, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        )
        for index in range(len(answer.body)):
            byte = answer.body[index : index + 1]
            await send({"type": "http.response.body", "body": byte, "more_body": True})
            await asyncio.sleep(_DRIP_S if rule.seconds is None else rule.seconds)
        await send({"type": "http.response.body", "body": b""})

    async def _cut(self, rule: FaultRule, answer: _Answer, scope: Scope) -> None:
        line: Line | None = scope.get("extensions", {}).get(_LINE)
        if line is None:
            msg = f"{rule.action} needs a TCP connection; run the emulator with EmulatorServer"
            raise RuntimeError(msg)
        if rule.action == "hang":
            await self._pause(scope, _HANG_S if rule.seconds is None else rule.seconds)
        elif rule.action == "half_headers":
            line.transport.write(answer.head()[: rule.keep_bytes])
        elif rule.action == "truncate":
            line.transport.write(answer.head() + answer.body[: rule.keep_bytes])
        elif rule.action == "garbage":
            line.transport.write(b"\x00\xff\x13 not http at all \x00\xfe" * 8)
        if rule.action == "reset":
            await line.reset()
        else:
            await line.close()

    async def _pause(self, scope: Scope, seconds: float) -> None:
        """Wait in real time, but no longer than the client or the rule stays."""
        line: Line | None = scope.get("extensions", {}).get(_LINE)
        ends = [asyncio.ensure_future(self.backstage.faults.replaced.wait())]
        if line is not None:
            ends.append(asyncio.ensure_future(line.lost.wait()))
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
