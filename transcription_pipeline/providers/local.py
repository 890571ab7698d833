"""The provider that costs nothing and needs no network: pocketsphinx in child processes.

What belongs here: the protocol of ``base.py`` over a spool directory, and the JSON shape of the
answer. What does not: recognising (``audio/``) and reading the answer (``normalise/local.py``).
``pipeline.py`` calls it like any other provider.

The spool plays the part of the provider's own books: an answer appears there whole, under the
attempt's id, or not at all. So submitting again finds the work done, and a killed submit leaves
nothing but a scrap that is swept later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from transcription_pipeline.audio.recognise import (
    LANGUAGE,
    RecogniserDied,
    RecogniserPool,
    Recognition,
)
from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import AudioError, JobUnknown, StorageError, VersionLost
from transcription_pipeline.provider_settings import LocalSettings
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Capabilities,
    Checkup,
    Cost,
    Observation,
    PaidRequest,
    Phase,
    Submission,
    Survey,
    Verdict,
)
from transcription_pipeline.providers.spool import Spool, write_durably

NAME = "local"
SECRETS: tuple[str, ...] = ()
LANGUAGES = frozenset({"auto", "en", "en_us"})
"""What ``language`` may be: the one model there is, by any of its names."""

OPTIONS = frozenset({"language", "diarize", "word_timestamps", "speakers_expected", "multichannel"})
"""Common options it honours. Words are always timed, and a channel is always a speaker."""


class LocalProvider:
    """One spool directory and the processes that fill it. Nothing starts before it is needed."""

    name = NAME
    region: str | None = None
    account: str | None = None

    def __init__(self, *, spool: Path, process_count: int | None = None) -> None:
        self._spool = Spool(spool, provider=NAME)
        self._pool = RecogniserPool(process_count)
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.DIRECT,),
            options=OPTIONS,
            is_free=True,
            concurrency=self._pool.process_count,
        )

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Return None: it is free."""
        del options, duration_ms, model
        return None

    async def upload(self, audio: Audio) -> Audio:
        """Return the audio unchanged: it is handed over inside this process."""
        return audio

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the request; it names the attempt, the audio travels beside it."""
        body = _to_canonical_json({"attempt_id": attempt_id, "options": dict(options)})
        return PaidRequest(attempt_id, body, audio, dict(options))

    async def wait_turn(self) -> None:
        """Return at once: the queue is that of the child processes."""

    async def submit(self, request: PaidRequest) -> Submission:
        """Recognise the recording and put the answer into the spool.

        Returns:
            ``ACCEPTED`` when the answer is durable. ``REJECTED`` when the audio or the options
            will never do. ``NOT_SENT`` for everything that another try may cure.

        Effects:
            Streams the audio once to a scrap file; one answer file.

        Safe to repeat:
            Yes: an answer that exists is not made again.
        """
        refused = _find_refused_option(request.options)
        if refused:
            return Submission(Verdict.REJECTED, cause="unsupported_option", detail=refused)
        answer = self._spool.path_of(request.attempt_id)
        accepted = Submission(Verdict.ACCEPTED, provider_job_id=request.attempt_id)
        if answer.exists():
            return accepted
        try:
            await self._recognise_into(answer, request.audio)
        except AudioError as error:
            return Submission(Verdict.REJECTED, cause=error.reason, detail=error.detail)
        except VersionLost as error:
            return Submission(Verdict.REJECTED, cause=error.reason)
        except (RecogniserDied, StorageError, OSError, MemoryError) as error:
            # Free, so "not sent" is true in the only sense that counts: it may be done again.
            return Submission(
                Verdict.NOT_SENT, cause="recogniser_unavailable", detail=type(error).__name__
            )
        return accepted

    async def observe(self, provider_job_id: str) -> Observation:
        """Look whether the answer is in the spool."""
        if self._spool.path_of(provider_job_id).exists():
            return Observation(provider_job_id, Phase.COMPLETED, "completed")
        return Observation(provider_job_id, Phase.UNKNOWN_JOB, "absent")

    async def survey(self, running: Collection[str]) -> Survey:
        """Return nothing: there is no list, a look at one job costs no more than one at many."""
        del running
        return Survey(seen={}, absent=frozenset())

    async def collect(self, provider_job_id: str) -> bytes:
        """Read the answer.

        Raises:
            JobUnknown: There is no such answer in the spool.
        """
        try:
            return await asyncio.to_thread(self._spool.path_of(provider_job_id).read_bytes)
        except FileNotFoundError as error:
            raise JobUnknown(
                "no such answer in the spool; submit again",
                provider=self.name,
                operation="collect",
                provider_job_id=provider_job_id,
            ) from error

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Find out what became of an attempt: the spool knows for certain."""
        del request, at  # the spool tells, whatever the time
        if self._spool.path_of(attempt.attempt_id).exists():
            return Submission(Verdict.ACCEPTED, provider_job_id=attempt.attempt_id)
        return Submission(Verdict.NOT_SENT)

    async def check(self) -> Checkup:
        """Say how many processes there would be; nothing is started for it."""
        return Checkup(f"ready, {self.capabilities.concurrency} processes")

    async def delete(self, provider_job_id: str) -> bool:
        """Remove the answer from the spool; true also when it was not there."""
        self._spool.path_of(provider_job_id).unlink(missing_ok=True)
        return True

    @property
    def request_count(self) -> int:
        """Return 0: nothing is asked of anybody."""
        return 0

    async def aclose(self) -> None:
        """End the child processes, after the recordings they have in work."""
        await asyncio.to_thread(self._pool.close)

    async def _recognise_into(self, answer: Path, audio: Audio) -> None:
        async with self._spool.borrow(answer.stem, audio) as scrap:
            recognition = await self._pool.recognise(scrap)
        await asyncio.to_thread(write_durably, answer, make_answer(recognition))


def make_answer(recognition: Recognition) -> bytes:
    """Write a recognition as the provider's raw answer; the same audio gives the same bytes."""
    return _to_canonical_json(
        {
            "engine": recognition.engine,
            "language": LANGUAGE,
            "duration_ms": recognition.duration_ms,
            "channel_count": len(recognition.channels),
            "channels": [
                {
                    "channel": channel.channel,
                    "turns": [
                        {
                            "start_ms": turn.start_ms,
                            "end_ms": turn.end_ms,
                            "text": turn.text,
                            "words": [word._asdict() for word in turn.words],
                        }
                        for turn in channel.turns
                    ],
                }
                for channel in recognition.channels
            ],
        }
    )


def _find_refused_option(options: Mapping[str, Any]) -> str | None:
    """Name the first option that cannot be honoured; configuration should have caught it."""
    for name, value in options.items():
        if name not in OPTIONS:
            return name
        if name == "language" and value not in LANGUAGES:
            return f"language {value}"
    return None


def _to_canonical_json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def open_provider(account: LocalSettings, secrets: Mapping[str, str]) -> LocalProvider:
    """Return the recogniser; its child processes start with the first recording."""
    del secrets
    return LocalProvider(spool=account.spool, process_count=account.processes)
