"""One emulated Aitronos and its client, for the tests of both halves of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import stamina

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.aitronos import AitronosProvider
from transcription_pipeline.providers.base import (
    Audio,
    PaidRequest,
    Submission,
    Verdict,
)
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.providers.fault_server import FaultServer, answer

T = TypeVar("T")
JOB_S = 60.0
KEY = "ak_canary"
HASTY = Patience(connect_s=0.5, read_s=0.4, deadline_s=0.8, retries=2, retry_wait_s=0.0)
ATTEMPT_ID = "a" * 32
URL = f"https://audio.test/call.wav?x-tp-attempt={ATTEMPT_ID}&X-Amz-Signature=1"
JOB_ID = "trans_" + "0" * 32
CONTENT = b"RIFF" + bytes(100_000)


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries do not wait."""
    with stamina.set_testing(True, attempts=2):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator."""
    with EmulatorServer("aitronos", job_s=JOB_S, audio_s=30.0, word_count=40) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator without jobs, charges or faults."""
    server.reset()
    server.configure(**settings)
    return server


def make_provider(base_url: str, **arguments: Any) -> AitronosProvider:
    """Make a client that keeps to no rate and looks at any time."""
    told = {"api_key": KEY, "organization_id": "org_1", "look_s": 0.0, "patience": HASTY}
    return AitronosProvider(base_url=base_url, requests_per_s=2_000.0, **(told | arguments))


def ask(base_url: str, what: Callable[[AitronosProvider], Awaitable[T]], **arguments: Any) -> T:
    """Do one thing with a client of its own."""

    async def run() -> T:
        provider = make_provider(base_url, **arguments)
        try:
            return await what(provider)
        finally:
            await provider.aclose()

    return asyncio.run(run())


def ask_canned(status: int, body: bytes, what: Callable[[AitronosProvider], Awaitable[T]]) -> T:
    """Do one thing with a client whose every request is answered like this."""

    async def run() -> T:
        async with FaultServer(answer(status, body)) as server:
            provider = make_provider(server.base_url)
            try:
                return await what(provider)
            finally:
                await provider.aclose()

    return asyncio.run(run())


def make_audio(url: str | None = URL) -> Audio:
    """Make the audio of one recording."""

    async def stream() -> AsyncIterator[bytes]:
        yield CONTENT

    return Audio("r" * 32, len(CONTENT), 30_000, stream, url=url)


def make_request(provider: AitronosProvider, **options: Any) -> PaidRequest:
    """Make the paid request of one attempt."""
    return provider.make_request(ATTEMPT_ID, make_audio(), options)


def submit(emulator: EmulatorServer, **options: Any) -> Submission:
    """Submit one job."""
    return ask(emulator.base_url, lambda p: p.submit(make_request(p, **options)))


def accept(emulator: EmulatorServer, **options: Any) -> str:
    """Submit one job that is accepted, and return its id."""
    told = submit(emulator, **options)
    assert told.verdict is Verdict.ACCEPTED, told
    assert told.provider_job_id is not None
    return told.provider_job_id


def make_attempt(emulator: EmulatorServer, **fields: Any) -> Attempt:
    """Make the attempt that ``submit`` sends, of now on the emulator's clock."""
    at = datetime.fromtimestamp(emulator.control("clock")["now"], tz=UTC)
    told = {"sent_at": at, "url_expires_at": at + timedelta(hours=2), **fields}
    return Attempt(ATTEMPT_ID, "j", "r", "aitronos", 1, AttemptState.AMBIGUOUS, **told)
