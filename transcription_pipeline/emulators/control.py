"""The control interface of an emulator, ``/_control/…``, outside the emulated namespace.

Shows the invoice and the requests, sets faults, clock and settings, forgets everything. It is not
part of any vendor's wire, is never counted and never misbehaves; tests, the bench and the demo use
it through ``EmulatorServer`` or plain HTTP.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from transcription_pipeline.emulators.backstage import Service
from transcription_pipeline.emulators.clock import to_utc
from transcription_pipeline.emulators.faults import FaultRule


class ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    """A movement of the clock; ``is_frozen`` is applied before ``advance_s``."""

    advance_s: float = 0.0
    is_frozen: bool | None = None


def _answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def make_control_routes(service: Service) -> list[BaseRoute]:
    """List the control endpoints of one emulator."""
    control = _Control(service)
    return [
        Route("/_control/health", control.health, methods=["GET"]),
        Route("/_control/invoice", control.invoice, methods=["GET"]),
        Route("/_control/requests", control.requests, methods=["GET"]),
        Route("/_control/faults", control.faults, methods=["GET", "POST"]),
        Route("/_control/clock", control.clock, methods=["GET", "POST"]),
        Route("/_control/settings", control.settings, methods=["GET", "POST"]),
        Route("/_control/reset", control.reset, methods=["POST"]),
    ]


class _Control:
    """The endpoints, bound to one emulator."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.backstage = service.backstage

    async def health(self, _request: Request) -> Response:
        """Say who answers."""
        return _answer({"status": "ok", "provider": self.service.name, "pid": os.getpid()})

    async def invoice(self, _request: Request) -> Response:
        """Show what would have been charged."""
        self.backstage.timeline.run_due()
        return _answer(self.backstage.invoice.as_answer())

    async def requests(self, request: Request) -> Response:
        """Show counts per operation; with ``?log=1`` the last requests too."""
        books = self.backstage.requests
        content: dict[str, Any] = {
            "counts": dict(books.counts),
            "statuses": dict(books.statuses),
            "total": books.counts.total(),
        }
        if request.query_params.get("log"):
            content["log"] = list(books.log)
        return _answer(content)

    async def faults(self, request: Request) -> Response:
        """Show the fault rules, or replace them: one rule, a list, or ``{"rules": [...]}``."""
        if request.method == "POST":
            try:
                given = msgspec.json.decode(await request.body() or b"[]")
                if isinstance(given, dict):
                    given = given.get("rules", [given])
                rules = msgspec.convert(given, list[FaultRule])
            except msgspec.MsgspecError as error:
                return _answer({"error": str(error)}, 400)
            self.backstage.faults.set(rules)
        return _answer(self.backstage.faults.as_answer())

    async def clock(self, request: Request) -> Response:
        """Read or move the clock; what became due has happened when this answers."""
        clock = self.backstage.clock
        if request.method == "POST":
            try:
                change = msgspec.json.decode(await request.body(), type=ClockChange)
            except msgspec.MsgspecError as error:
                return _answer({"error": str(error)}, 400)
            if change.is_frozen is True:
                clock.freeze()
            elif change.is_frozen is False:
                clock.thaw()
            clock.advance(change.advance_s)
            self.backstage.journal.append({"event": "clock", "offset_s": clock.offset_s})
            self.backstage.timeline.run_due()
            self.backstage.timeline.touch()
        return _answer(
            {"now": clock.now(), "now_utc": to_utc(clock.now()), "is_frozen": clock.is_frozen}
        )

    async def settings(self, request: Request) -> Response:
        """Show the settings, or change some."""
        if request.method == "POST":
            try:
                self.service.configure(msgspec.json.decode(await request.body()))
            except msgspec.MsgspecError as error:
                return _answer({"error": str(error)}, 400)
        return _answer(self.service.settings)

    async def reset(self, _request: Request) -> Response:
        """Forget all jobs, charges, counts and faults."""
        await self.service.reset()
        return _answer({"status": "ok"})
