"""The one door to HTTP: requests to providers, their retries, and what an answer means.

What belongs here: transport, pacing, retries of free requests, caps, and the translation of every
failure into ``errors.py``. What does not: paths and bodies of any provider. Provider clients are
its only callers.

Two kinds of request, never mixed: a *free* one may be repeated and is, within bounds; a *paid* one
is sent once, on a fresh connection, and whatever happens is reported, never retried (a request on a
kept-alive connection that the server closes is indistinguishable from one that was accepted).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import stamina
from aiohttp.abc import ResolveResult
from stamina.instrumentation import LoggingOnRetryHook, set_on_retry_hooks
from yarl import URL

from transcription_pipeline.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.answers import Response, describe_error, parse_retry_after
from transcription_pipeline.providers.elsewhere import find_objection, is_public
from transcription_pipeline.providers.throttle import Throttle

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Decoded size at which an answer is refused: a 306 kB body can unpack to 300 MiB."""
MAX_FILE_BYTES = 4_000_000_000
"""Size at which a file that is written to disk as it comes is refused."""
CONNECT_S = 5.0
DEADLINE_S = 90.0
"""Whole request, however slowly bytes drip. Short enough to end before a container is stopped."""
READ_S = 60.0
"""Silence between bytes. A shorter one would manufacture doubt about paid requests."""
LONGEST_SLEEP_S = 120.0
"""A longer wait is not slept but becomes the job's next due instant."""
RETRIES = 6
_SLICE_BYTES = 64 * 1024

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


class ProviderHttp:
    """One provider account over HTTP. Redirects are never followed, proxies never consulted."""

    def __init__(
        self,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        requests_per_s: float,
        patience: Patience | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.provider = provider
        self._patience = patience or Patience()
        self._max_body_bytes = max_body_bytes
        self.request_count = 0
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._throttle = Throttle(requests_per_s)
        self._sessions: dict[_Carries, aiohttp.ClientSession] = {}
        # Where structlog is installed stamina would print retries on standard output.
        set_on_retry_hooks([LoggingOnRetryHook])

    async def send(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        provider_job_id: str | None = None,
    ) -> Response:
        """Send a free request, again if need be, and return a 2xx answer.

        Raises:
            ProviderUnavailable, RateLimited: Transient, after the retries are used up.
            AuthenticationFailed, RequestRejected, UnexpectedResponse: Terminal.
        """
        async for attempt in self._tries(_may_retry):
            with attempt:
                await self._throttle.wait()
                response = await self._once(
                    self._session(),
                    operation,
                    method,
                    path,
                    params=params,
                    body=body,
                    headers=headers,
                )
                self._raise_for_status(
                    response, operation=operation, provider_job_id=provider_job_id
                )
                return response
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def wait_turn(self) -> None:
        """Return when one paid request may be sent; ``send_paid`` itself does not wait."""
        await self._throttle.wait()

    async def send_paid(
        self,
        operation: str,
        path: str,
        body: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str] | None = None,
        *,
        size_bytes: int | None = None,
    ) -> Response:
        """POST once, at once and on a connection of its own; return whatever was answered.

        A stream names its size, and then gets the time it takes besides that of an answer. Raises
        ``ProviderUnavailable``, whose ``was_sent`` is False only if nothing left this machine.
        """
        length, deadline_s = {}, None
        if size_bytes is not None:
            length = {"Content-Length": str(size_bytes)}
            deadline_s = _transfer_s(size_bytes) + self._patience.deadline_s
        response = await self._once(
            self._session("paid"),
            operation,
            "POST",
            path,
            body=body,
            headers={**(headers or {}), **length},
            deadline_s=deadline_s,
        )
        if response.status == 429:
            self._throttle.pause(parse_retry_after(response.headers) or 1.0)
        return response

    async def stream(
        self,
        operation: str,
        method: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send an unpaid body of known size in constant memory; not retried here.

        The caller starts over from the source: a stream cannot be rewound.
        """
        length = {"Content-Length": str(size_bytes)}
        await self._throttle.wait()
        response = await self._once(
            self._session(),
            operation,
            method,
            path,
            body=chunks,
            headers={**(headers or {}), **length},
            deadline_s=_transfer_s(size_bytes),
        )
        self._raise_for_status(response, operation=operation)
        return response

    async def stream_elsewhere(
        self,
        operation: str,
        method: str,
        url: str,
        chunks: AsyncIterator[bytes],
        *,
        size_bytes: int,
        headers: Mapping[str, str],
    ) -> Response:
        """Send an unpaid body to an address the provider named, without the account's headers.

        Raises:
            UnexpectedResponse: Terminal. The address is none we would go to; nothing was sent.
            ProviderUnavailable: Transient. No answer, or a refusal of any kind: such addresses are
                signed and die, and the caller asks the provider for another one.
        """
        return await self._go_elsewhere(
            operation,
            method,
            url,
            body=chunks,
            headers={**headers, "Content-Length": str(size_bytes)},
            deadline_s=_transfer_s(size_bytes),
        )

    async def send_elsewhere(self, operation: str, method: str, url: str, body: bytes) -> Response:
        """Send a few megabytes to an address the provider named, again if there was no answer.

        Raises as ``stream_elsewhere`` does; an address that refuses is not asked twice.
        """
        async for attempt in self._tries(_may_retry_elsewhere):
            with attempt:
                return await self.stream_elsewhere(
                    operation, method, url, _slice(body), size_bytes=len(body), headers={}
                )
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def fetch_elsewhere(
        self, operation: str, url: str, into: Path, *, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        """Bring a file from an address the provider named, in constant memory; not retried here.

        Raises as ``stream_elsewhere`` does; ``UnexpectedResponse`` also beyond ``max_bytes``.
        """
        sink = (into, max_bytes)
        await self._go_elsewhere(
            operation, "GET", url, sink=sink, deadline_s=_transfer_s(max_bytes)
        )

    async def aclose(self) -> None:
        """Close the connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _go_elsewhere(
        self, operation: str, method: str, url: str, **request: Any
    ) -> Response:
        objection = find_objection(url, own_url=self._base_url)
        if objection:
            raise UnexpectedResponse(objection, provider=self.provider, operation=operation)
        # As it was signed: any other spelling of the same address is refused.
        address = URL(url, encoded=True)
        session = self._session("elsewhere")
        response = await self._once(session, operation, method, "", elsewhere=address, **request)
        if not 200 <= response.status < 300:
            raise ProviderUnavailable(
                "the address it named refused",
                provider=self.provider,
                operation=operation,
                status_code=response.status,
            )
        return response

    def _tries(self, may_retry: Callable[[Exception], bool | float]) -> AsyncIterator[Any]:
        patience = self._patience
        return stamina.retry_context(
            on=may_retry,
            attempts=patience.retries,
            timeout=2 * LONGEST_SLEEP_S,
            wait_initial=patience.retry_wait_s,
            wait_max=20.0,
            wait_jitter=patience.retry_wait_s,
        ).__aiter__()

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

    def _raise_for_status(
        self, response: Response, *, operation: str, provider_job_id: str | None = None
    ) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        named: dict[str, Any] = {
            "provider": self.provider,
            "operation": operation,
            "provider_job_id": provider_job_id,
        }
        if status == 429:
            retry_after_s = parse_retry_after(response.headers)
            self._throttle.pause(retry_after_s or 1.0)
            raise RateLimited("too many requests", retry_after_s=retry_after_s, **named)
        named["status_code"] = status
        reason = describe_error(response.body)
        if status in {401, 403}:
            raise AuthenticationFailed(reason, **named)
        if status == 501:  # asking again implements nothing (RFC 9110 §15.6.2)
            raise UnexpectedResponse(f"not implemented: {reason}", **named)
        if status == 408 or status >= 500:
            raise ProviderUnavailable(reason, **named)
        if 300 <= status < 400:
            raise UnexpectedResponse("redirects are not followed", **named)
        raise RequestRejected(reason, **named)


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


def _transfer_s(size_bytes: int) -> float:
    # One minute, and a second per 256 KiB: slower than that is no transfer.
    return 60.0 + size_bytes / (256 * 1024)


async def _slice(body: bytes) -> AsyncIterator[bytes]:
    # In one piece it would keep the loop busy until the last byte is written.
    for start in range(0, len(body), _SLICE_BYTES):
        yield body[start : start + _SLICE_BYTES]


def _may_retry(error: Exception) -> bool | float:
    if not isinstance(error, ProviderError) or not error.is_transient:
        return False
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= LONGEST_SLEEP_S else False
    return True


def _may_retry_elsewhere(error: Exception) -> bool | float:
    status = error.status_code if isinstance(error, ProviderError) else None
    return (status is None or status >= 500) and _may_retry(error)
