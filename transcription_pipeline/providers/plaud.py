"""Plaud's transcription (Plaud Embedded, Partner API), as a provider of this pipeline.

What belongs here: what each step of a job asks of Plaud, and under which credentials. What does not:
tokens (``plaud_tokens.py``), the multipart upload (``plaud_uploads.py``), what answers mean
(``plaud_answers.py``), options and prices (``plaud_options.py``). Wire rules are from docs.plaud.ai
(Transcription API, Partner API, How Plaud Embedded works), read 2026-11-21, unless a comment names
another source; no live call was ever made. Of the four contracts that share these paths this is the
newest: ``X-Client-Id`` and ``X-Client-Api-Key``, statuses in capitals.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import (
    AudioError,
    ConfigurationError,
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.provider_settings import PlaudModel, PlaudSettings
from transcription_pipeline.providers.answers import redact
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
from transcription_pipeline.providers.plaud_answers import (
    JOB_ID,
    NAME,
    Job,
    Uploaded,
    judge,
    judge_refused_upload,
    observe_job,
    read,
)
from transcription_pipeline.providers.plaud_options import (
    MAX_DIARIZED_MS,
    MAX_DURATION_MS,
    OPTIONS,
    find_problems,
    make_params,
    price_job,
)
from transcription_pipeline.providers.plaud_tokens import Tokens
from transcription_pipeline.providers.plaud_uploads import Uploads
from transcription_pipeline.providers.transport import Patience

__all__ = ["NAME", "OPTIONS", "SECRETS", "PlaudProvider", "find_problems", "open_provider"]

SECRETS = ("plaud_client_id", "plaud_secret_key", "plaud_api_key", "plaud_user_id")
TOKENS_PER_S = 10 / 60
"""10 partner tokens per minute and client, by an older page of docs.plaud.ai."""
REUSE_S = 3600.0
"""An upload serves an attempt that is sent again for so long: its address lives about 24 hours, and
when Plaud fetches it is not documented."""
_JOBS = "/open/partner/ai/transcriptions"
_JSON = {"Content-Type": "application/json"}


class PlaudProvider:
    """One client of Plaud Embedded, uploading as one user."""

    name = NAME

    def __init__(
        self,
        *,
        client_id: str,
        secret_key: str,
        api_key: str,
        user_id: str,
        region: str = "us",
        base_url: str = "",
        model: PlaudModel = "plaud-fast-whisper",
        requests_per_s: float = 1.0,
        tokens_per_s: float = TOKENS_PER_S,
        concurrency: int = 20,
        price_per_hour_micros: int | None = None,
        deadline_s: float = 6 * 3600,
        user_token_s: int = 86_400,
        patience: Patience | None = None,
    ) -> None:
        self.region: str | None = region
        self.account: str | None = None
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.UPLOAD,),
            options=OPTIONS,
            max_duration_ms=MAX_DURATION_MS,
            concurrency=concurrency,
            deadline_s=deadline_s,
        )
        self._model = model
        self._price_per_hour_micros = price_per_hour_micros
        # Each kind of credential has a door of its own, so that none is sent where it is not meant.
        basic = b64encode(f"{client_id}:{secret_key}".encode()).decode()
        host = (base_url or f"https://platform-{region}.plaud.ai").rstrip("/")
        partner_door, user_door, self._jobs = self._doors = [
            ProviderHttp(
                provider=NAME,
                base_url=f"{host}/developer/api",
                headers=headers,
                requests_per_s=rate,
                patience=patience,
            )
            for headers, rate in (
                ({"Authorization": f"Basic {basic}"}, tokens_per_s),
                ({}, requests_per_s),
                ({"X-Client-Id": client_id, "X-Client-Api-Key": api_key}, requests_per_s),
            )
        ]
        self._tokens = Tokens(
            partner_door=partner_door,
            user_door=user_door,
            user_id=user_id,
            life_s=user_token_s,
        )
        self._uploads = Uploads(user_door, self._tokens)
        self._uploaded: dict[str, tuple[float, Uploaded]] = {}

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price by the public list: one price for every model."""
        del options, model
        return price_job(duration_ms, self._price_per_hour_micros)

    async def upload(self, audio: Audio) -> Audio:
        """Hand the bytes over, as mp3 where their format is not taken.

        What can never be handed over comes back with its ``refusal``, and ``submit`` sends nothing.
        """
        now = asyncio.get_running_loop().time()
        fresh_until, uploaded = self._uploaded.get(audio.recording_id, (0.0, None))
        if uploaded is None or now >= fresh_until:
            try:
                uploaded = await self._uploads.hand_over(audio)
            except AudioError as error:
                detail = redact(error.detail)
                refusal = Submission(Verdict.REJECTED, cause=error.reason, detail=detail)
                return replace(audio, refusal=refusal)
            except RequestRejected as error:
                return replace(audio, refusal=judge_refused_upload(error))
            self._uploaded[audio.recording_id] = now + REUSE_S, uploaded
        return replace(audio, url=uploaded.download_url, upload_id=uploaded.file_id)

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the body of the submit. Its URL is Plaud's own: others are said to be answered 500."""
        # With options that are none it is not sent.
        params = {} if find_problems(options) else make_params(options, model=self._model)
        body = msgspec.json.encode({"file_url": audio.url, "params": params})
        return PaidRequest(attempt_id, body, audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit, which looks share."""
        await self._jobs.wait_turn()

    async def submit(self, request: PaidRequest) -> Submission:
        """POST once; what is known to be refused is refused here, before anything is sent."""
        told = _find_refusal(request) or await self._send(request)
        if told.verdict is not Verdict.NOT_SENT:
            self._uploaded.pop(request.audio.recording_id, None)
        if told.verdict is Verdict.AMBIGUOUS:
            # All there is to name the job by, should Plaud be asked.
            told = replace(told, detail=redact(f"file {request.audio.upload_id}: {told.detail}"))
        return told

    async def observe(self, provider_job_id: str) -> Observation:
        """GET the job; a finished one brings its answer along.

        An id that Plaud does not know may look pending for ever instead of being answered 404; then
        the deadline ends it.
        """
        if not JOB_ID.fullmatch(provider_job_id):
            raise UnexpectedResponse("odd job id", provider=NAME, operation="observe")
        path = f"{_JOBS}/{provider_job_id}"  # without the slash that the submit has
        try:
            answer = await self._jobs.send("observe", "GET", path, provider_job_id=provider_job_id)
        except RequestRejected as error:
            if error.status_code == 404:
                return Observation(provider_job_id, Phase.UNKNOWN_JOB, "unknown id")
            raise
        job = read(answer, Job, "observe", provider_job_id)
        if job.transcription_id != provider_job_id:
            raise UnexpectedResponse("another job's answer", provider=NAME, operation="observe")
        return observe_job(job, answer.body)

    async def survey(self, running: Collection[str]) -> Survey:
        """See nothing: there is no list."""
        del running
        return Survey({}, frozenset())

    async def collect(self, provider_job_id: str) -> bytes:
        """GET the job once more, for its bytes."""
        seen = await self.observe(provider_job_id)
        named: dict[str, Any] = {"provider": NAME, "operation": "collect"}
        named["provider_job_id"] = provider_job_id
        if seen.phase is Phase.UNKNOWN_JOB:
            raise JobUnknown("gone", **named)
        if seen.body is None:
            raise UnexpectedResponse(f"seen as finished, but {seen.status}", **named)
        return seen.body

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Say that nobody can know: there is neither a list nor a key nor a mark to find a job by."""
        del request
        sent_at = attempt.sent_at or at
        return Submission(
            Verdict.CANNOT_KNOW,
            cause="maybe_charged_ask_plaud",
            detail=f"sent {sent_at:%Y-%m-%d %H:%M:%S} UTC, and no request can ask; compare the hours "
            "that Plaud's portal bills for that day, or ask Plaud for the jobs of that minute",
        )

    async def check(self) -> Checkup:
        """Mint the tokens, and look with the key at a job that there is not."""
        await self._tokens.user.get()
        await self.observe("none")
        return Checkup(f"credentials, user and key are accepted in region {self.region}")

    async def delete(self, provider_job_id: str) -> bool:
        """Delete nothing: there is no such request. Plaud keeps answers for 7 days by default."""
        del provider_job_id
        return False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._tokens.aclose()
        for door in self._doors:
            await door.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return sum(door.request_count for door in self._doors)

    async def _send(self, request: PaidRequest) -> Submission:
        try:
            # With the slash: a redirect would be followed by nobody. 200, not 201, is "accepted".
            answer = await self._jobs.send_paid("submit", f"{_JOBS}/", request.body, _JSON)
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        return judge(answer)


def open_provider(account: PlaudSettings, secrets: Mapping[str, str]) -> PlaudProvider:
    """Return a client of the configured account; nothing is contacted yet."""
    if not 6 <= len(secrets["plaud_user_id"]) <= 120:
        raise ConfigurationError("PLAUD_USER_ID must have 6 to 120 characters")
    price = account.price_per_hour
    return PlaudProvider(
        client_id=secrets["plaud_client_id"],
        secret_key=secrets["plaud_secret_key"],
        api_key=secrets["plaud_api_key"],
        user_id=secrets["plaud_user_id"],
        region=account.region,
        base_url=account.base_url,
        model=account.model,
        requests_per_s=account.requests_per_s,
        concurrency=account.concurrency,
        price_per_hour_micros=price.micros if price else None,
        deadline_s=account.deadline_s,
        user_token_s=account.user_token_s,
    )


def _find_refusal(request: PaidRequest) -> Submission | None:
    """Say why a request must not be sent; None when it may."""
    audio = request.audio
    if audio.refusal:
        return audio.refusal
    problems = find_problems(request.options)
    if problems:
        detail = redact("; ".join(problems))
        return Submission(Verdict.REJECTED, cause="option_not_supported", detail=detail)
    if request.options.get("diarize") and (audio.duration_ms or 0) > MAX_DIARIZED_MS:
        detail = f"{audio.duration_ms} ms of audio; with diarize it takes {MAX_DIARIZED_MS}"
        return Submission(Verdict.REJECTED, cause=QuarantineReason.TOO_LONG, detail=detail)
    return None
