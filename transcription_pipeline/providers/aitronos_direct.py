"""Aitronos's audio transcription in its newer form: one POST with the file, answered with the words.

What belongs here: that one request, and the spool its answer is put into before it counts as taken.
What does not: the asynchronous form (``aitronos.py``, which opens this one where it is configured).
No page describes the form; field names are those of the vendor's package (aitronos-sdk 0.8.178,
module ``audio_services``, read 2026-11-21). It has neither an id nor a price in its answer, so a
job's id is its attempt's, the spool plays the part of the provider's books, and what was sent and is
not there is left to a person: it may have been charged. Whether and when it is, how large a file may
be and how word times are written is in neither page nor package.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import (
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    StorageError,
    VersionLost,
)
from transcription_pipeline.providers.aitronos_answers import NAME, Transcript, judge_refusal
from transcription_pipeline.providers.aitronos_books import Books
from transcription_pipeline.providers.aitronos_form import make_form
from transcription_pipeline.providers.aitronos_options import (
    DIRECT_OPTIONS,
    find_direct_problems,
    make_direct_fields,
    price_job,
)
from transcription_pipeline.providers.answers import Response, redact
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
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.spool import Spool, write_durably
from transcription_pipeline.providers.transport import Patience

ANSWER_S = 600.0
"""How long words are waited for. The vendor's package gives up after 60 s, but who gives up may have
paid."""
_PIECE_BYTES = 256 * 1024
_decode = msgspec.json.Decoder(Transcript).decode


class AitronosDirectProvider:
    """One organization at Aitronos, and the folder of its answers."""

    name = NAME

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        base_url: str,
        spool: Path,
        requests_per_s: float = 1.6,
        concurrency: int = 100,
        price_per_hour_micros: int | None = None,
        answer_s: float = ANSWER_S,
        patience: Patience | None = None,
    ) -> None:
        self.region: str | None = None
        self.account: str | None = None
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.DIRECT,), options=DIRECT_OPTIONS, concurrency=concurrency
        )
        self._price_per_hour_micros = price_per_hour_micros
        self._spool = Spool(spool, provider=NAME)
        patience = replace(patience or Patience(), read_s=answer_s, deadline_s=answer_s)
        self._http = ProviderHttp(
            provider=NAME,
            base_url=base_url,
            headers=headers,
            requests_per_s=requests_per_s,
            patience=patience,
        )

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price in synapses as the other form; what this one costs is not documented."""
        del options, model
        return price_job(duration_ms, self._price_per_hour_micros)

    async def upload(self, audio: Audio) -> Audio:
        """Return the audio unchanged: it is part of the paid request."""
        return audio

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the fields of the form; the file goes beside them."""
        body = msgspec.json.encode(make_direct_fields(options))
        return PaidRequest(attempt_id, body, audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit."""
        await self._http.wait_turn()

    async def submit(self, request: PaidRequest) -> Submission:
        """POST the file once, and accept the words once they are durable in the spool.

        The audio is whole on this machine before the first byte is sent, so that a bucket's trouble
        is no doubt about money.
        """
        problems = find_direct_problems(request.options)
        if problems:
            detail = redact("; ".join(problems))
            return Submission(Verdict.REJECTED, cause="option_not_supported", detail=detail)
        if self._spool.path_of(request.attempt_id).exists():
            return Submission(Verdict.ACCEPTED, request.attempt_id, cause="found_in_spool")
        answer: Response | None = None
        try:
            async with self._spool.borrow(request.attempt_id, request.audio) as file:
                answer = await self._post(request, file)
        except VersionLost as error:
            return Submission(Verdict.REJECTED, cause=error.reason)
        except (StorageError, OSError) as error:
            if answer is None:  # and not a scrap file that could not be removed afterwards
                detail = type(error).__name__
                return Submission(Verdict.NOT_SENT, cause="audio_not_readable", detail=detail)
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        if not 200 <= answer.status < 300:
            return judge_refusal(answer)
        return await self._keep(request.attempt_id, answer)

    async def observe(self, provider_job_id: str) -> Observation:
        """Look whether the answer is in the spool."""
        if self._spool.path_of(provider_job_id).exists():
            return Observation(provider_job_id, Phase.COMPLETED, "completed")
        return Observation(provider_job_id, Phase.UNKNOWN_JOB, "absent")

    async def survey(self, running: Collection[str]) -> Survey:
        """See nothing: there is no list of such jobs, and a look costs nothing."""
        del running
        return Survey({}, frozenset())

    async def collect(self, provider_job_id: str) -> bytes:
        """Read the answer as it was received."""
        try:
            return await asyncio.to_thread(self._spool.path_of(provider_job_id).read_bytes)
        except FileNotFoundError:
            raise JobUnknown(
                "no such answer in the spool",
                provider=NAME,
                operation="collect",
                provider_job_id=provider_job_id,
            ) from None

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Look into the spool: what is not there may have been charged, and nobody can be asked."""
        del request
        if self._spool.path_of(attempt.attempt_id).exists():
            return Submission(Verdict.ACCEPTED, attempt.attempt_id, cause="found_in_spool")
        detail = f"sent {attempt.sent_at or at:%Y-%m-%d %H:%M:%S} UTC and no answer kept; look in "
        detail += "the organization's synapse transactions of that minute"
        if self._spool.path_of(attempt.attempt_id, ".odd").exists():
            detail += ", and at what was answered instead, in the spool"
        cause = "maybe_charged_check_synapse_transactions"
        return Submission(Verdict.CANNOT_KNOW, cause=cause, detail=detail)

    async def check(self) -> Checkup:
        """Ask for the newest transcription of the other form; this one has no free call."""
        await Books(self._http).list_page(1, 0)
        return Checkup("the key is accepted, the list answers")

    async def delete(self, provider_job_id: str) -> bool:
        """Remove the answer from the spool; what the provider keeps of it has no name to delete."""
        self._spool.path_of(provider_job_id).unlink(missing_ok=True)
        return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return self._http.request_count

    async def _post(self, request: PaidRequest, file: Path) -> Response:
        fields = make_direct_fields(request.options)
        form = make_form(request.audio, "audio_file", request.attempt_id, _read(file), fields)
        return await self._http.send_paid(
            "submit",
            "/v1/audio/transcribe",
            form.chunks,
            form.headers,
            size_bytes=form.size_bytes,
        )

    async def _keep(self, attempt_id: str, answer: Response) -> Submission:
        """Put a 2xx into the spool, under another name where it is no transcript."""
        told = Submission(Verdict.ACCEPTED, attempt_id)
        path = self._spool.path_of(attempt_id)
        try:
            _decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = Submission(Verdict.AMBIGUOUS, cause="accepted_without_transcript")
            path = self._spool.path_of(attempt_id, ".odd")
        try:
            await asyncio.to_thread(write_durably, path, answer.body)
        except OSError as error:
            detail = type(error).__name__
            return Submission(Verdict.AMBIGUOUS, cause="answer_not_kept", detail=detail)
        return told


async def _read(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as content:
        while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
            yield piece
