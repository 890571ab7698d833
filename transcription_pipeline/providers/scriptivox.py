"""Scriptivox's transcription over its v1 API.

What belongs here: paths and bodies. What does not: what answers mean (``scriptivox_answers.py``),
options and prices (``scriptivox_options.py``), transport (``http.py``). Wire rules are from the
vendor's API reference as kept in its own MCP server (src/data/api-docs.ts, src/tools), read
2026-11-21, unless a comment names another source; no live call was ever made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import (
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Capabilities,
    Cost,
    Observation,
    PaidRequest,
    Phase,
    Submission,
    Survey,
    Verdict,
)
from transcription_pipeline.providers.http import Patience, ProviderHttp, Response, redact
from transcription_pipeline.providers.scriptivox_answers import (
    BROKEN,
    JOB_ID,
    Job,
    JobPage,
    judge,
    judge_replay,
    observe_job,
)
from transcription_pipeline.providers.scriptivox_options import (
    MAX_URL_CHARS,
    OPTIONS,
    find_extension,
    find_problems,
    make_fields,
    price_job,
)
from transcription_pipeline.settings import ScriptivoxSettings

__all__ = ["NAME", "OPTIONS", "SECRETS", "ScriptivoxProvider", "find_problems", "open_provider"]

NAME = "scriptivox"
SECRETS = ("scriptivox_api_key",)
BASE_URL = "https://api.scriptivox.com"
LIST_LIMIT = 200
SURVEY_PAGES = 3
"""Older jobs than these show are looked at one by one."""
REPLAY_WINDOW = timedelta(hours=23, minutes=50)
"""How long keys are remembered is not documented; 24 hours is what such keys live at least
elsewhere (docs.stripe.com/api/idempotent_requests, read 2026-11-21), less the time of a request."""
SKEW = timedelta(minutes=10)
"""How far the provider's clock and the time of one request may lie apart from ours."""
RARE_PER_S = 0.5
"""Cancel and delete: 30 per minute and key."""
JSON = {"Content-Type": "application/json"}  # anything else is answered 415
CAPTION_WORDS = 14
"""The provider's default is 4 words a caption."""


class Balance(msgspec.Struct, frozen=True):
    """The account's credit in US cents, exact to the fractions the provider gives."""

    balance_cents: Decimal
    reserved_cents: Decimal
    available_cents: Decimal


class _Upload(msgspec.Struct, gc=False):
    upload_id: str
    upload_url: str = ""
    method: str = "PUT"
    headers: dict[str, str] = {}


class _Cancelled(msgspec.Struct, gc=False):
    released_cents: Decimal = Decimal(0)


class ScriptivoxProvider:
    """One Scriptivox account."""

    name = NAME

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        delivery: AudioDelivery = AudioDelivery.URL,
        submits_per_s: float = 1.0,
        looks_per_s: float = 3.0,
        lists_per_s: float = 1.0,
        concurrency: int = 200,
        price_per_hour_micros: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.region: str | None = None
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.UPLOAD,)
            if delivery is AudioDelivery.UPLOAD
            else (AudioDelivery.URL, AudioDelivery.UPLOAD),
            options=OPTIONS,
            # 1 s to 10 h, 5 GB; whether thousands or 1,024s are meant is not documented.
            min_duration_ms=1_000,
            max_duration_ms=10 * 3600 * 1000,
            max_size_bytes=5_000_000_000,
            has_list=True,
            concurrency=concurrency,
            keeps_request=True,
            # Its own watchdogs end a job after 30 + 15 + 45 minutes.
            deadline_s=2 * 3600,
        )
        self._price_per_hour_micros = price_per_hour_micros
        rates = (submits_per_s, submits_per_s, looks_per_s, lists_per_s, RARE_PER_S)
        # Each endpoint has a limit of its own, so each has a door of its own.
        self._submits, self._uploads, self._looks, self._lists, self._rare = self._doors = [
            ProviderHttp(
                provider=NAME,
                base_url=base_url or BASE_URL,
                headers={"Authorization": api_key},  # the raw key; "Bearer" is accepted too
                requests_per_s=rate,
                patience=patience,
            )
            for rate in rates
        ]

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price by the public list: one price for everything, failed jobs free."""
        del options, model
        return price_job(duration_ms, self._price_per_hour_micros)

    async def upload(self, audio: Audio) -> Audio:
        """Hand the bytes over where there is no URL, or one that is longer than they take."""
        extension = find_extension(audio)
        has_url = audio.url is not None and len(audio.url) <= MAX_URL_CHARS
        if has_url or extension is None:
            return audio  # a format they do not take is refused by ``submit``
        # Asked and handed over again the address may be a new one: only the last id is used.
        filename = f"{audio.recording_id}.{extension}"
        asked = await self._uploads.send(
            "upload", "POST", "/v1/upload", body=msgspec.json.encode({"filename": filename}), headers=JSON
        )
        place = _decode(asked, _Upload, "upload")
        if not JOB_ID.fullmatch(place.upload_id) or place.method != "PUT":
            raise UnexpectedResponse("odd upload id or method", provider=NAME, operation="upload")
        # The URL is signed for exactly this Content-Type, and for no key of ours.
        pinned = {k: v for k, v in place.headers.items() if k.lower() == "content-type"}
        await self._uploads.stream_elsewhere(
            "upload",
            "PUT",
            place.upload_url,
            audio.open_stream(),
            size_bytes=audio.size_bytes,
            headers=pinned,
        )
        return replace(audio, url=None, upload_id=place.upload_id)

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the body of ``POST /v1/transcribe``."""
        source = {"upload_id": audio.upload_id} if audio.upload_id else {"url": audio.url}
        body = msgspec.json.encode({**source, **make_fields(options)})
        return PaidRequest(attempt_id, body, audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit."""
        await self._submits.wait_turn()

    async def submit(self, request: PaidRequest) -> Submission:
        """POST once; what is known to be refused is refused here, before anything is sent."""
        problems = find_problems(request.options)
        if problems:
            detail = redact("; ".join(problems))
            return Submission(Verdict.REJECTED, cause="option_not_supported", detail=detail)
        audio = request.audio
        has_source = audio.url is not None or audio.upload_id is not None
        if not has_source or (audio.facts and find_extension(audio) is None):
            container = audio.facts.container if audio.facts else "unknown"
            detail = redact(f"container {container} is none of its formats")
            return Submission(Verdict.REJECTED, cause="format_not_supported", detail=detail)
        return await self._post(request.attempt_id, request.body)

    async def observe(self, provider_job_id: str) -> Observation:
        """GET the job; a completed one brings its raw answer along."""
        try:
            answer = await self._look(provider_job_id, "observe")
        except RequestRejected as error:
            if _is_unknown(error):
                return Observation(provider_job_id, Phase.UNKNOWN_JOB, "unknown id")
            raise
        job = _decode(answer, Job, "observe", provider_job_id)
        if job.id != provider_job_id:
            raise UnexpectedResponse(
                "another job's answer",
                provider=NAME,
                operation="observe",
                provider_job_id=provider_job_id,
            )
        return observe_job(job, answer.body)

    async def survey(self, running: Collection[str]) -> Survey:
        """List the newest jobs. Failed ones carry no reason there, so they get a look each."""
        seen: dict[str, Observation] = {}
        failed: set[str] = set()
        cursor: str | None = None
        for _ in range(SURVEY_PAGES):
            page = await self._list({"cursor": cursor} if cursor else {})
            for job in page.items:
                if job.id in running and job.status == "failed":
                    failed.add(job.id)
                elif job.id in running:
                    seen[job.id] = observe_job(job, None)
            cursor = page.next_cursor if page.has_more else None
            if cursor is None or len(seen) + len(failed) >= len(running):
                break
        return Survey(seen, frozenset(failed))

    async def collect(self, provider_job_id: str) -> bytes:
        """GET the job once more, for its bytes."""
        observation = await self.observe(provider_job_id)
        named: dict[str, Any] = {"provider": NAME, "operation": "collect"}
        named["provider_job_id"] = provider_job_id
        if observation.phase is Phase.UNKNOWN_JOB:
            raise JobUnknown("gone", **named)
        if observation.phase is not Phase.COMPLETED or observation.body is None:
            raise UnexpectedResponse(f"listed as completed, but {observation.status}", **named)
        return observation.body

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Send the same bytes under the same key once more: that is what the key is for.

        Within the key's life the answer is the first one's, or the job is made now, once. Later, or
        without the bytes, sending could pay twice and the list shows no mark of ours, so a person
        has to tell; the jobs of those minutes are named as evidence.
        """
        sent_at = attempt.sent_at or at
        if request is None:
            told = Submission(Verdict.CANNOT_KNOW, cause="request_not_kept")
        elif at - sent_at >= REPLAY_WINDOW:
            told = Submission(Verdict.CANNOT_KNOW, cause="too_late_to_replay")
        else:
            await self._submits.wait_turn()
            told = judge_replay(await self._post(attempt.attempt_id, request))
        if told.verdict is Verdict.CANNOT_KNOW:
            parts = (told.detail, await self._describe_jobs_around(sent_at))
            told = replace(told, detail="; ".join(part for part in parts if part))
        return told

    async def delete(self, provider_job_id: str) -> bool:
        """DELETE the job; True when confirmed, False while it is in work (cancel first) or unknown."""
        _check_job_id(provider_job_id, "delete")
        try:
            answer = await self._rare.send(
                "delete", "DELETE", f"/v1/transcribe/{provider_job_id}"
            )
        except RequestRejected as error:
            if error.status_code == 409 or _is_unknown(error):
                return False
            raise
        return answer.status == 204  # without a body

    async def cancel(self, provider_job_id: str) -> Cost | None:
        """Stop a job and return the reservation that was released; None when it was over already."""
        _check_job_id(provider_job_id, "cancel")
        try:
            answer = await self._rare.send(
                "cancel", "POST", f"/v1/transcribe/{provider_job_id}/cancel"
            )
        except RequestRejected as error:
            if error.status_code == 409:
                return None
            raise
        released = _decode(answer, _Cancelled, "cancel", provider_job_id).released_cents
        return Cost(_to_micros(released), "USD", 0)

    async def balance(self) -> Balance:
        """Ask for the account's credit."""
        answer = await self._lists.send("balance", "GET", "/v1/balance")
        return _decode(answer, Balance, "balance")

    async def export(
        self,
        provider_job_id: str,
        kind: Literal["srt", "vtt", "text"],
        *,
        max_words: int = CAPTION_WORDS,
        max_chars: int = 80,
    ) -> str:
        """Fetch a completed job as subtitles or text, as the provider cuts them."""
        answer = await self._look(
            provider_job_id,
            "export",
            {"format": kind, "max_words": str(max_words), "max_chars": str(max_chars)},
        )
        return answer.body.decode("utf-8", "replace")

    async def aclose(self) -> None:
        """Close the connections."""
        for door in self._doors:
            await door.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return sum(door.request_count for door in self._doors)

    async def _post(self, attempt_id: str, body: bytes) -> Submission:
        try:
            answer = await self._submits.send_paid(
                "submit", "/v1/transcribe", body, {**JSON, "Idempotency-Key": attempt_id}
            )
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        return judge(answer)

    async def _look(
        self, provider_job_id: str, operation: str, params: Mapping[str, str] | None = None
    ) -> Response:
        _check_job_id(provider_job_id, operation)
        return await self._looks.send(
            operation,
            "GET",
            f"/v1/transcribe/{provider_job_id}",
            params=params,
            provider_job_id=provider_job_id,
        )

    async def _list(self, parameters: Mapping[str, str]) -> JobPage:
        answer = await self._lists.send(
            "list", "GET", "/v1/transcriptions", params={"limit": str(LIST_LIMIT), **parameters}
        )
        return _decode(answer, JobPage, "list")

    async def _describe_jobs_around(self, sent_at: datetime) -> str:
        """Name the jobs that were made at that time; rows show neither URL nor key."""
        first, last = sent_at - SKEW, sent_at + SKEW
        page = await self._list({"from": _write_instant(first), "to": _write_instant(last)})
        ids = [job.id for job in page.items if JOB_ID.fullmatch(job.id)]
        more = "+" if page.has_more else ""
        return f"{len(ids)}{more} jobs made around then: {' '.join(ids[:3])}".removesuffix(": ")


T = TypeVar("T")


def _decode(
    answer: Response, kind: type[T], operation: str, provider_job_id: str | None = None
) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except BROKEN:
        raise UnexpectedResponse(
            f"not the documented shape ({len(answer.body)} bytes)",
            provider=NAME,
            operation=operation,
            provider_job_id=provider_job_id,
            status_code=answer.status,
        ) from None


def _check_job_id(provider_job_id: str, operation: str) -> None:
    if not JOB_ID.fullmatch(provider_job_id):
        raise UnexpectedResponse("odd job id", provider=NAME, operation=operation)


def _is_unknown(error: RequestRejected) -> bool:
    # 404 is also the answer for a path they do not have.
    return error.status_code == 404 and "TRANSCRIPTION_NOT_FOUND" in str(error)


def _to_micros(cents: Decimal) -> int:
    return int((cents * 10_000).to_integral_value())


def _write_instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def open_provider(account: ScriptivoxSettings, secrets: Mapping[str, str]) -> ScriptivoxProvider:
    """Return a client of the configured account; nothing is contacted yet."""
    price = account.price_per_hour
    return ScriptivoxProvider(
        api_key=secrets["scriptivox_api_key"],
        base_url=account.base_url,
        delivery=AudioDelivery(account.delivery),
        submits_per_s=account.submits_per_s,
        looks_per_s=account.looks_per_s,
        lists_per_s=account.lists_per_s,
        concurrency=account.concurrency,
        price_per_hour_micros=price.micros if price else None,
    )
