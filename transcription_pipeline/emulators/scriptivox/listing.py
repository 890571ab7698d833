"""The list of transcriptions: rows in order of creation, cut into pages by an opaque cursor.

Parameters and row fields are from the vendor's MCP server (src/tools/list-transcriptions.ts). Which
error answers a bad parameter is not documented; 400 INVALID_REQUEST here. ``app.py`` sends what this
returns.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from transcription_pipeline.emulators.scriptivox.answers import make_row
from transcription_pipeline.emulators.scriptivox.desk import Desk
from transcription_pipeline.emulators.scriptivox.refusals import Refusal

_STATUSES = ("created", "downloading", "pending", "processing", "completed", "failed")
_MAX_LIMIT = 200


def make_page(
    desk: Desk, account: str, query: Mapping[str, str], *, lag_s: float
) -> dict[str, Any]:
    """Answer one list request, showing the world of ``lag_s`` seconds ago."""
    at = desk.backstage.clock.now() - max(lag_s, desk.settings.list_lag_s)
    limit, wanted, order = _read_limit(query), query.get("status"), query.get("order", "desc")
    if wanted is not None and wanted not in _STATUSES:
        raise Refusal("INVALID_REQUEST", "status is invalid")
    if order not in ("asc", "desc"):
        raise Refusal("INVALID_REQUEST", "order is invalid")
    first, last = _read_instant(query, "from"), _read_instant(query, "to")
    jobs = desk.by_account.get(account, [])
    shown = []
    for job in jobs if order == "asc" else reversed(jobs):
        status = job.status_at(at)
        is_deleted = job.deleted_at is not None and job.deleted_at <= at
        if status is None or is_deleted or (wanted is not None and status != wanted):
            continue
        if (first is None or job.created_at >= first) and (last is None or job.created_at < last):
            shown.append(job)
    if "cursor" in query:
        place = _read_cursor(query["cursor"])
        is_after = place.__lt__ if order == "asc" else place.__gt__
        shown = [job for job in shown if is_after(job.place)]
    page = shown[:limit]
    answer: dict[str, Any] = {
        "items": [make_row(job, at, desk.settings) for job in page],
        "has_more": len(shown) > limit,
    }
    if len(shown) > limit:
        answer["next_cursor"] = base64.urlsafe_b64encode(f"v1:{page[-1].place}".encode()).decode()
    return answer


def _read_limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= _MAX_LIMIT):
        raise Refusal("INVALID_REQUEST", "limit must be 1 to 200")
    return int(text)


def _read_instant(query: Mapping[str, str], name: str) -> float | None:
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        raise Refusal("INVALID_REQUEST", f"{name} is invalid") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _read_cursor(text: str) -> int:
    try:
        version, _, place = base64.urlsafe_b64decode(text.encode()).decode().partition(":")
        if version == "v1":
            return int(place)
    except (binascii.Error, ValueError):
        pass
    raise Refusal("INVALID_REQUEST", "cursor is invalid")
