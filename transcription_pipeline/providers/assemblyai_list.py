"""AssemblyAI's list of transcripts: many jobs at a look, and one job found again.

What belongs here: which pages are asked for, and what they tell. What it proves to be on none is in
``assemblyai.py``, the only caller. Rules are from the API reference (list), November 2026; the list
is eventually consistent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from transcription_pipeline.domain.job import Attempt, make_attempt_id
from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.assemblyai_answers import (
    DELETED,
    OVER,
    Status,
    decode_page,
    is_cut,
    make_observation,
    read_created,
    read_token,
)
from transcription_pipeline.providers.base import Survey
from transcription_pipeline.providers.http import ProviderHttp

LIST_LIMIT = 200
NEWEST_EVERY = 4
"""Surveys per look at the newest page while it brings nothing: jobs take longer than the surveys."""
SKEW = timedelta(minutes=10)
"""How far the provider's clock and the time of one request may lie apart from ours."""
LATER = 20
"""More attempts than a job ever has."""
FRESH = timedelta(seconds=30)
"""A reading this young need not be made again for a job that is not listed yet."""


@dataclass(slots=True)
class Reading:
    """What the list showed of all jobs made since an instant."""

    at: datetime
    """When it was begun, or before."""
    since: datetime
    by_token: dict[str, str] = field(default_factory=dict)
    by_digest: dict[str, str] = field(default_factory=dict)
    nameless: list[Status] = field(default_factory=list)
    """Jobs whose audio URL is gone, or may have lost what was signed."""

    def add(self, item: Status) -> None:
        """Take a listed job in."""
        url = item.audio_url
        if url is None or url.endswith(DELETED):
            self.nameless.append(item)
            return
        if token := read_token(url):
            self.by_token[token] = item.id
        self.by_digest[sha256(url.encode("utf-8", "replace")).hexdigest()] = item.id
        if is_cut(url):
            self.nameless.append(item)

    def find(self, attempt: Attempt) -> str | None:
        """Return the id of the attempt's job, by the token or the hash of its audio URL.

        Later attempts are opened when an earlier one is over: one that is listed is another
        ledger's, and pays for the same wish.
        """
        by_digest = self.by_digest.get(attempt.audio_url_sha256 or "")
        tokens = (make_attempt_id(attempt.job_id, attempt.number + later) for later in range(LATER))
        listed = (self.by_token[token] for token in tokens if token in self.by_token)
        return by_digest or next(listed, None)

    def count_nameless(self, attempt: Attempt, until: datetime) -> int:
        """Count the jobs that may be the attempt's, for all the list says."""
        first = (attempt.sent_at or until) - SKEW
        count = 0
        for item in self.nameless:
            created = read_created(item) or until
            # An upload's URL is known whole; only a signed one may have been cut.
            is_told = attempt.url_expires_at is None and item.audio_url and is_cut(item.audio_url)
            count += first <= created <= until and not is_told
        return count


class JobList:
    """The list of one project, and what the last surveys of it showed."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http
        self._in_work: set[str] = set()
        self._newest_helps = True
        self._surveys = 0
        self._reading: Reading | None = None
        self._is_reading = asyncio.Lock()

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

    async def look_back(self, attempt: Attempt, *, at: datetime, dead_at: datetime) -> Reading:
        """Return what the list shows of jobs made since the attempt was sent.

        One reading serves all who ask while it tells what they want to know: whether there is such a
        job, by now, or by ``dead_at``, after which there will be none.
        """
        since = (attempt.sent_at or at) - SKEW
        async with self._is_reading:
            last = self._reading
            is_enough = last and (last.at >= dead_at or at - last.at <= FRESH)
            if last is None or last.since > since or not is_enough:
                self._reading = last = await self._read_since(
                    min(since, last.since) if last else since, at
                )
            return last

    async def _read_since(self, since: datetime, at: datetime) -> Reading:
        reading, before_id = Reading(at, since), None
        while True:
            page = await self.read({"before_id": before_id} if before_id else {})
            for item in page:
                reading.add(item)
            # ``before_id`` goes to older pages; an unchanged one would loop for ever.
            if not page or page[-1].id == before_id:
                return reading
            created = read_created(page[-1])
            if created and created < since:
                return reading
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
