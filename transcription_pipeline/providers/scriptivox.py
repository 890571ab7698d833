"""Scriptivox's transcription, as a provider of this pipeline.

What belongs here: what each step of a job asks of Scriptivox. What does not: the requests themselves
(``scriptivox_api.py``), what answers mean (``scriptivox_answers.py``), options and prices
(``scriptivox_options.py``). Wire rules are from the vendor's API reference as kept in its own MCP
server (github.com/SparkleOfficial/scriptivox-mcp-server), read 2026-11-21; no live call was ever
made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import JobUnknown, RequestRejected, UnexpectedResponse
from transcription_pipeline.provider_settings import ScriptivoxSettings
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
    name_account,
)
from transcription_pipeline.providers.scriptivox_answers import JOB_ID, judge_replay, observe_job
from transcription_pipeline.providers.scriptivox_api import NAME, ScriptivoxApi
from transcription_pipeline.providers.scriptivox_options import (
    MAX_URL_CHARS,
    OPTIONS,
    find_extension,
    find_problems,
    make_fields,
    price_job,
)
from transcription_pipeline.providers.transport import Patience

__all__ = ["NAME", "OPTIONS", "SECRETS", "ScriptivoxProvider", "find_problems", "open_provider"]

SECRETS = ("scriptivox_api_key",)
TELLS_CREDIT = True
SURVEY_PAGES = 3
"""Older jobs than these show are looked at one by one."""
REPLAY_WINDOW = timedelta(hours=23, minutes=50)
"""How long keys are remembered is not documented; 24 hours is what such keys live at least
elsewhere (docs.stripe.com/api/idempotent_requests, read 2026-11-21), less the time of a request."""
SKEW = timedelta(minutes=10)
"""How far the provider's clock and the time of one request may lie apart from ours."""
CAPTION_WORDS = 14
"""The provider's default is 4 words a caption."""
MICROS_PER_CENT = 10_000


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
        self.account: str | None = name_account(api_key)
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
        self._api = ScriptivoxApi(
            api_key=api_key,
            base_url=base_url,
            submits_per_s=submits_per_s,
            looks_per_s=looks_per_s,
            lists_per_s=lists_per_s,
            patience=patience,
        )

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
        filename = f"{audio.recording_id}.{extension}"  # ours, not the customer's
        upload_id = await self._api.upload(filename, audio.open_stream(), audio.size_bytes)
        return replace(audio, url=None, upload_id=upload_id)

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the body of ``POST /v1/transcribe``."""
        source = {"upload_id": audio.upload_id} if audio.upload_id else {"url": audio.url}
        body = msgspec.json.encode({**source, **make_fields(options)})
        return PaidRequest(attempt_id, body, audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit."""
        await self._api.submits.wait_turn()

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
        return await self._api.submit(request.attempt_id, request.body)

    async def observe(self, provider_job_id: str) -> Observation:
        """GET the job; a completed one brings its raw answer along."""
        found = await self._api.get(provider_job_id)
        if found is None:
            return Observation(provider_job_id, Phase.UNKNOWN_JOB, "unknown id")
        return observe_job(*found)

    async def survey(self, running: Collection[str]) -> Survey:
        """List the newest jobs. Failed ones carry no reason there, so they get a look each."""
        seen: dict[str, Observation] = {}
        failed: set[str] = set()
        cursor: str | None = None
        for _ in range(SURVEY_PAGES):
            page = await self._api.list_jobs({"cursor": cursor} if cursor else {})
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
        if attempt.account not in (None, self.account):
            # There the same bytes would be a new job.
            told = Submission(Verdict.CANNOT_KNOW, cause="sent_with_another_key")
        elif request is None:
            told = Submission(Verdict.CANNOT_KNOW, cause="request_not_kept")
        elif at - sent_at >= REPLAY_WINDOW:
            told = Submission(Verdict.CANNOT_KNOW, cause="too_late_to_replay")
        else:
            await self._api.submits.wait_turn()
            told = judge_replay(await self._api.submit(attempt.attempt_id, request))
        if told.verdict is Verdict.CANNOT_KNOW:
            parts = (told.detail, await self._describe_jobs_around(sent_at))
            told = replace(told, detail="; ".join(part for part in parts if part))
        return told

    async def check(self) -> Checkup:
        """Ask for the balance and the list."""
        await self._api.list_jobs({})
        balance = await self._api.balance()
        micros = int(balance.available_cents * MICROS_PER_CENT)
        reserved = balance.reserved_cents / 100
        told = f"{balance.available_cents / 100:.2f} USD available, {reserved:.2f} USD reserved"
        if micros <= 0:
            told += ": top the account up, or every job is refused"
        return Checkup(f"the key is accepted, {told}", micros > 0, Cost(micros, "USD", 0))

    async def delete(self, provider_job_id: str) -> bool:
        """Delete the job; True when confirmed, False while it is in work (cancel first) or unknown."""
        return await self._api.delete(provider_job_id)

    async def cancel(self, provider_job_id: str) -> Cost | None:
        """Stop a job and return the reservation that was released; None when it was over already."""
        released = await self._api.cancel(provider_job_id)
        if released is None:
            return None
        return Cost(int((released * MICROS_PER_CENT).to_integral_value()), "USD", 0)

    async def export(
        self,
        provider_job_id: str,
        kind: Literal["srt", "vtt", "text"],
        *,
        max_words: int = CAPTION_WORDS,
        max_chars: int = 80,
    ) -> str:
        """Fetch a completed job as subtitles or text, as the provider cuts them."""
        knobs = {} if kind == "text" else {"max_words": max_words, "max_chars": max_chars}
        return await self._api.export(provider_job_id, kind, **knobs)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return self._api.request_count

    async def _describe_jobs_around(self, sent_at: datetime) -> str:
        """Name the jobs that were made at that time; rows show neither URL nor key."""
        first, last = sent_at - SKEW, sent_at + SKEW
        try:
            page = await self._api.list_jobs(
                {"from": _write_instant(first), "to": _write_instant(last)}
            )
        except (RequestRejected, UnexpectedResponse) as error:
            return f"the list could not be read: {error}"
        ids = [job.id for job in page.items if JOB_ID.fullmatch(job.id)]
        more = "+" if page.has_more else ""
        return f"{len(ids)}{more} jobs made around then: {' '.join(ids[:3])}".removesuffix(": ")


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


def _write_instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
