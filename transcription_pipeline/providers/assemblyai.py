"""AssemblyAI's pre-recorded speech-to-text over its v2 API.

What belongs here: paths, bodies and the meaning of its answers. What does not: transport
(``http.py``) and reading transcripts (``normalise/assemblyai.py``). Wire rules are from AssemblyAI's
API reference and guides as published in November 2026, unless a comment names another source; no
live call was ever made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import (
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.provider_settings import AssemblyAISettings
from transcription_pipeline.providers.answers import redact
from transcription_pipeline.providers.assemblyai_answers import (
    JOB_ID,
    UNKNOWN_ID,
    decode_status,
    judge,
    judge_absence,
    make_observation,
)
from transcription_pipeline.providers.assemblyai_list import JobList
from transcription_pipeline.providers.assemblyai_options import (
    OPTIONS,
    find_problems,
    make_fields,
    price_job,
)
from transcription_pipeline.providers.assemblyai_redacted import KIND, LOOK_S, RedactedAudio
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Capabilities,
    Checkup,
    Cost,
    Observation,
    PaidRequest,
    Phase,
    SideFile,
    Submission,
    Survey,
    Verdict,
    name_account,
)
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.providers.webhooks import SECRET_HEADER

__all__ = ["NAME", "OPTIONS", "SECRETS", "AssemblyAIProvider", "find_problems", "open_provider"]

NAME = "assemblyai"
SECRETS = ("assemblyai_api_key",)
OPTIONAL_SECRETS = ("transcription_webhook_secret",)
# Transcripts, uploads and the list are per region (docs: select the region).
BASE_URLS = {"us": "https://api.assemblyai.com", "eu": "https://api.eu.assemblyai.com"}
SETTLE = timedelta(minutes=15)
"""The list is eventually consistent; how late a new row may appear is not documented."""
UPLOAD_RETENTION = timedelta(hours=72)
"""An uploaded file may be fetched for as long as it is kept (docs: data retention, longest case)."""


class AssemblyAIProvider:
    """One AssemblyAI project in one region."""

    name = NAME

    def __init__(
        self,
        *,
        api_key: str,
        region: str = "us",
        base_url: str = "",
        delivery: AudioDelivery = AudioDelivery.URL,
        requests_per_s: float = 66.0,
        concurrency: int = 200,
        price_per_hour_micros: int | None = None,
        settle_s: float = SETTLE.total_seconds(),
        redacted_audio_wait_s: float = 120.0,
        redacted_audio_look_s: float = LOOK_S,
        webhook_secret: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.region: str | None = region
        self.account: str | None = name_account(api_key)
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.UPLOAD,)
            if delivery is AudioDelivery.UPLOAD
            else (AudioDelivery.URL, AudioDelivery.UPLOAD),
            options=frozenset(OPTIONS),
            min_duration_ms=160,
            max_duration_ms=10 * 3600 * 1000,
            max_size_bytes=5_000_000_000 if delivery is AudioDelivery.URL else 2_200_000_000,
            has_list=True,
            concurrency=concurrency,
        )
        self._price_per_hour_micros = price_per_hour_micros
        self._settle = timedelta(seconds=settle_s)
        self._webhook_secret = webhook_secret
        self._http = ProviderHttp(
            provider=NAME,
            base_url=base_url or BASE_URLS[region],
            headers={"Authorization": api_key},  # the raw key, no "Bearer"
            requests_per_s=requests_per_s,
            patience=patience,
        )
        self._jobs = JobList(self._http)
        wait_s, look_s = redacted_audio_wait_s, redacted_audio_look_s
        self._redacted_audio = RedactedAudio(self._http, wait_s=wait_s, look_s=look_s)

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price by the public list: per second of audio, silence included, failed jobs free."""
        return price_job(options, duration_ms, model, self._price_per_hour_micros)

    async def upload(self, audio: Audio) -> Audio:
        """Stream the bytes to AssemblyAI where there is no URL to hand over."""
        if audio.url is not None:
            return audio
        answer = await self._http.stream(
            "upload",
            "POST",
            "/v2/upload",
            audio.open_stream(),
            size_bytes=audio.size_bytes,
            headers={"Content-Type": "application/octet-stream"},
        )
        value = answer.json(NAME, "upload")
        url = value.get("upload_url") if isinstance(value, dict) else None
        if not isinstance(url, str) or not url.startswith("http"):
            raise UnexpectedResponse("no upload_url", provider=NAME, operation="upload")
        return replace(audio, url=url)

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the body of ``POST /v2/transcript``."""
        fields = {"audio_url": audio.url, **make_fields(options)}
        if options.get("webhook") and self._webhook_secret:
            fields["webhook_auth_header_name"] = SECRET_HEADER
            fields["webhook_auth_header_value"] = self._webhook_secret
        return PaidRequest(attempt_id, msgspec.json.encode(fields), audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit."""
        await self._http.wait_turn()

    async def submit(self, request: PaidRequest) -> Submission:
        """POST once; what is known to be refused is refused here, before anything is sent.

        There is no idempotency key: whatever is unclear stays unclear (ambiguous).
        """
        problems = find_problems(request.options)
        if problems:
            detail = redact("; ".join(problems))
            return Submission(Verdict.REJECTED, cause="option_not_supported", detail=detail)
        try:
            answer = await self._http.send_paid(
                "submit", "/v2/transcript", request.body, {"Content-Type": "application/json"}
            )
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        return judge(answer)

    async def observe(self, provider_job_id: str) -> Observation:
        """GET the transcript; a completed one brings its raw answer along."""
        _check_job_id(provider_job_id, "observe")
        try:
            answer = await self._http.send(
                "observe",
                "GET",
                f"/v2/transcript/{provider_job_id}",
                provider_job_id=provider_job_id,
            )
        except RequestRejected as error:
            if UNKNOWN_ID in str(error):
                return Observation(provider_job_id, Phase.UNKNOWN_JOB, "unknown id")
            raise
        try:
            status = decode_status(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnexpectedResponse(
                "not a transcript",
                provider=NAME,
                operation="observe",
                provider_job_id=provider_job_id,
                status_code=answer.status,
            ) from None
        if status.id != provider_job_id:
            raise UnexpectedResponse(
                "another job's answer",
                provider=NAME,
                operation="observe",
                provider_job_id=provider_job_id,
            )
        return make_observation(status, answer.body)

    async def survey(self, running: Collection[str]) -> Survey:
        """List the jobs in work, and now and then the newest ones."""
        return await self._jobs.survey(running)

    async def collect(self, provider_job_id: str) -> bytes:
        """GET the transcript once more, for its bytes."""
        observation = await self.observe(provider_job_id)
        if observation.phase is Phase.UNKNOWN_JOB:
            raise JobUnknown(
                "gone", provider=NAME, operation="collect", provider_job_id=provider_job_id
            )
        if observation.phase is not Phase.COMPLETED or observation.body is None:
            raise UnexpectedResponse(
                f"listed as completed, but {observation.status}",
                provider=NAME,
                operation="collect",
                provider_job_id=provider_job_id,
            )
        return observation.body

    def has_files(self, options: Mapping[str, Any]) -> bool:
        """Say whether redacted audio was asked for."""
        return bool(make_fields(options).get("redact_pii_audio"))

    async def fetch_files(
        self, provider_job_id: str, options: Mapping[str, Any], folder: Path
    ) -> list[SideFile]:
        """Bring the redacted audio; it comes a while after its transcript."""
        _check_job_id(provider_job_id, KIND)
        quality = make_fields(options).get("redact_pii_audio_quality", "mp3")
        return [await self._redacted_audio.fetch(provider_job_id, folder / f"{KIND}.{quality}")]

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Look for the attempt in the list, by the token or the hash of its audio URL.

        A signed URL is also a fence: a job that has not fetched its audio when the URL dies never
        will, and failed jobs are not billed. So after the URL's death, a time for the list to
        settle, and a list without the attempt, it is proved dead. Each region has its own list.
        Where the list does not reach so far back, or has a job of that time that may be anybody's,
        nobody knows.
        """
        del request  # there is no idempotency key to replay it with
        if attempt.region not in (None, self.region):
            detail = f"sent in region {attempt.region}, whose list is not this one's"
            return Submission(Verdict.CANNOT_KNOW, cause="sent_in_another_region", detail=detail)
        sent_at = attempt.sent_at or at
        dead_at = (attempt.url_expires_at or sent_at + UPLOAD_RETENTION) + self._settle
        listed = await self._jobs.look_back(attempt, at=at, dead_at=dead_at)
        found = listed.find(attempt)
        if found is not None:
            return Submission(Verdict.ACCEPTED, found, cause="found_in_list")
        if at >= dead_at and attempt.account not in (None, self.account):
            detail = "each project has a list of its own"
            return Submission(Verdict.CANNOT_KNOW, cause="sent_with_another_key", detail=detail)
        if at >= dead_at:
            return judge_absence(attempt, at, listed.count_nameless(attempt, dead_at))
        elapsed_s = (at - sent_at).total_seconds()
        wait_s = min(300.0, max(30.0, elapsed_s / 2))
        return Submission(Verdict.AMBIGUOUS, cause="not_listed_yet", retry_after_s=wait_s)

    async def check(self) -> Checkup:
        """Ask for the newest job; no call tells what the account may still spend."""
        await self._jobs.read({"limit": "1"})
        return Checkup(f"the key is accepted in region {self.region}, the list answers")

    async def delete(self, provider_job_id: str) -> bool:
        """DELETE the transcript and its uploaded file; True when a tombstone came back."""
        _check_job_id(provider_job_id, "delete")
        answer = await self._http.send(
            "delete", "DELETE", f"/v2/transcript/{provider_job_id}", provider_job_id=provider_job_id
        )
        return b"deleted_by_user" in answer.body

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return self._http.request_count


def open_provider(account: AssemblyAISettings, secrets: Mapping[str, str]) -> AssemblyAIProvider:
    """Return a client of the configured account; nothing is contacted yet."""
    price = account.price_per_hour
    return AssemblyAIProvider(
        api_key=secrets["assemblyai_api_key"],
        region=account.region,
        base_url=account.base_url,
        delivery=AudioDelivery(account.delivery),
        requests_per_s=account.requests_per_s,
        concurrency=account.concurrency,
        price_per_hour_micros=price.micros if price else None,
        settle_s=account.settle_s,
        redacted_audio_wait_s=account.redacted_audio_wait_s,
        webhook_secret=secrets.get("transcription_webhook_secret"),
    )


def _check_job_id(provider_job_id: str, operation: str) -> None:
    if not JOB_ID.fullmatch(provider_job_id):
        raise UnexpectedResponse("odd job id", provider=NAME, operation=operation)
