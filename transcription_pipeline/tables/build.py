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

from transcription_pipeline.domain.transcript import Transcript, Turns, Words
from transcription_pipeline.tables.schema import (
    SEGMENTS,
    TRANSCRIPTS,
    UTTERANCES,
    WORDS,
    TableSchema,
)

NORMALISER_VERSION = 1
"""Raised whenever the same raw answer would give other rows."""

Header = Mapping[str, Any]
"""What the ledger knows of one transcript: recording_id, provider, job_id, … as in the table."""


def build_tables(
    transcripts: Sequence[tuple[Header, Transcript]],
) -> dict[str, pa.Table]:
    """Build the four transcript tables from one batch, ordered as it is.

    Confidences are rounded to four decimals: the fifth says nothing and costs a third of the file.
    """
    ids = [str(header["recording_id"]) for header, _ in transcripts]
    providers = [str(header["provider"]) for header, _ in transcripts]
    bodies = [transcript for _, transcript in transcripts]
    return {
        "transcripts": build_rows(TRANSCRIPTS, [_transcript_row(h, t) for h, t in transcripts]),
        "segments": _turns_table(
            SEGMENTS, ids, providers, [t.segments for t in bodies], "segment_index"
        ),
        "utterances": _turns_table(
            UTTERANCES, ids, providers, [t.utterances for t in bodies], "utterance_index"
        ),
        "words": _words_table(ids, providers, [t.words for t in bodies]),
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


def _turns_table(
    table: TableSchema, ids: list[str], providers: list[str], turns: list[Turns], index: str
) -> pa.Table:
    counts = [len(t) for t in turns]
    total = sum(counts)
    columns: dict[str, pa.Array] = {
        "recording_id": _repeated(ids, counts),
        "provider": _repeated(providers, counts),
        index: _places(counts),
        "start_ms": _integers((t.start_ms for t in turns), total),
        "end_ms": _integers((t.end_ms for t in turns), total),
        "channel": _nullable(turns, "channel", pa.int32()),
        "speaker_label": _nullable(turns, "speaker_label", pa.string()),
        "text": pa.array(list(chain.from_iterable(t.text for t in turns)), pa.string()),
        "confidence": _confidences(turns),
        "word_count": _nullable(turns, "word_count", pa.int32()),
        "language": pa.nulls(total, pa.string()),
    }
    if table is UTTERANCES:
        flags = list(chain.from_iterable(_overlaps(t) for t in turns))
        columns["overlaps_previous"] = pa.array(flags, pa.bool_())
    return pa.Table.from_arrays([columns[c.name] for c in table], schema=table.arrow)


def _words_table(ids: list[str], providers: list[str], words: list[Words]) -> pa.Table:
    counts = [len(w) for w in words]
    total = sum(counts)
    columns = {
        "recording_id": _repeated(ids, counts),
        "provider": _repeated(providers, counts),
        "word_index": _places(counts),
        "utterance_index": _nullable(words, "utterance_index", pa.int32()),
        "segment_index": _nullable(words, "segment_index", pa.int32()),
        "start_ms": _integers((w.start_ms for w in words), total),
        "end_ms": _integers((w.end_ms for w in words), total),
        "channel": _nullable(words, "channel", pa.int32()),
        "speaker_label": _nullable(words, "speaker_label", pa.string()),
        "text": pa.array(list(chain.from_iterable(w.text for w in words)), pa.string()),
        "confidence": _confidences(words),
    }
    return pa.Table.from_arrays([columns[c.name] for c in WORDS], schema=WORDS.arrow)


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


def _nullable(parts: Sequence[Words | Turns], name: str, kind: pa.DataType) -> pa.Array:
    return pa.array(list(chain.from_iterable(getattr(p, name) for p in parts)), kind)


def _confidences(parts: Sequence[Words | Turns]) -> pa.Array:
    values = pa.array(list(chain.from_iterable(p.confidence for p in parts)), pa.float64())
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
