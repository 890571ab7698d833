"""The list of transcriptions: rows of one account, cut by limit and offset.

Parameters and fields are from "List transcriptions"; its order, its lag and what it shows of deleted
jobs are not documented and are settings. ``app.py`` sends what this returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from transcription_pipeline.emulators.aitronos.answers import make_metadata, make_row
from transcription_pipeline.emulators.aitronos.checks import read_number
from transcription_pipeline.emulators.aitronos.desk import Desk
from transcription_pipeline.emulators.aitronos.jobs import Job
from transcription_pipeline.emulators.aitronos.refusals import Refusal

_STATUSES = ("queued", "processing", "completed", "failed", "cancelled")


def make_page(
    desk: Desk, account: str, query: Mapping[str, str], *, base_url: str, lag_s: float
) -> dict[str, Any]:
    """Answer one list request, showing the world of ``lag_s`` seconds ago."""
    now, settings = desk.backstage.clock.now(), desk.settings
    at = now - max(lag_s, settings.list_lag_s)
    limit = read_number(query.get("limit"), "limit", 1, 100, 20)
    offset = read_number(query.get("offset"), "offset", 0, 10**8, 0)
    wanted = query.get("status")
    if wanted is not None and wanted not in _STATUSES:
        raise Refusal("VALIDATION_ERROR", "status is invalid.")
    shown = []
    jobs = desk.by_account.get(account, [])
    for job in jobs if settings.list_order == "oldest" else reversed(jobs):
        seen_at = _seen_at(job, at, refreshes=settings.list_refreshes)
        is_deleted = job.deleted_at is not None and job.deleted_at <= at
        if job.created_at > at or (is_deleted and not settings.list_shows_deleted):
            continue
        if wanted is None or job.status_at(seen_at) == wanted:
            shown.append(make_row(job, seen_at))
    page = shown[offset : offset + limit]
    has_more = offset + limit < len(shown)
    links = {
        "first": _link(base_url, query, 0),
        "current": _link(base_url, query, offset),
        "next": _link(base_url, query, offset + limit) if has_more else None,
        "previous": _link(base_url, query, max(0, offset - limit)) if offset else None,
    }
    pagination = {
        "total_count": len(shown),
        "returned_count": len(page),
        "limit": limit,
        "has_more": has_more,
        "links": links,
    }
    return {
        "success": True,
        "data": {"transcriptions": page, "pagination": pagination},
        "metadata": make_metadata(now),
    }


def _seen_at(job: Job, at: float, *, refreshes: bool) -> float:
    """Say which moment of a job the list shows: what a get last found out, unless it refreshes."""
    return max(job.created_at, at if refreshes else min(at, job.seen_at))


def _link(base_url: str, query: Mapping[str, str], offset: int) -> str:
    return f"{base_url}/v1/audio/transcribe?{urlencode({**query, 'offset': offset})}"
