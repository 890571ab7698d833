"""Addresses that providers name: where we go, where we do not, and what we never take along."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from transcription_pipeline.errors import ProviderUnavailable, UnexpectedResponse
from transcription_pipeline.providers.elsewhere import find_objection, is_public
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.providers.fault_server import Act, FaultServer, answer

REAL = "https://api.provider.example"
EMULATED = "http://127.0.0.1:19513"


async def _chunks() -> AsyncIterator[bytes]:
    yield b"audio"


async def _send(base_url: str, url: str) -> int:
    http = ProviderHttp(
        provider="acme",
        base_url=base_url,
        headers={"X-Api-Key": "key-4711"},
        requests_per_s=1_000.0,
        patience=Patience(connect_s=0.5, read_s=0.5, deadline_s=1.0),
    )
    try:
        answered = await http.stream_elsewhere(
            "upload", "PUT", url, _chunks(), size_bytes=5, headers={"Content-Type": "audio/wav"}
        )
        return answered.status
    finally:
        await http.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not an address",
        "http://storage.example/x",
        "ftp://storage.example/x",
        "file:///etc/passwd",
        "https:///x",
        "https://user@storage.example/x",
        "https://api.provider.example:password@evil.example/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/x",
        "https://192.168.1.1/x",
        "https://224.0.0.1/x",
        "https://[fe80::1]/x",
        "https://storage.example:99999/x",
        "https://[bad/x",
    ],
)
def test_addresses_inside_or_without_tls_are_refused(url: str) -> None:
    """Nothing a real provider names leads into our network or over plain HTTP."""
    assert find_objection(url, own_url=REAL) is not None


@pytest.mark.parametrize(
    ("url", "own_url"),
    [
        ("https://bucket.s3.amazonaws.com/a?X-Amz-Signature=1", REAL),
        ("https://8.8.8.8/a", REAL),
        ("http://127.0.0.1:4711/a", EMULATED),
        ("http://localhost/a", EMULATED),
        ("https://bucket.s3.amazonaws.com/a", EMULATED),
    ],
)
def test_public_addresses_and_an_emulator_s_own_are_fine(url: str, own_url: str) -> None:
    """TLS and a public host; or this machine, while the provider itself is on it."""
    assert find_objection(url, own_url=own_url) is None


def test_names_count_by_what_they_resolve_to() -> None:
    """The addresses behind a name are judged like those in an address."""
    assert is_public("8.8.8.8")
    assert not any(map(is_public, ["10.0.0.1", "::1", "fe80::1%eth0", "nonsense", "0.0.0.0"]))


def test_a_name_that_leads_inside_is_not_gone_to() -> None:
    """This machine's own name has an address, but no public one: it counts as not found."""
    with pytest.raises(ProviderUnavailable, match="DNSError") as caught:
        asyncio.run(_send(REAL, f"https://{socket.gethostname()}/x"))
    assert caught.value.was_sent is False


def test_our_key_stays_at_home() -> None:
    """The address is asked for as it was signed, with the given headers and none of the account."""

    async def run() -> FaultServer:
        async with FaultServer(answer(200)) as server:
            assert await _send(EMULATED, server.base_url + "/a%2Fb%7e?X-Sig=%2b%7E") == 200
            return server

    server = asyncio.run(run())
    assert server.bodies == [b"audio"]
    assert server.requests[0].startswith("PUT /a%2Fb%7e?X-Sig=%2b%7E HTTP/1.1")
    assert "content-type: audio/wav" in server.requests[0].lower()
    assert "key-4711" not in server.requests[0]


def test_a_refused_address_tells_neither_address_nor_signature() -> None:
    """The error names what happened and no part of the address."""
    with pytest.raises(UnexpectedResponse) as caught:
        asyncio.run(_send(REAL, "http://storage.example/x?sig=secret"))
    assert "secret" not in str(caught.value)
    assert "storage.example" not in str(caught.value)


async def _fetch(base_url: str, url: str, into: Path, max_bytes: int) -> None:
    http = ProviderHttp(
        provider="acme",
        base_url=base_url,
        headers={"X-Api-Key": "key-4711"},
        requests_per_s=1_000.0,
        patience=Patience(connect_s=0.5, read_s=0.5, deadline_s=1.0),
    )
    try:
        await http.fetch_elsewhere("redacted_audio", url, into, max_bytes=max_bytes)
    finally:
        await http.aclose()


@pytest.mark.parametrize(
    ("act", "max_bytes", "error"),
    [
        (answer(200, b"a" * 100_000), 100_000, None),
        (answer(200, b"a" * 100_000), 99_999, UnexpectedResponse),
        (answer(403, b"<Error/>"), 100_000, ProviderUnavailable),
        (answer(302, Location="http://127.0.0.1:1/"), 100_000, ProviderUnavailable),
    ],
)
def test_a_file_is_brought_without_our_key(
    tmp_path: Path, act: Act, max_bytes: int, error: type[Exception] | None
) -> None:
    """A file comes to disk as it is, up to its largest size; no redirect is followed."""
    into = tmp_path / "file"

    async def run() -> FaultServer:
        async with FaultServer(act) as server:
            with pytest.raises(error) if error else nullcontext():
                await _fetch(EMULATED, server.base_url + "/a%2Fb?Sig=%2b", into, max_bytes)
            return server

    server = asyncio.run(run())
    assert server.requests[0].startswith("GET /a%2Fb?Sig=%2b HTTP/1.1")
    assert "key-4711" not in server.requests[0]
    assert server.connections == 1
    if error is None:
        assert into.read_bytes() == b"a" * 100_000


def test_no_file_is_fetched_from_inside(tmp_path: Path) -> None:
    """An address in our own network is not gone to for a file either."""
    with pytest.raises(UnexpectedResponse):
        asyncio.run(_fetch(REAL, "https://169.254.169.254/latest", tmp_path / "file", 1))
    assert list(tmp_path.iterdir()) == []
