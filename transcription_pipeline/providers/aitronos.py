"""Aitronos's audio transcription over its v1 API: the asynchronous JSON form.

What belongs here: paths, bodies and the order of requests. What does not: transport (``http.py``),
what answers mean (``aitronos_answers.py``) and reading transcripts (``normalise/aitronos.py``). Wire
rules are from docs.aitronos.com (pages under /docs/api-reference/audio), read 2026-11-21, unless a
comment names another source; no live call was ever made.

Newer vendor packages send ``multipart/form-data`` to the same path and get a transcript at once:
that form is in ``aitronos_direct.py``. Links named in ``actions`` are never followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import (
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.provider_settings import AitronosSettings
from transcription_pipeline.providers.aitronos_answers import (
    NAME,
    DeleteAnswer,
    belongs_to,
    join_document,
    judge,
    make_observation,
    read,
)
from transcription_pipeline.providers.aitronos_books import SENTENCES_LIMIT, Books, path_of
from transcription_pipeline.providers.aitronos_direct import AitronosDirectProvider
from transcription_pipeline.providers.aitronos_exports import Exports
from transcription_pipeline.providers.aitronos_form import upload
from transcription_pipeline.providers.aitronos_options import (
    CURRENCY,
    DIRECT_OPTIONS,
    OPTIONS,
    FindProblems,
    find_direct_problems,
    find_problems,
    make_fields,
    make_headers,
    price_job,
)
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
    Provider,
    Submission,
    Survey,
    Verdict,
)
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.providers.webhooks import AITRONOS_EVENTS, make_aitronos_token

__all__ = [
    "CURRENCY",
    "NAME",
    "OPTIONS",
    "SECRETS",
    "AitronosProvider",
    "find_problems",
    "open_provider",
]

SECRETS = ("aitronos_api_key", "aitronos_organization_id")
OPTIONAL_SECRETS = ("transcription_webhook_secret",)
BASE_URL = "https://api.aitronos.com"
LOOK_S = 10.0
""""Get transcription": its state is refreshed when the last refresh is older than 10 s."""
SETTLE = timedelta(minutes=15)
"""How late a transcription may appear in the list is not documented."""
_JSON = {"Content-Type": "application/json"}


class AitronosProvider(Exports):
    """One organization at Aitronos."""

    name = NAME

    def __init__(
        self,
        *,
        api_key: str,
        organization_id: str,
        base_url: str = "",
        auth: Literal["api_key", "bearer"] = "api_key",
        delivery: AudioDelivery = AudioDelivery.URL,
        requests_per_s: float = 1.6,
        concurrency: int = 100,
        price_per_hour_micros: int | None = None,
        look_s: float = LOOK_S,
        settle_s: float = SETTLE.total_seconds(),
        sentences_limit: int = SENTENCES_LIMIT,
        webhook_secret: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.region: str | None = None
        self.account: str | None = None
        # No limit of size, length or concurrency is documented. The list is no way to look at jobs:
        # only a get asks the machine behind the service ("Get transcription").
        self.capabilities = Capabilities(
            deliveries=(AudioDelivery.UPLOAD,)
            if delivery is AudioDelivery.UPLOAD
            else (AudioDelivery.URL, AudioDelivery.UPLOAD),
            options=OPTIONS,
            concurrency=concurrency,
            deadline_s=6 * 3600,
        )
        self._organization_id = organization_id
        self._price_per_hour_micros = price_per_hour_micros
        self._look_s = look_s
        self._webhook_secret = webhook_secret
        self._settle = timedelta(seconds=settle_s)
        self._running_until: dict[str, tuple[float, Observation]] = {}
        self._http = ProviderHttp(
            provider=NAME,
            base_url=base_url or BASE_URL,
            headers=make_headers(api_key, auth),
            requests_per_s=requests_per_s,
            patience=patience,
        )
        super().__init__(Books(self._http, sentences_limit=sentences_limit))

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price in synapses, taken when the job is accepted; there is one model."""
        del options, model
        return price_job(duration_ms, self._price_per_hour_micros)

    async def upload(self, audio: Audio) -> Audio:
        """Stream the bytes to Aitronos where there is no URL to hand over."""
        if audio.url is not None:
            return audio
        return replace(audio, url=await upload(self._http, audio))

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the body of ``POST /v1/audio/transcribe``."""
        fields = make_fields(options)
        fields["transcription_options"]["audio_url"] = audio.url
        if options.get("webhook") and self._webhook_secret:
            url = f"{options['webhook']}/aitronos/{make_aitronos_token(self._webhook_secret)}"
            fields["webhook"] = {"url": url, "events": list(AITRONOS_EVENTS)}
        body = msgspec.json.encode({"organization_id": self._organization_id, **fields})
        return PaidRequest(attempt_id, body, audio, options)

    async def wait_turn(self) -> None:
        """Wait for the account's rate limit."""
        await self._http.wait_turn()

    async def submit(self, request: PaidRequest) -> Submission:
        """POST once. There is no idempotency key: whatever is unclear stays unclear (ambiguous)."""
        try:
            answer = await self._http.send_paid(
                "submit", "/v1/audio/transcribe", request.body, _JSON
            )
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        return judge(answer)

    async def observe(self, provider_job_id: str) -> Observation:
        """GET the transcription; a look too soon after the last one repeats what that one saw."""
        now = asyncio.get_running_loop().time()
        fresh_until, seen = self._running_until.pop(provider_job_id, (0.0, None))
        if seen is None or now >= fresh_until:
            found = await self._books.find(provider_job_id, "observe")
            if found is None:
                return Observation(provider_job_id, Phase.UNKNOWN_JOB, "unknown id")
            fresh_until, seen = now + self._look_s, make_observation(provider_job_id, found[0])
        if seen.phase is Phase.RUNNING:
            self._running_until[provider_job_id] = fresh_until, seen
        return seen

    async def survey(self, running: Collection[str]) -> Survey:
        """See nothing: the list shows what gets have found out, and is no look of its own."""
        del running
        return Survey({}, frozenset())

    async def collect(self, provider_job_id: str) -> bytes:
        """GET the transcription and all its sentences, and keep every answer as received.

        Its own fields name no text ("Get transcription"), so that text is its sentences.
        """
        found = await self._books.find(provider_job_id, "collect")
        if found is None:
            raise JobUnknown(
                "gone", provider=NAME, operation="collect", provider_job_id=provider_job_id
            )
        answer, raw = found
        if answer.data.status != "completed":
            raise UnexpectedResponse(
                f"seen as completed, but {redact(answer.data.status)}",
                provider=NAME,
                operation="collect",
                provider_job_id=provider_job_id,
            )
        return join_document(raw, await self._books.get_sentences(provider_job_id))

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Look for the attempt: the list, then each of its time, then the URL that one echoes.

        Synapses are taken when a request is accepted, so absence from the list proves nothing about
        money: what is not found after the URL's death and a time for the list to settle is left to
        a person, and never sent again on our own.
        """
        del request  # there is no idempotency key to replay it with
        sent_at = attempt.sent_at or at
        unclear = 0
        for item in await self._books.list_around(sent_at):
            try:
                job = await self._books.look_into(item.transcription_id)
            except (UnexpectedResponse, RequestRejected):
                unclear += 1  # it cannot be read, so it may be ours
                continue
            is_ours = belongs_to(job, attempt) if job else False
            if is_ours:
                return Submission(Verdict.ACCEPTED, item.transcription_id, cause="found_in_list")
            unclear += is_ours is None
        if at >= (attempt.url_expires_at or sent_at) + self._settle:
            detail = (
                f"sent {sent_at:%Y-%m-%d %H:%M:%S} UTC and in no list by {at:%H:%M:%S}; look in the "
                "organization's synapse transactions and transcriptions of that minute"
            )
            if unclear:
                detail += f", {unclear} of which name no audio URL to know them by"
            return Submission(
                Verdict.CANNOT_KNOW, cause="maybe_charged_check_synapse_transactions", detail=detail
            )
        wait_s = min(300.0, max(30.0, (at - sent_at).total_seconds() / 2))
        return Submission(Verdict.AMBIGUOUS, cause="not_listed_yet", retry_after_s=wait_s)

    async def check(self) -> Checkup:
        """Ask for the newest transcription; no call tells the organization's synapses."""
        await self._books.list_page(1, 0)
        return Checkup("the key is accepted, the list answers")

    async def delete(self, provider_job_id: str) -> bool:
        """DELETE the transcription, here and at the machine behind; True when confirmed."""
        path = path_of(provider_job_id, "delete")
        answer = await self._http.send("delete", "DELETE", path, provider_job_id=provider_job_id)
        return read(answer, DeleteAnswer, "delete", provider_job_id).data.deleted

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return self._http.request_count


def find_form(account: AitronosSettings) -> tuple[frozenset[str], FindProblems]:
    """Return the common options of the configured form, and what says which values it refuses."""
    if account.form == "multipart":
        return DIRECT_OPTIONS, find_direct_problems
    return OPTIONS, find_problems


def open_provider(account: AitronosSettings, secrets: Mapping[str, str]) -> Provider:
    """Return a client of the configured account and form; nothing is contacted yet."""
    price = account.price_per_hour
    common: dict[str, Any] = {
        "base_url": account.base_url or BASE_URL,
        "requests_per_s": account.requests_per_s,
        "concurrency": account.concurrency,
        "price_per_hour_micros": price.micros if price else None,
    }
    key = secrets["aitronos_api_key"]
    if account.form == "multipart":
        headers = make_headers(key, account.auth)
        return AitronosDirectProvider(
            headers=headers, spool=account.spool, answer_s=account.answer_s, **common
        )
    return AitronosProvider(
        api_key=key,
        organization_id=secrets["aitronos_organization_id"],
        auth=account.auth,
        delivery=AudioDelivery(account.delivery),
        look_s=account.look_s,
        settle_s=account.settle_s,
        webhook_secret=secrets.get("transcription_webhook_secret"),
        **common,
    )
