"""What can be asked of Aitronos for nothing: one transcription, its sentences, the list.

What belongs here: GET requests and their pages. What does not: anything paid, and what the answers
prove (``aitronos.py`` and ``aitronos_exports.py``, the only callers). Wire rules are from docs.aitronos.com (pages under
/docs/api-reference/audio), read 2026-11-21.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from transcription_pipeline.errors import ProviderUnavailable, RequestRejected, UnexpectedResponse
from transcription_pipeline.providers.aitronos_answers import (
    JOB_ID,
    NAME,
    Item,
    Job,
    JobAnswer,
    ListAnswer,
    Page,
    SentencesAnswer,
    read,
    read_instant,
)
from transcription_pipeline.providers.answers import Response
from transcription_pipeline.providers.http import ProviderHttp

LIST_LIMIT = 100
"""Most rows per page of the list ("List transcriptions")."""
SENTENCES_LIMIT = 1_000
"""Most sentences per page ("Get sentences"); how many come without a limit is not documented."""
STUB = "not implemented there: the vendor's packages call it a stub"
"""What a 501 means (aitronos-sdk 0.8.178, read 2026-11-21; its pages do not say so)."""
_MAX_PAGES = 1_000
_BEFORE, _AFTER = timedelta(minutes=10), timedelta(minutes=30)
"""Where in the list an attempt can stand: clocks differ, and requests take their time."""


class Books:
    """The transcriptions of one account, read only."""

    def __init__(self, http: ProviderHttp, *, sentences_limit: int = SENTENCES_LIMIT) -> None:
        self._http = http
        self._sentences_limit = sentences_limit
        self._looked_into: dict[str, Job] = {}
        self._looking = asyncio.Lock()
        self._listed: list[Item] | None = None
        self._listings = 0
        """How often reading the whole list was begun."""
        self._listing = asyncio.Lock()

    async def find(self, provider_job_id: str, operation: str) -> tuple[JobAnswer, bytes] | None:
        """GET one transcription; None when the service says that there is no such."""
        path = path_of(provider_job_id, operation)
        try:
            answer = await self._get(operation, path, provider_job_id=provider_job_id)
        except RequestRejected as error:
            # "Error codes": 404, resource doesn't exist; its code is not documented.
            if error.status_code == 404:
                return None
            raise
        found = read(answer, JobAnswer, operation, provider_job_id)
        if found.data.transcription_id != provider_job_id:
            raise UnexpectedResponse(
                "the answer is another job's",
                provider=NAME,
                operation=operation,
                provider_job_id=provider_job_id,
            )
        return found, answer.body

    async def look_into(self, provider_job_id: str) -> Job | None:
        """GET what one listed transcription is of, once: several attempts may ask for it."""
        async with self._looking:  # they ask at the same time
            if provider_job_id not in self._looked_into:
                found = await self.find(provider_job_id, "reconcile")
                if found is None:
                    return None
                self._looked_into[provider_job_id] = found[0].data
            return self._looked_into[provider_job_id]

    async def get_sentences(self, provider_job_id: str) -> list[bytes]:
        """GET the pages of the sentences until all are there; each page as received."""
        path = path_of(provider_job_id, "collect") + "/sentences"
        pages: list[bytes] = []
        count = 0
        while len(pages) < _MAX_PAGES:
            params = {"limit": str(self._sentences_limit), "offset": str(count)}
            answer = await self._get(
                "collect", path, params=params, provider_job_id=provider_job_id
            )
            page = read(answer, SentencesAnswer, "collect", provider_job_id)
            pages.append(answer.body)
            count += len(page.data.sentences)
            total = page.metadata.total_count
            if not page.data.sentences or (total is not None and count >= total):
                if total is not None and count < total:
                    break
                return pages
        raise ProviderUnavailable(
            f"{count} sentences and no end, or not all that were counted",
            provider=NAME,
            operation="collect",
            provider_job_id=provider_job_id,
        )

    async def list_around(self, sent_at: datetime) -> list[Item]:
        """List what may have been made by a request of that time."""
        found: list[Item] = []
        for item in await self._list_all():
            created_at = read_instant(item.created_at)
            is_near = created_at is None or -_BEFORE <= created_at - sent_at <= _AFTER
            if is_near and JOB_ID.fullmatch(item.transcription_id):
                found.append(item)
        return found

    async def _list_all(self) -> list[Item]:
        """Read all pages, as the list's order is not documented.

        Whoever asks while they are read shares the next reading: it began after the question.
        """
        seen = self._listings
        async with self._listing:
            if self._listings == seen or self._listed is None:
                self._listings, self._listed = self._listings + 1, None
                self._listed = await self._read_all_pages()
            return self._listed

    async def _read_all_pages(self) -> list[Item]:
        found: dict[str, Item] = {}
        offset = 0
        for _ in range(_MAX_PAGES):
            page = await self.list_page(LIST_LIMIT, offset)
            found |= {item.transcription_id: item for item in page.transcriptions}
            offset += len(page.transcriptions)
            if not page.transcriptions or not page.pagination.has_more:
                break
        return list(found.values())

    async def list_page(self, limit: int, offset: int) -> Page:
        """GET one page of the list."""
        params = {"limit": str(limit), "offset": str(offset)}
        answer = await self._get("list", "/v1/audio/transcribe", params=params)
        return read(answer, ListAnswer, "list").data

    async def ask(
        self,
        operation: str,
        provider_job_id: str,
        tail: str,
        params: Mapping[str, str] | None = None,
    ) -> Response:
        """GET what lies under one transcription; raises ``UnexpectedResponse`` for a stub."""
        path = path_of(provider_job_id, operation) + tail
        return await self._get(operation, path, params=params, provider_job_id=provider_job_id)

    async def _get(
        self,
        operation: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        provider_job_id: str | None = None,
    ) -> Response:
        try:
            return await self._http.send(
                operation, "GET", path, params=params, provider_job_id=provider_job_id
            )
        except (UnexpectedResponse, RequestRejected) as error:
            if error.status_code == 501:
                raise UnexpectedResponse(
                    STUB,
                    provider=NAME,
                    operation=operation,
                    provider_job_id=provider_job_id,
                    status_code=501,
                ) from None
            # 304 answers conditional requests, and ours are not; some cache spoke. Which code answers
            # for sentences that are not ready is not documented; 409 is likely.
            if error.status_code not in {304, 409}:
                raise
            raise ProviderUnavailable(
                "not ready",
                provider=NAME,
                operation=operation,
                provider_job_id=provider_job_id,
                status_code=error.status_code,
            ) from None


def path_of(provider_job_id: str, operation: str) -> str:
    """Make the path of one transcription; an id that is none enters no path."""
    if not JOB_ID.fullmatch(provider_job_id):
        raise UnexpectedResponse("odd job id", provider=NAME, operation=operation)
    return f"/v1/audio/transcribe/{provider_job_id}"
