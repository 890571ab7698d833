"""The local provider keeps the protocol: answers whole or absent, repeats free and alike."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.errors import JobUnknown, StorageUnavailable, UnexpectedResponse
from transcription_pipeline.normalise.local import normalise
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    PaidRequest,
    Phase,
    Provider,
    Verdict,
)
from transcription_pipeline.providers.local import LocalProvider
from transcription_pipeline_tests.audio.sample_set import FOLDER

pytestmark = pytest.mark.slow

ATTEMPT_ID = "0123456789abcdef0123456789abcdef"
OPTIONS = {"language": "auto", "diarize": True, "speakers_expected": 2}
AT = datetime(2026, 11, 21, tzinfo=UTC)

KILLED = """
import asyncio, sys, time
from pathlib import Path
from transcription_pipeline.providers.base import Audio
from transcription_pipeline.providers.local import LocalProvider

async def half():
    yield Path(sys.argv[2]).read_bytes()[:20_000]
    print("half way", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    provider = LocalProvider(spool=Path(sys.argv[1]), process_count=1)
    audio = Audio("recording", 0, None, half)
    asyncio.run(provider.submit(provider.make_request(sys.argv[3], audio, {})))
"""


def run(spool: Path, scenario: Callable[[LocalProvider], Awaitable[None]]) -> None:
    """Run a scenario with a provider of one process, and close it."""

    async def whole() -> None:
        provider = LocalProvider(spool=spool, process_count=1)
        try:
            await scenario(provider)
        finally:
            await provider.aclose()

    asyncio.run(whole())


def make_audio(file: str) -> Audio:
    """Make the audio of a sample, streamed in pieces."""
    content = (FOLDER / file).read_bytes()

    async def stream() -> AsyncIterator[bytes]:
        for offset in range(0, len(content), 10_000):
            yield content[offset : offset + 10_000]

    return Audio("recording", len(content), None, stream)


def make_request(
    provider: Provider,
    file: str,
    options: Mapping[str, Any] = OPTIONS,
    attempt_id: str = ATTEMPT_ID,
) -> PaidRequest:
    """Make the request of an attempt for a sample."""
    return provider.make_request(attempt_id, make_audio(file), options)


def test_from_audio_to_transcript(tmp_path: Path) -> None:
    """A recording goes in, is accepted and completed, and its answer reads as its words."""

    async def scenario(provider: LocalProvider) -> None:
        request = make_request(provider, "appointment.flac")
        submission = await provider.submit(request)
        assert submission.verdict is Verdict.ACCEPTED
        assert submission.provider_job_id == ATTEMPT_ID
        assert (await provider.observe(ATTEMPT_ID)).phase is Phase.COMPLETED
        body = await provider.collect(ATTEMPT_ID)
        transcript = normalise(body)
        assert transcript.utterances.speaker_label == ["A", "B"]
        assert transcript.text.startswith("i would like to see the doctor")
        assert json.loads(body)["channel_count"] == 2

    run(tmp_path, scenario)
    assert [path.name for path in tmp_path.iterdir()] == [f"{ATTEMPT_ID}.json"]


def test_the_same_audio_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two attempts at one recording have equal answers, byte for byte."""

    async def scenario(provider: LocalProvider) -> None:
        answers = []
        for attempt_id in ("first", "second"):
            await provider.submit(make_request(provider, "silence.flac", attempt_id=attempt_id))
            answers.append(await provider.collect(attempt_id))
        assert answers[0] == answers[1]

    run(tmp_path, scenario)


def test_submitting_again_finds_the_answer(tmp_path: Path) -> None:
    """A repeated submit neither reads the audio nor changes the answer."""

    async def unreadable() -> AsyncIterator[bytes]:
        raise AssertionError("the audio was read again")
        yield b""

    async def scenario(provider: LocalProvider) -> None:
        await provider.submit(make_request(provider, "silence.flac"))
        before = (tmp_path / f"{ATTEMPT_ID}.json").stat()
        audio = Audio("recording", 0, None, unreadable)
        again = await provider.submit(provider.make_request(ATTEMPT_ID, audio, OPTIONS))
        assert again.verdict is Verdict.ACCEPTED
        after = (tmp_path / f"{ATTEMPT_ID}.json").stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    run(tmp_path, scenario)


def test_a_killed_submit_can_be_repeated(tmp_path: Path) -> None:
    """After ``kill -9`` in mid-stream there is no answer, and the next submit makes a whole one."""
    spool, script = tmp_path / "spool", tmp_path / "killed.py"
    script.write_text(KILLED)
    arguments = [str(spool), str(FOLDER / "appointment.flac"), ATTEMPT_ID]
    with subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half way\n"
        child.send_signal(signal.SIGKILL)
    (scrap,) = spool.iterdir()
    assert scrap.suffix == ".scrap"
    os.utime(scrap, (0, 0))  # as if a day had passed

    async def scenario(provider: LocalProvider) -> None:
        assert (await provider.observe(ATTEMPT_ID)).phase is Phase.UNKNOWN_JOB
        submission = await provider.submit(make_request(provider, "appointment.flac"))
        assert submission.verdict is Verdict.ACCEPTED

    run(spool, scenario)
    assert [path.name for path in spool.iterdir()] == [f"{ATTEMPT_ID}.json"]


@pytest.mark.parametrize(
    ("file", "options", "cause"),
    [
        ("text.mp3", OPTIONS, "not_audio"),
        ("zero-bytes.mp3", OPTIONS, "not_audio"),
        ("silence.flac", {"language": "de"}, "unsupported_option"),
        ("silence.flac", {"summary": True}, "unsupported_option"),
    ],
)
def test_what_will_never_do_is_rejected(
    tmp_path: Path, file: str, options: Mapping[str, Any], cause: str
) -> None:
    """Audio that cannot be decoded and options that cannot be honoured are refused for good."""

    async def scenario(provider: LocalProvider) -> None:
        submission = await provider.submit(make_request(provider, file, options))
        assert (submission.verdict, submission.cause) == (Verdict.REJECTED, cause)

    run(tmp_path, scenario)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_store_may_be_tried_again(tmp_path: Path) -> None:
    """Audio that stops arriving leaves the attempt unsent and the spool empty."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"RIFF"
        raise StorageUnavailable("connection reset", key="calls/a.wav")

    async def scenario(provider: LocalProvider) -> None:
        audio = Audio("recording", 100, None, broken)
        submission = await provider.submit(provider.make_request(ATTEMPT_ID, audio, OPTIONS))
        assert submission.verdict is Verdict.NOT_SENT

    run(tmp_path, scenario)
    assert list(tmp_path.iterdir()) == []


def test_the_spool_is_the_witness(tmp_path: Path) -> None:
    """Reconciling, deleting and looking at an attempt tell whether its answer is there."""
    attempt = Attempt(ATTEMPT_ID, "job", "recording", "local", 1, AttemptState.AMBIGUOUS)

    async def scenario(provider: LocalProvider) -> None:
        assert (await provider.reconcile(attempt, at=AT)).verdict is Verdict.NOT_SENT
        await provider.submit(make_request(provider, "silence.flac"))
        found = await provider.reconcile(attempt, at=AT)
        assert (found.verdict, found.provider_job_id) == (Verdict.ACCEPTED, ATTEMPT_ID)
        assert await provider.delete(ATTEMPT_ID)
        assert (await provider.observe(ATTEMPT_ID)).phase is Phase.UNKNOWN_JOB
        with pytest.raises(JobUnknown):
            await provider.collect(ATTEMPT_ID)

    run(tmp_path, scenario)


def test_what_it_declares(tmp_path: Path) -> None:
    """It is free, takes the bytes directly, and works on as many as it has processes."""
    provider: Provider = LocalProvider(spool=tmp_path / "absent", process_count=3)
    assert provider.name == "local"
    assert provider.region is None
    assert provider.price(OPTIONS, 60_000) is None
    assert provider.capabilities.is_free
    assert provider.capabilities.deliveries == (AudioDelivery.DIRECT,)
    assert provider.capabilities.concurrency == 3
    assert not (tmp_path / "absent").exists()  # constructing does nothing
    body = make_request(provider, "silence.flac").body
    assert json.loads(body) == {"attempt_id": ATTEMPT_ID, "options": OPTIONS}


def test_no_name_leads_out_of_the_spool(tmp_path: Path) -> None:
    """An id that is a path is refused before any file is touched."""

    async def scenario(provider: LocalProvider) -> None:
        with pytest.raises(UnexpectedResponse, match="not an attempt id"):
            await provider.delete("../../etc/passwd")

    run(tmp_path, scenario)
