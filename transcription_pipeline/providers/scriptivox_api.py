"""The requests Scriptivox's v1 API takes, one function each.

What belongs here: paths, bodies, limits per endpoint, and the shape of answers. What does not: what
they mean for an attempt (``scriptivox_answers.py``, and ``scriptivox.py``, the only caller) and
transport (``http.py``). Wire rules are from the vendor's API reference as kept in its own MCP server
(src/data/api-docs.ts, src/tools), read 2026-11-21, unless a comment names another source.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

from transcription_pipeline.errors import (
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.answers import Response, redact
from transcription_pipeline.providers.base import Submission, Verdict
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.scriptivox_answers import (
    BROKEN,
    JOB_ID,
    Job,
    JobPage,
    judge,
)
from transcription_pipeline.providers.transport import Patience

NAME = "scriptivox"
BASE_URL = "https://api.scriptivox.com"
LIST_LIMIT = 200
RARE_PER_S = 0.5
"""Cancel and delete: 30 per minute and key."""
T = TypeVar("T")
_JSON = {"Content-Type": "application/json"}  # anything else is answered 415


class Balance(msgspec.Struct, frozen=True):
    """The account's credit in US cents, exact to the fractions the provider gives."""

    balance_cents: Decimal
    reserved_cents: Decimal
    available_cents: Decimal


class Place(msgspec.Struct, gc=False):
    """Where the bytes of one upload are to be put."""

    upload_id: str
    upload_url: str = ""
    method: str = "PUT"
    headers: dict[str, str] = {}


class _Cancelled(msgspec.Struct, gc=False):
    released_cents: Decimal = Decimal(0)


class ScriptivoxApi:
    """One account over HTTP. Each endpoint has a limit of its own, so each has its own door."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        submits_per_s: float,
        looks_per_s: float,
        lists_per_s: float,
        patience: Patience | None,
    ) -> None:
        rates = (submits_per_s, submits_per_s, looks_per_s, lists_per_s, RARE_PER_S)
        self.submits, self._uploads, self._looks, self._lists, self._rare = self._doors = [
            ProviderHttp(
                provider=NAME,
                base_url=base_url or BASE_URL,
                headers={"Authorization": api_key},  # the raw key; "Bearer" is accepted too
                requests_per_s=rate,
                patience=patience,
            )
            for rate in rates
        ]

    async def submit(self, attempt_id: str, body: bytes) -> Submission:
        """POST a job once, under the attempt as its key; whatever happens is a value."""
        headers = {**_JSON, "Idempotency-Key": attempt_id}  # up to 255 characters
        try:
            answer = await self.submits.send_paid("submit", "/v1/transcribe", body, headers)
        except ProviderUnavailable as error:
            verdict = Verdict.AMBIGUOUS if error.was_sent else Verdict.NOT_SENT
            return Submission(verdict, cause="no_answer", detail=redact(str(error)))
        except ProviderError as error:
            return Submission(Verdict.AMBIGUOUS, cause="bad_answer", detail=redact(str(error)))
        return judge(answer)

    async def get(self, provider_job_id: str) -> tuple[Job, bytes] | None:
        """GET a job, where it stands and its bytes; None when they know no such job."""
        try:
            answer = await self._look(provider_job_id, "observe", {})
        except RequestRejected as error:
            if _is_unknown(error):
                return None
            raise
        job = _decode(answer, Job, "observe", provider_job_id)
        if job.id != provider_job_id:
            raise UnexpectedResponse(
                "another job's answer",
                provider=NAME,
                operation="observe",
                provider_job_id=provider_job_id,
            )
        return job, answer.body

    async def export(
        self, provider_job_id: str, kind: Literal["srt", "vtt", "text"], **knobs: int
    ) -> str:
        """GET a completed job as subtitles or text."""
        params = {"format": kind, **{name: str(value) for name, value in knobs.items()}}
        answer = await self._look(provider_job_id, "export", params)
        return answer.body.decode("utf-8", "replace")

    async def list_jobs(self, parameters: Mapping[str, str]) -> JobPage:
        """GET a page of the list, newest first unless the parameters say otherwise."""
        params = {"limit": str(LIST_LIMIT), **parameters}
        answer = await self._lists.send("list", "GET", "/v1/transcriptions", params=params)
        return _decode(answer, JobPage, "list")

    async def upload(self, filename: str, chunks: AsyncIterator[bytes], size_bytes: int) -> str:
        """Ask for a place, put the bytes there, and return the upload's id."""
        # Asked again there may be several places: only the last one's id is used.
        asked = await self._uploads.send(
            "upload",
            "POST",
            "/v1/upload",
            body=msgspec.json.encode({"filename": filename}),
            headers=_JSON,
        )
        place = _decode(asked, Place, "upload")
        if not JOB_ID.fullmatch(place.upload_id) or place.method != "PUT":
            raise UnexpectedResponse("odd upload id or method", provider=NAME, operation="upload")
        # The URL is signed for exactly this Content-Type, and for no key of ours.
        pinned = {k: v for k, v in place.headers.items() if k.lower() == "content-type"}
        if not all(value.isprintable() for value in pinned.values()):
            raise UnexpectedResponse("odd content type", provider=NAME, operation="upload")
        await self._uploads.stream_elsewhere(
            "upload", "PUT", place.upload_url, chunks, size_bytes=size_bytes, headers=pinned
        )
        return place.upload_id

    async def cancel(self, provider_job_id: str) -> Decimal | None:
        """Stop a job and return the cents that are free again; None when it was over already."""
        _check_job_id(provider_job_id, "cancel")
        path = f"/v1/transcribe/{provider_job_id}/cancel"
        try:
            answer = await self._rare.send("cancel", "POST", path)
        except RequestRejected as error:
            if error.status_code == 409:
                return None
            raise
        return _decode(answer, _Cancelled, "cancel", provider_job_id).released_cents

    async def delete(self, provider_job_id: str) -> bool:
        """DELETE a job; False while it is in work, and when they know no such job."""
        _check_job_id(provider_job_id, "delete")
        try:
            answer = await self._rare.send("delete", "DELETE", f"/v1/transcribe/{provider_job_id}")
        except RequestRejected as error:
            if error.status_code == 409 or _is_unknown(error):
                return False
            raise
        return answer.status == 204  # without a body

    async def balance(self) -> Balance:
        """GET the account's credit."""
        answer = await self._lists.send("balance", "GET", "/v1/balance")
        return _decode(answer, Balance, "balance")

    async def aclose(self) -> None:
        """Close the connections."""
        for door in self._doors:
            await door.aclose()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        return sum(door.request_count for door in self._doors)

    async def _look(
        self, provider_job_id: str, operation: str, params: Mapping[str, str]
    ) -> Response:
        _check_job_id(provider_job_id, operation)
        return await self._looks.send(
            operation,
            "GET",
            f"/v1/transcribe/{provider_job_id}",
            params=params,
            provider_job_id=provider_job_id,
        )


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
