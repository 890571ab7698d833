"""The list of transcripts: newest first, cut into pages, and possibly a little behind.

``prev_url`` leads to older and ``next_url`` to newer transcripts, and the first page has both (API
reference, GET /v2/transcript, 2026-08-18, and recorded by the vendor's Go SDK tests). Rows carry no
text and no options; ``app.py`` sends what this returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from transcription_pipeline.emulators.assemblyai.desk import Desk
from transcription_pipeline.emulators.assemblyai.jobs import Job
from transcription_pipeline.emulators.assemblyai.refusals import (
    BAD_QUERY,
    NO_SUCH_TRANSCRIPT,
    WRONG_ORDER,
    Refusal,
)
from transcription_pipeline.emulators.clock import to_utc

_STATUSES = ("queued", "processing", "completed", "error")
_MAX_AGE_S = 90 * 86_400
"""API reference: transcripts of the last 90 days."""
# Observed 2026-08-31: without the scheme that the same transcript's own answer has.
_DELETED_URL = "deleted_by_user"


def make_page(
    desk: Desk, project: str, query: Mapping[str, str], *, base_url: str, lag_s: float
) -> dict[str, Any]:
    """Answer one list request, showing the world of ``lag_s`` seconds ago.

    Raises:
        Refusal: A parameter is malformed or contradicts another.
    """
    limit = _read_limit(query.get("limit", "10"))
    now = desk.backstage.clock.now()
    at = now - max(lag_s, desk.settings.list_lag_s)
    matching = _make_test(query, at)
    shown = (
        job
        for job in _walk(desk, project, query)
        if now - job.created_at <= _MAX_AGE_S and not desk.is_expired(job) and matching(job)
    )
    page = sorted(islice(shown, limit), key=lambda job: job.place, reverse=True)
    return {
        "page_details": _make_details(page, limit, query, f"{base_url}/v2/transcript"),
        "transcripts": [_make_row(job, at, desk, base_url) for job in page],
    }


def _read_limit(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= 200:
        raise Refusal(BAD_QUERY.format(name="limit"))
    return int(text)


def _walk(desk: Desk, project: str, query: Mapping[str, str]) -> Iterator[Job]:
    """Go through the jobs between the two cursors, those a page takes first coming first.

    Newest first; with after_id alone oldest first, so that the page follows on the cursor. Which
    page comes first in that case is not documented.
    """
    jobs = desk.by_account.get(project, [])
    before, after = query.get("before_id"), query.get("after_id")
    end = _place(desk, project, before) if before else len(jobs)
    start = _place(desk, project, after) + 1 if after else 0
    if after and before and start <= end:
        # The sentence was recorded for a pair that encloses transcripts; a pair the other way round
        # encloses none.
        raise Refusal(WRONG_ORDER)
    places = range(start, end) if after and not before else range(end - 1, start - 1, -1)
    return (jobs[place] for place in places)


def _place(desk: Desk, project: str, job_id: str) -> int:
    job = desk.jobs.get(job_id)
    if job is None or job.account != project:
        raise Refusal(NO_SUCH_TRANSCRIPT)  # not documented for cursors; we chose the lookup error
    return job.place


def _make_test(query: Mapping[str, str], at: float) -> Callable[[Job], bool]:
    """Read the filters. API reference: status, created_on, and throttled_only (deprecated)."""
    wanted, day = query.get("status"), None
    if wanted is not None and wanted not in _STATUSES:
        raise Refusal(BAD_QUERY.format(name="status"))
    if "created_on" in query:
        try:
            day = date.fromisoformat(query["created_on"])
        except ValueError as error:
            raise Refusal(BAD_QUERY.format(name="created_on")) from error
    throttled_only = query.get("throttled_only") == "true"

    def matches(job: Job) -> bool:
        status = job.status_at(at)
        if status is None or (day is not None and to_utc(job.created_at).date() != day):
            return False  # the timezone of created_on is not documented; we chose UTC
        if throttled_only:
            return job.was_throttled and status == "queued"
        return wanted is None or status == wanted

    return matches


def _make_details(
    page: list[Job], limit: int, query: Mapping[str, str], path: str
) -> dict[str, Any]:
    """Link to the neighbours; an empty page has none, any other has both."""
    kept = {
        name: query[name] for name in ("status", "created_on", "throttled_only") if name in query
    }

    def link(cursor: dict[str, str]) -> str:
        return f"{path}?{urlencode({'limit': str(limit)} | kept | cursor)}"

    cursors = {name: query[name] for name in ("before_id", "after_id") if name in query}
    return {
        "limit": limit,
        "result_count": len(page),
        "current_url": link(cursors),
        "prev_url": link({"before_id": page[-1].id}) if page else None,
        "next_url": link({"after_id": page[0].id}) if page else None,
    }


def _make_row(job: Job, at: float, desk: Desk, base_url: str) -> dict[str, Any]:
    status = job.status_at(at)
    is_deleted = job.deleted_at is not None and job.deleted_at <= at
    ended = status in ("completed", "error")
    row = {
        "id": job.id,
        "resource_url": f"{base_url}/v2/transcript/{job.id}",
        "status": status,
        "created": _instant(job.created_at, desk),
        # The published example has null for a failed transcript.
        "completed": _instant(job.finished_at, desk) if status == "completed" else None,
        "audio_url": _DELETED_URL if is_deleted else _show_url(job, desk),
    }
    if ended and job.error is not None and not is_deleted:
        row["error"] = job.error
    elif desk.settings.list_error != "absent":
        row["error"] = "" if desk.settings.list_error == "empty" else None
    return row


def _show_url(job: Job, desk: Desk) -> str | None:
    shown = desk.settings.listed_url
    if shown == "absent":
        return None
    return job.audio_url.partition("?")[0] if shown == "cut" else job.audio_url


def _instant(seconds: float | None, desk: Desk) -> str | None:
    if seconds is None:
        return None
    text = to_utc(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text + "Z" if desk.settings.list_has_zone else text
