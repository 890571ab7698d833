"""One request on one connection, and what became of it: an answer, or a typed failure.

What belongs here: connections, time limits, caps, and whether a failed request can have reached the
other side. What does not: how often and how fast (``http.py``, the only caller).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from transcription_pipeline.errors import ProviderUnavailable, UnexpectedResponse
from transcription_pipeline.providers.answers import Response
from transcription_pipeline.providers.elsewhere import find_objection, is_public

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Decoded size at which an answer is refused: a 306 kB body can unpack to 300 MiB."""
CONNECT_S = 5.0
DEADLINE_S = 90.0
"""Whole request, however slowly bytes drip. Short enough to end before a container is stopped."""
READ_S = 60.0
"""Silence between bytes. A shorter one would manufacture doubt about paid requests."""
RETRIES = 6

_Carries = Literal["free", "paid", "elsewhere"]
"""What kind of request a connection carries; no two kinds share one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take, and how often a free one is sent."""

    connect_s: float = CONNECT_S
    read_s: float = READ_S
    deadline_s: float = DEADLINE_S
    retries: int = RETRIES
    retry_wait_s: float = 0.5
    """The first wait; it doubles, with jitter."""


class Transport:
    """Connections to one provider. Redirects are never followed, proxies never consulted."""

    def __init__(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        patience: Patience,
        max_body_bytes: int,
    ) -> None:
        self.provider = provider
        self.request_count = 0
        self._patience = patience
        self._max_body_bytes = max_body_bytes
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._sessions: dict[_Carries, aiohttp.ClientSession] = {}

    async def aclose(self) -> None:
        """Close the connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _session(self, carries: _Carries = "free") -> aiohttp.ClientSession:
        if carries not in self._sessions:
            is_paid = carries == "paid"
            at_home = find_objection(self._base_url, own_url="") is not None
            is_guarded = carries == "elsewhere" and not at_home
            # A connection that carried a paid request carries nothing else, before or after.
            # It waits for no other either: a deadline that runs out in a queue would look as if
            # the request had been sent.
            connector = aiohttp.TCPConnector(
                limit=0 if is_paid else 64,
                ttl_dns_cache=60,
                family=socket.AF_UNSPEC,
                force_close=is_paid,
                resolver=_PublicResolver() if is_guarded else None,
            )
            # What one answer sets is not sent with the next: no state but our own headers.
            self._sessions[carries] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._sessions[carries]

    async def _once(
        self,
        session: aiohttp.ClientSession,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
        elsewhere: URL | None = None,
        sink: tuple[Path, int] | None = None,
    ) -> Response:
        self.request_count += 1
        own_headers = self._headers if elsewhere is None else {}
        timeout = aiohttp.ClientTimeout(
            total=deadline_s or self._patience.deadline_s,
            sock_connect=self._patience.connect_s,
            sock_read=self._patience.read_s,
            connect=None,
        )
        try:
            async with session.request(
                method,
                elsewhere or self._base_url + path,
                params=params,
                data=body,
                headers={**own_headers, **(headers or {})},
                timeout=timeout,
                allow_redirects=False,
                # A signature may cover it, and then it is named by whoever gave the address.
                skip_auto_headers=("Content-Type",) if elsewhere else None,
            ) as answer:
                if sink is None or not 200 <= answer.status < 300:
                    read = await self._read(answer, operation)
                else:
                    read = await self._save(answer, operation, *sink)
                return Response(answer.status, answer.headers, read)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Name lookup, connect or TLS failed: proof that no byte of the request was sent.
            raise self._unavailable(operation, error, was_sent=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unavailable(operation, error, was_sent=True) from None

    async def _read(self, answer: aiohttp.ClientResponse, operation: str) -> bytes:
        received = self._receive(answer, operation, self._max_body_bytes)
        chunks = [chunk async for chunk in received]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _save(
        self, answer: aiohttp.ClientResponse, operation: str, path: Path, max_bytes: int
    ) -> bytes:
        with await asyncio.to_thread(path.open, "wb") as file:
            async for chunk in self._receive(answer, operation, max_bytes):
                await asyncio.to_thread(file.write, chunk)
        return b""

    async def _receive(
        self, answer: aiohttp.ClientResponse, operation: str, max_bytes: int
    ) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                raise UnexpectedResponse(
                    f"more than {max_bytes} bytes",
                    provider=self.provider,
                    operation=operation,
                    status_code=answer.status,
                )
            yield chunk

    def _unavailable(
        self, operation: str, error: BaseException, *, was_sent: bool
    ) -> ProviderUnavailable:
        # The class alone: the text of a transport error may repeat the URL.
        return ProviderUnavailable(
            f"no answer: {type(error).__name__}",
            provider=self.provider,
            operation=operation,
            was_sent=was_sent,
        )


class _PublicResolver(aiohttp.ThreadedResolver):
    """Knows public addresses only: a name that a provider gave must not lead into our network."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise OSError("no public address")
        return public
