"""The door to HTTP: what every fault means, and that a paid request is sent once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
import stamina

from transcription_pipeline.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.answers import Response
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.providers import fault_server as faults
from transcription_pipeline_tests.providers.fault_server import Act, FaultServer, answer, send

T = TypeVar("T")
HASTY = Patience(connect_s=0.3, read_s=0.3, deadline_s=0.6, retries=3, retry_wait_s=0.0)
SECRET = "key-4711"
BODY = b'{"audio_url": "https://bucket/a.mp3?X-Amz-Signature=f00"}'


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


def make_http(base_url: str, **rest: Any) -> ProviderHttp:
    """Make a door that gives up soon."""
    return ProviderHttp(
        provider="acme",
        base_url=base_url,
        headers={"X-Api-Key": SECRET},
        requests_per_s=1_000.0,
        patience=HASTY,
        **rest,
    )


def talk(
    act: Act, conversation: Callable[[ProviderHttp], Awaitable[T]], **rest: Any
) -> tuple[T | ProviderError, FaultServer]:
    """Have a conversation with a server that does ``act``; return its end and the server."""

    async def run() -> tuple[T | ProviderError, FaultServer]:
        async with FaultServer(act) as server:
            http = make_http(server.base_url, **rest)
            try:
                return await conversation(http), server
            except ProviderError as error:
                return error, server
            finally:
                await http.aclose()

    end, server = asyncio.run(run())
    if isinstance(end, ProviderError):
        assert SECRET not in str(end)
        assert "http://" not in str(end)
        assert end.__suppress_context__ or end.__context__ is None
    return end, server


def pay(http: ProviderHttp) -> Awaitable[Response]:
    """Send the paid request."""
    return http.send_paid("submit", "/v2/transcript", BODY, {"Content-Type": "application/json"})


def look(http: ProviderHttp) -> Awaitable[Response]:
    """Send a free request."""
    return http.send("observe", "GET", "/v2/transcript/1", provider_job_id="1")


BROKEN: dict[str, Act] = {
    "close on accept": faults.close_on_accept,
    "reset on accept": faults.reset_on_accept,
    "reset while reading": faults.reset_while_reading,
    "never reads": faults.never_read,
    "accepted, then silence": faults.accept_then_silence,
    "accepted, then closed": faults.accept_then_close,
    "accepted, then reset": faults.accept_then_reset,
    "half headers": send(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "truncated body": send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    "truncated chunks": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"),
    "garbage": send(b"\x00\xff\xfe garbage\r\n\r\n"),
    "bad gzip": send(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"
    ),
    "slow drip": faults.drip,
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_paid_request_is_in_doubt_and_sent_once(fault: Act) -> None:
    """Whatever breaks after the connection stands leaves doubt, and nothing is sent again."""
    error, server = talk(fault, pay)
    assert isinstance(error, ProviderUnavailable)
    assert error.was_sent
    assert error.is_transient
    assert server.connections == 1
    assert len(server.requests) <= 1


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_free_request_is_repeated(fault: Act) -> None:
    """The same faults of a free request are tried again, within bounds, then reported."""
    error, server = talk(fault, look)
    assert isinstance(error, ProviderUnavailable)
    assert server.connections >= 3


BUSY = send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_a_free_request_recovers() -> None:
    """A fault that passes is not seen by the caller."""
    acts = [faults.accept_then_close, BUSY, answer(200, b'{"id": "1"}')]

    async def act(exchange: faults.Exchange) -> None:
        await acts[min(exchange.server.connections, 3) - 1](exchange)

    done, _ = talk(act, look)
    assert isinstance(done, Response)
    assert done.json("acme", "observe") == {"id": "1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_not_connected_is_not_sent(host: str) -> None:
    """A refused connection and an unknown name prove that nothing left this machine."""

    async def run() -> ProviderUnavailable:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))  # bound, not listening: connecting is refused
            http = make_http(f"http://{host}:{reserved.getsockname()[1]}")
            with pytest.raises(ProviderUnavailable) as caught:
                await pay(http)
            await http.aclose()
        return caught.value

    assert asyncio.run(run()).was_sent is False


def test_tls_that_never_completes_is_not_sent() -> None:
    """While the encryption is being agreed on no byte of the request has left."""

    async def run() -> ProviderUnavailable:
        async with FaultServer(faults.never_read) as server:
            http = make_http(server.base_url.replace("http://", "https://"))
            with pytest.raises(ProviderUnavailable) as caught:
                await pay(http)
            await http.aclose()
        return caught.value

    assert asyncio.run(run()).was_sent is False


@pytest.mark.parametrize(
    "status", [200, 301, 307, 400, 401, 402, 403, 404, 408, 409, 422, 500, 502, 504]
)
def test_a_paid_answer_is_handed_over_as_it_is(status: int) -> None:
    """Every status of a paid request is returned, after one request, with its exact body sent."""
    location = {"Location": "/elsewhere"} if status in (301, 307) else {}
    done, server = talk(answer(status, b"said", **location), pay)
    assert isinstance(done, Response)
    assert (done.status, done.body) == (status, b"said")
    assert len(server.requests) == 1
    assert server.bodies == [BODY]
    assert f"X-Api-Key: {SECRET}" in server.requests[0]


@pytest.mark.parametrize(
    ("status", "kind", "requests"),
    [
        (301, UnexpectedResponse, 1),
        (307, UnexpectedResponse, 1),
        (400, RequestRejected, 1),
        (401, AuthenticationFailed, 1),
        (403, AuthenticationFailed, 1),
        (404, RequestRejected, 1),
        (408, ProviderUnavailable, 3),
        (422, RequestRejected, 1),
        (429, RateLimited, 3),
        (500, ProviderUnavailable, 3),
        (503, ProviderUnavailable, 3),
    ],
)
def test_a_free_answer_is_classified(status: int, kind: type[ProviderError], requests: int) -> None:
    """Each status has its class; only those that may pass are tried again."""
    headers = {"Retry_After": "0"} if status == 429 else {}
    error, server = talk(answer(status, b'{"error": "because"}', **headers), look)
    assert type(error) is kind
    assert isinstance(error, ProviderError)
    assert error.status_code == status
    assert error.provider_job_id == "1"
    assert len(server.requests) == requests


def test_redirects_leak_nothing() -> None:
    """A redirect to another host is not followed: the key never arrives there."""

    async def run() -> int:
        async with FaultServer(answer(200)) as elsewhere:
            act = answer(307, b"", Location=elsewhere.base_url + "/steal")
            async with FaultServer(act) as server:
                http = make_http(server.base_url)
                assert (await pay(http)).status == 307
                with pytest.raises(UnexpectedResponse):
                    await look(http)
                await http.aclose()
            return elsewhere.connections

    assert asyncio.run(run()) == 0


def test_each_paid_request_has_its_own_connection() -> None:
    """Free requests share a connection; a paid one neither takes one over nor leaves one."""

    async def conversation(http: ProviderHttp) -> list[int]:
        for _ in range(3):
            await look(http)
        for _ in range(3):
            await pay(http)
        await look(http)
        return [http.request_count]

    done, server = talk(answer(200), conversation)
    assert done == [7]
    assert server.connections == 4
    assert len(server.requests) == 7


def test_no_state_but_our_headers() -> None:
    """A cookie that one answer sets is not sent with the next."""

    async def conversation(http: ProviderHttp) -> None:
        await look(http)
        await look(http)
        await pay(http)
        await pay(http)

    _, server = talk(answer(200, Set_Cookie="session=1"), conversation)
    assert not any("cookie" in request.lower() for request in server.requests)


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy variable changes nothing: keys and audio go straight to the provider."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    done, _ = talk(answer(200), look)
    assert isinstance(done, Response)


@pytest.mark.parametrize(
    "act",
    [answer(200, b"x" * 5_000), send(faults.zipped(50_000_000))],
    ids=["large", "bomb"],
)
@pytest.mark.parametrize("conversation", [look, pay])
def test_a_body_over_the_cap_is_refused(
    act: Act, conversation: Callable[[ProviderHttp], Awaitable[Response]]
) -> None:
    """A body that is, or unpacks to, more than the cap is refused without being read whole."""
    error, server = talk(act, conversation, max_body_bytes=4_000)
    assert isinstance(error, UnexpectedResponse)
    assert len(server.requests) == 1


def test_a_stream_is_sent_with_its_length() -> None:
    """A streamed body arrives whole, with its length in the head, and is not repeated."""

    async def chunks() -> Any:
        for _ in range(10):
            yield b"x" * 1_000

    async def conversation(http: ProviderHttp) -> Response:
        return await http.stream("upload", "POST", "/v2/upload", chunks(), size_bytes=10_000)

    done, server = talk(answer(200), conversation)
    assert isinstance(done, Response)
    assert server.bodies == [b"x" * 10_000]
    error, server = talk(answer(500), conversation)
    assert isinstance(error, ProviderUnavailable)
    assert len(server.requests) == 1
