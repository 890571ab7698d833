"""From normalised transcripts to Arrow tables, many at a time.

Pure: values in, tables out, in the columns of ``schema.py``, ordered by recording and index.
Reading raw answers is ``normalise/``; files are ``parquet.py``. ``pipeline.write`` calls this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from transcription_pipeline.domain.transcript import Insights, Transcript, Turns, Words
from transcription_pipeline.tables.schema import (
    INSIGHTS,
    SEGMENTS,
    TRANSCRIPTS,
    UTTERANCES,
    WORDS,
    TableSchema,
)

NORMALISER_VERSION = 2
"""Raised whenever the same raw answer would give other rows."""

Header = Mapping[str, Any]
"""What the ledger knows of one transcript: recording_id, provider, job_id, … as in the table."""


def build_tables(
    transcripts: Sequence[tuple[Header, Transcript]],
) -> dict[str, pa.Table]:
    """Build the transcript tables from one batch, ordered as it is.

    Confidences are rounded to four decimals: the fifth says nothing and costs a third of the file.
    """
    ids = [str(header["recording_id"]) for header, _ in transcripts]
    providers = [str(header["provider"]) for header, _ in transcripts]
    bodies = [transcript for _, transcript in transcripts]
    utterances = _turns_columns(ids, providers, [t.utterances for t in bodies])
    segments = utterances
    if any(t.segments is not t.utterances for t in bodies):
        segments = _turns_columns(ids, providers, [t.segments for t in bodies])
    return {
        "transcripts": build_rows(TRANSCRIPTS, [_transcript_row(h, t) for h, t in transcripts]),
        "segments": _to_table(SEGMENTS, segments),
        "utterances": _to_table(UTTERANCES, utterances),
        "words": _words_table(ids, providers, [t.words for t in bodies]),
        "insights": _insights_table(ids, providers, [t.insights for t in bodies]),
    }


def build_rows(table: TableSchema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table from one mapping per row; columns a row lacks are null."""
    listed = list(rows)
    columns = {c.name: [row.get(c.name) for row in listed] for c in table}
    return pa.Table.from_pydict(columns, schema=table.arrow)


def _transcript_row(header: Header, transcript: Transcript) -> dict[str, Any]:
    labels = {label for label in transcript.utterances.speaker_label if label is not None}
    return {
        **header,
        "model": transcript.model,
        "language": transcript.language,
        "language_confidence": _rounded(transcript.language_confidence),
        "duration_ms": transcript.duration_ms,
        "text": transcript.text,
        "confidence": _rounded(transcript.confidence),
        "speaker_count": len(labels),
        "segment_count": len(transcript.segments),
        "utterance_count": len(transcript.utterances),
        "word_count": len(transcript.words),
        "normaliser_version": NORMALISER_VERSION,
    }


def _turns_columns(ids: list[str], providers: list[str], turns: list[Turns]) -> dict[str, pa.Array]:
    counts = [len(t) for t in turns]
    total = sum(counts)
    places = _places(counts)
    flags = list(chain.from_iterable(_overlaps(t) for t in turns))
    return {
        "recording_id": _repeated(ids, counts),
        "provider": _repeated(providers, counts),
        "segment_index": places,
        "utterance_index": places,
        "start_ms": _integers((t.start_ms for t in turns), total),
        "end_ms": _integers((t.end_ms for t in turns), total),
        "channel": _nullable([t.channel for t in turns], pa.int32()),
        "speaker_label": _nullable([t.speaker_label for t in turns], pa.string()),
        "text": pa.array(list(chain.from_iterable(t.text for t in turns)), pa.string()),
        "confidence": _confidences([t.confidence for t in turns]),
        "word_count": _nullable([t.word_count for t in turns], pa.int32()),
        "language": _nullable([t.language or [None] * len(t) for t in turns], pa.string()),
        "overlaps_previous": pa.array(flags, pa.bool_()),
    }


def _to_table(table: TableSchema, columns: Mapping[str, pa.Array]) -> pa.Table:
    return pa.Table.from_arrays([columns[c.name] for c in table], schema=table.arrow)


def _words_table(ids: list[str], providers: list[str], words: list[Words]) -> pa.Table:
    counts = [len(w) for w in words]
    total = sum(counts)
    in_utterance = in_segment = _nullable([w.utterance_index for w in words], pa.int32())
    if any(w.segment_index != w.utterance_index for w in words):
        in_segment = _nullable([w.segment_index for w in words], pa.int32())
    columns = {
        "recording_id": _repeated(ids, counts),
        "provider": _repeated(providers, counts),
        "word_index": _places(counts),
        "utterance_index": in_utterance,
        "segment_index": in_segment,
        "start_ms": _integers((w.start_ms for w in words), total),
        "end_ms": _integers((w.end_ms for w in words), total),
        "channel": _nullable([w.channel for w in words], pa.int32()),
        "speaker_label": _nullable([w.speaker_label for w in words], pa.string()),
        "text": pa.array(list(chain.from_iterable(w.text for w in words)), pa.string()),
        "confidence": _confidences([w.confidence for w in words]),
    }
    return _to_table(WORDS, columns)


def _insights_table(ids: list[str], providers: list[str], found: list[Insights]) -> pa.Table:
    counts = [len(one) for one in found]
    if not any(counts):
        return INSIGHTS.arrow.empty_table()
    columns = {
        "recording_id": _repeated(ids, counts),
        "provider": _repeated(providers, counts),
        "insight_index": _places(counts),
        "start_ms": _nullable([one.start_ms for one in found], pa.int64()),
        "end_ms": _nullable([one.end_ms for one in found], pa.int64()),
        "score": _confidences([one.score for one in found]),
    }
    for name in ("kind", "speaker_label", "label", "text", "payload_json"):
        columns[name] = _nullable([getattr(one, name) for one in found], pa.string())
    return _to_table(INSIGHTS, columns)


def _repeated(values: list[str], counts: list[int]) -> pa.Array:
    indices = pa.array(np.repeat(np.arange(len(values), dtype=np.int32), counts))
    return pa.DictionaryArray.from_arrays(
        indices, pa.array(values, pa.string())
    ).dictionary_decode()


def _places(counts: list[int]) -> pa.Array:
    if not counts:
        return pa.array([], pa.int32())
    return pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in counts]))


def _integers(lists: Iterable[list[int]], total: int) -> pa.Array:
    return pa.array(np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=total))


def _nullable(lists: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    total = sum(map(len, lists))
    if all(part.count(None) == len(part) for part in lists):
        return pa.nulls(total, kind)
    values = chain.from_iterable(lists)
    if pa.types.is_integer(kind) and not any(None in part for part in lists):
        # Four times as fast as Arrow's own conversion, which looks at the type of each value.
        return pa.array(np.fromiter(values, dtype=np.int64, count=total)).cast(kind)
    return pa.array(list(values), kind)


def _confidences(lists: Sequence[Sequence[float | None]]) -> pa.Array:
    if not any(None in part for part in lists):
        total = sum(map(len, lists))
        exact = np.fromiter(chain.from_iterable(lists), dtype=np.float64, count=total)
        return pa.array(np.round(exact, 4).astype(np.float32), pa.float32(), from_pandas=False)
    values = pa.array(list(chain.from_iterable(lists)), pa.float64())
    rounded = np.round(values.to_numpy(zero_copy_only=False), 4).astype(np.float32)
    return pa.array(rounded, pa.float32(), mask=np.asarray(values.is_null()), from_pandas=False)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _overlaps(turns: Turns) -> list[bool]:
    flags: list[bool] = []
    latest_end = 0
    for start, end in zip(turns.start_ms, turns.end_ms, strict=True):
        flags.append(start < latest_end)
        latest_end = max(latest_end, end)
    return flags
