"""Whether the tables are what they should be: questions with a yes or no and the numbers behind it.

What belongs here: comparisons over the lake's files and rows of the ledger. What does not: what
follows from a no (``defs/checks.py`` reports it). Numbers and identifiers only, never text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.tables.parquet import read_table
from transcription_pipeline.tables.schema import TABLES

TOLERANCE_MS = 1_000
"""Providers round up to a second, and containers disagree about their own length."""
DISAGREEMENT = 0.5
"""Share of words by which two providers may differ on a recording before somebody should look."""

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer."""

    is_well: bool
    numbers: Mapping[str, int | float]


def compare_rows(lake: ObjectStore, jobs: Rows, day: str, provider: str) -> Finding:
    """Compare the recordings in the transcripts table with those the ledger calls published."""
    rows = _read(lake, "transcripts", day, provider)
    in_table = set(rows.column("recording_id").to_pylist())
    published = {
        job["recording_id"]
        for job in jobs
        if job["provider"] == provider and job["state"] == "published"
    }
    missing, surplus = len(published - in_table), len(in_table - published)
    return Finding(
        missing == 0 and surplus == 0 and len(in_table) == rows.num_rows,
        {"rows": rows.num_rows, "missing": missing, "surplus": surplus},
    )


def find_words_out_of_order(lake: ObjectStore, day: str, provider: str) -> Finding:
    """Count words that start before their predecessor in the same recording."""
    rows = _read(lake, "words", day, provider)
    count = 0
    if rows.num_rows > 1:
        ids, starts = rows.column("recording_id"), rows.column("start_ms")
        is_same = pc.equal(ids[1:], ids[:-1])
        is_earlier = pc.less(starts[1:], starts[:-1])
        count = pc.sum(pc.and_(is_same, is_earlier)).as_py() or 0
    return Finding(count == 0, {"words": rows.num_rows, "out_of_order": count})


def find_words_outside(
    lake: ObjectStore, lengths: Mapping[str, int | None], day: str, provider: str
) -> Finding:
    """Count words that end after their recording, by more than the tolerance."""
    rows = _read(lake, "words", day, provider)
    known = {i: ms for i, ms in lengths.items() if ms is not None}
    last = rows.group_by("recording_id").aggregate([("end_ms", "max"), ("start_ms", "min")])
    outside = sum(
        1
        for row in last.to_pylist()
        if row["start_ms_min"] < 0
        or row["end_ms_max"] > known.get(row["recording_id"], row["end_ms_max"]) + TOLERANCE_MS
    )
    return Finding(outside == 0, {"recordings": last.num_rows, "with_words_outside": outside})


def find_overdue(jobs: Rows, provider: str, now: datetime | None = None) -> Finding:
    """Count jobs in progress beyond their deadline."""
    instant = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    open_jobs = [j for j in jobs if j["provider"] == provider and j["state"] == "in_progress"]
    overdue = sum(1 for j in open_jobs if j["deadline_at"] and j["deadline_at"] < instant)
    return Finding(overdue == 0, {"in_progress": len(open_jobs), "overdue": overdue})


def compare_spend(jobs: Rows, provider: str, day: str, cap_micros: int | None) -> Finding:
    """Compare what was spent and reserved by attempts sent on a day with the day's budget."""
    spent = sum(
        job["cost_micros"] if job["cost_micros"] is not None else job["reserved_micros"] or 0
        for job in jobs
        if job["provider"] == provider and (job["sent_at"] or "").startswith(day)
    )
    numbers = {"spent_micros": spent}
    if cap_micros is None:
        return Finding(True, numbers)
    return Finding(spent <= cap_micros, {**numbers, "cap_micros": cap_micros})


def compare_word_counts(lake: ObjectStore, day: str, provider: str) -> Finding:
    """Count recordings on which another provider heard a very different number of words."""
    ours = _word_counts(lake, day, provider)
    compared = apart = 0
    prefix = f"tables/transcripts/date={day}/provider="
    for stored in lake.list_page(prefix).objects:
        other = stored.key.removeprefix(prefix).partition("/")[0]
        if other == provider:
            continue
        for recording_id, count in _word_counts(lake, day, other).items():
            if recording_id in ours:
                compared += 1
                most = max(count, ours[recording_id])
                apart += abs(count - ours[recording_id]) > DISAGREEMENT * max(most, 1)
    return Finding(apart == 0, {"compared": compared, "far_apart": apart})


def _word_counts(lake: ObjectStore, day: str, provider: str) -> dict[str, int]:
    rows = _read(lake, "transcripts", day, provider).select(["recording_id", "word_count"])
    counts = {row["recording_id"]: row["word_count"] for row in rows.to_pylist()}
    # A provider whose answers carry no words at all has nothing to compare.
    return counts if any(counts.values()) else {}


def _read(lake: ObjectStore, name: str, day: str, provider: str) -> pa.Table:
    key = make_table_key(name, day, provider)
    return read_table(TABLES[name], lake.get(key) if lake.find(key) else None)
