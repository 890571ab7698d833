"""What the applications of all emulated services do alike: guard, word refusals, start over, count.

A service subclasses ``Endpoints`` with its vendor's paths, its way in and its refusals; nothing of
any wire is here. What it remembers is its desk's (``desk.py``); ``server.py`` runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.clock import Clock
from transcription_pipeline.emulators.desk import BaseDesk, SettingsT

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MINUTE_S = 60.0

Endpoint = Callable[[Request, str], Awaitable[Response]]
"""Answers one request of one account, or raises ``Refused``."""
DeskT = TypeVar("DeskT", bound=BaseDesk[Any, Any, Any])


class Refused(Exception, ABC):
    """A request that gets an HTTP error, which knows its vendor's words."""

    @abstractmethod
    def answer(self, at: float, /) -> Response:
        """Write the error as it was at a moment."""


class Closing(Protocol):
    """Something that holds processes."""

    def close(self) -> None:
        """Let them go."""


class Endpoints(ABC, Generic[SettingsT, DeskT]):
    """An emulated service: its endpoints, and the desk and the workers behind them."""

    name: str
    settings_type: type[SettingsT]
    desk: DeskT
    work: Closing

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        self.backstage = backstage
        self.settings = msgspec.convert(settings or {}, self.settings_type, strict=False)
        self.windows = Windows(backstage.clock)

    @abstractmethod
    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """List the vendor's endpoints: path to method to what answers."""

    @abstractmethod
    def admit(self, request: Request, methods: Collection[str]) -> str:
        """Let a request in, and say whose it is.

        Args:
            request: As received.
            methods: What the path can do; nothing, when no endpoint has the path.

        Raises:
            Refused: No such path or method, no valid credentials, or too many requests.
        """

    @abstractmethod
    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""

    @abstractmethod
    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give content type and body of the vendor's own answer with this status."""

    def routes(self) -> list[BaseRoute]:
        """List the endpoints; whatever else is asked for is refused as the vendor does."""
        listed = {**self.endpoints(), "/{path:path}": {}}
        return [
            Route(path, self._guard(by_method), methods=_METHODS)
            for path, by_method in listed.items()
        ]

    def _guard(self, by_method: dict[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                account = self.admit(request, by_method)
                return await by_method[request.method](request, account)
            except Refused as refusal:
                return refusal.answer(self.backstage.clock.now())

        return guarded

    def replay(self) -> None:
        """Take up the journal's state, and go on with unfinished jobs."""
        self.desk.replay()

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running."""
        merged = msgspec.to_builtins(self.settings) | changes
        self.settings = self.desk.settings = msgspec.convert(merged, self.settings_type)

    async def reset(self) -> None:
        """Forget everything but the settings."""
        await self.backstage.cancel_tasks()
        self.desk.clear()
        self.windows.clear()
        self.backstage.timeline.clear()
        self.backstage.invoice.clear()
        self.backstage.faults.clear()
        self.backstage.requests.clear()
        self.backstage.journal.clear()

    async def close(self) -> None:
        """End the workers."""
        self.work.close()


class Windows:
    """Counts requests in fixed windows. Whether a vendor's are fixed or slide, none documents."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened: dict[Hashable, tuple[float, int]] = {}

    def take(self, *limits: tuple[Hashable, float], seconds: float = _MINUTE_S) -> int:
        """Count one request against limits, each whose and how many; a limit of 0 is none.

        Returns:
            0, or the whole seconds until a full window is over; then nothing was counted.
        """
        now, counted = self._clock.now(), {}
        for whose, limit in limits:
            start, count = self._opened.get(whose, (now, 0))
            if not start <= now < start + seconds:
                start, count = now, 0
            if limit and count >= limit:
                return max(1, round(start + seconds - now))
            counted[whose] = (start, count + 1)
        self._opened.update(counted)
        return 0

    def clear(self) -> None:
        """Start counting anew."""
        self._opened.clear()


def answer_json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json", headers=headers)
