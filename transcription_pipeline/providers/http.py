"""The one door to HTTP: requests to providers, their retries, and what an answer means.

What belongs here: pacing, retries of free requests, and the translation of every refusal into
``errors.py``. What does not: one request on one connection (``transport.py``), and paths and bodies
of any provider. Provider clients are its only callers.

Two kinds of request, never mixed: a *free* one may be repeated and is, within bounds; a *paid* one
is sent once, on a fresh connection, and whatever happens is reported, never retried (a request on a
kept-alive connection that the server closes is indistinguishable from one that was accepted).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import stamina
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
from transcription_pipeline.providers.elsewhere import find_objection
from transcription_pipeline.providers.throttle import Throttle
from transcription_pipeline.providers.transport import MAX_BODY_BYTES, Patience, Transport

MAX_FILE_BYTES = 4_000_000_000
"""Size at which a file that is written to disk as it comes is refused."""
LONGEST_SLEEP_S = 120.0
"""A longer wait is not slept but becomes the job's next due instant."""
_SLICE_BYTES = 64 * 1024


class ProviderHttp(Transport):
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
        super().__init__(provider, base_url, headers, patience or Patience(), max_body_bytes)
        self._throttle = Throttle(requests_per_s)
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
