"""AssemblyAI's list of transcripts: many jobs at a look, and one job found again.

What belongs here: which pages are asked for, and what it means to be on none. ``assemblyai.py`` asks
for it. Rules are from the API reference (list), November 2026; the list is eventually consistent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.assemblyai_answers import (
    OVER,
    Status,
    belongs_to,
    decode_page,
    is_older,
    make_observation,
)
from transcription_pipeline.providers.base import Survey
from transcription_pipeline.providers.http import ProviderHttp

LIST_LIMIT = 200
NEWEST_EVERY = 4
"""Surveys per look at the newest page while it brings nothing: jobs take longer than the surveys."""


class JobList:
    """The list of one project, and what the last surveys of it showed."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http
        self._in_work: set[str] = set()
        self._newest_helps = True
        self._surveys = 0

    async def survey(self, running: Collection[str]) -> Survey:
        """List the jobs in work, and now and then the newest ones.

        An account works on no more jobs than one page shows, so a job that was on the page of those
        in work and is not any more is over. The newest page shows jobs that wait, and those that
        came and went between two surveys: it is read each time while it brings some, else seldom.
        """
        seen: dict[str, Status] = {}
        self._surveys += 1
        if self._newest_helps or self._surveys % NEWEST_EVERY == 0:
            seen = {item.id: item for item in await self.read({}) if item.id in running}
            self._newest_helps = any(
                item.status in OVER and item.id not in self._in_work for item in seen.values()
            )
        if len(seen) < len(running):
            page = await self.read({"status": "processing"})
            seen |= {i.id: i for i in page if i.id in running and i.id not in seen}
        absent = frozenset(self._in_work.intersection(running).difference(seen))
        self._in_work = {item.id for item in seen.values() if item.status == "processing"}
        return Survey({i: make_observation(item, None) for i, item in seen.items()}, absent)

    async def find(self, attempt: Attempt, *, since: datetime) -> str | None:
        """Return the id of the attempt's job, if a job created since then carries its audio."""
        before_id: str | None = None
        while True:
            page = await self.read({"before_id": before_id} if before_id else {})
            for item in page:
                if belongs_to(item, attempt):
                    return item.id
            # ``before_id`` goes to older pages; an unchanged one would loop for ever.
            if not page or page[-1].id == before_id or is_older(page[-1], since):
                return None
            before_id = page[-1].id

    async def read(self, parameters: Mapping[str, str]) -> list[Status]:
        """Read one page."""
        answer = await self._http.send(
            "list", "GET", "/v2/transcript", params={"limit": str(LIST_LIMIT), **parameters}
        )
        try:
            return decode_page(answer.body).transcripts
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnexpectedResponse(
                "not a list", provider="assemblyai", operation="list"
            ) from None
