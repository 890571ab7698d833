"""What several providers heard in one recording, side by side.

What belongs here: laying transcripts beside each other by time, and counting by how many words two
of them differ. What does not: printing (``cli/looking.py``). Rows are the turns of the provider that
cut the most of them; what the others heard stands in the row in which its middle lies.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import duckdb
from rapidfuzz.distance import Levenshtein

from transcription_pipeline.analytics.views import run_query

ROW_MS = 15_000
"""A row ends with the next word after so long, even within a turn."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_FACTS = (
    "provider, model, language, speaker_count, word_count, duration_ms, confidence, "
    "cost_micros, currency"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One recording as several providers heard it."""

    transcripts: Sequence[dict[str, Any]]
    """Per provider, in order of name: what its transcript is like; see ``_FACTS``."""
    rows: Sequence[dict[str, Any]]
    """In order of time: ``start_ms`` and, per provider, the text and ``speakers``."""
    disagreement: Sequence[dict[str, Any]]
    """Per pair of providers: edits between their words ÷ words of the longer one, 0-1."""


@dataclass(frozen=True, slots=True)
class _Unit:
    start_ms: int
    end_ms: int
    text: str
    speaker: str | None
    turn: int


def compare(connection: duckdb.DuckDBPyConnection, recording_id: str) -> Comparison:
    """Lay every transcript of one recording side by side; all parts are empty when there is none."""
    found = run_query(
        connection,
        f"SELECT {_FACTS}, text FROM transcripts "  # noqa: S608 - columns of our own
        "WHERE recording_id = $id ORDER BY provider",
        {"id": recording_id},
    )
    transcripts = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    texts = {t["provider"]: _WORD.findall(t.pop("text").casefold()) for t in transcripts}
    units = {name: _read_units(connection, recording_id, name) for name in texts}
    pairs = [
        {"providers": [a, b], "disagreement": Levenshtein.normalized_distance(texts[a], texts[b])}
        for a, b in combinations(texts, 2)
    ]
    return Comparison(transcripts, _align(units), pairs)


def _read_units(
    connection: duckdb.DuckDBPyConnection, recording_id: str, provider: str
) -> list[_Unit]:
    """Read the finest timed texts there are: words, else segments."""
    for table, index, turn in (
        ("words", "word_index", "utterance_index"),
        ("segments", "segment_index", "segment_index"),
    ):
        sql = (
            f"SELECT start_ms, end_ms, text, speaker_label, {turn} FROM {table} "  # noqa: S608
            f"WHERE recording_id = $id AND provider = $provider ORDER BY {index}"
        )
        rows = run_query(connection, sql, {"id": recording_id, "provider": provider}).rows
        if rows:
            return [_Unit(*row) for row in rows]
    return []


def _align(units: dict[str, list[_Unit]]) -> list[dict[str, Any]]:
    if not any(units.values()):
        return []
    reference = max(units, key=lambda name: len({unit.turn for unit in units[name]}))
    starts = _cut(units[reference])
    rows: list[dict[str, Any]] = [{"start_ms": start} for start in starts]
    for name, heard in units.items():
        parts: list[list[str]] = [[] for _ in rows]
        speakers: list[list[str]] = [[] for _ in rows]
        for unit in heard:
            at = unit.start_ms if name == reference else (unit.start_ms + unit.end_ms) // 2
            place = max(0, bisect_right(starts, at) - 1)
            parts[place].append(unit.text)
            if unit.speaker is not None and unit.speaker not in speakers[place]:
                speakers[place].append(unit.speaker)
        for row, texts, named in zip(rows, parts, speakers, strict=True):
            row[name] = {"text": " ".join(texts), "speakers": named}
    return rows


def _cut(units: Sequence[_Unit]) -> list[int]:
    starts: list[int] = []
    turn: int | None = None
    for unit in sorted(units, key=lambda unit: unit.start_ms):
        if unit.turn != turn or unit.start_ms - starts[-1] >= ROW_MS:
            turn = unit.turn
            starts.append(unit.start_ms)
    return starts
