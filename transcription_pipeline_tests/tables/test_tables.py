"""From transcripts to tables: the columns, the rows, and what they cost."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from transcription_pipeline.domain.transcript import Transcript, Turns, Words, make_utterances
from transcription_pipeline.tables.build import NORMALISER_VERSION, build_rows, build_tables
from transcription_pipeline.tables.parquet import merge_partition
from transcription_pipeline.tables.schema import (
    INSIGHTS,
    JOBS,
    RECORDINGS,
    SEGMENTS,
    TABLES,
    TRANSCRIPT_TABLES,
    UTTERANCES,
    WORDS,
    TableSchema,
)

AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def make_header(recording_id: str) -> dict[str, object]:
    """Make what the ledger knows of a transcript."""
    return {
        "recording_id": recording_id,
        "provider": "assemblyai",
        "job_id": "j",
        "cost_micros": 12,
        "currency": "USD",
        "submitted_at": AT,
        "unknown": "not a column",
    }


def make_transcript() -> Transcript:
    """Make a transcript of two channels with everything that may be null, null once."""
    words = Words(
        start_ms=[0, 100, 450, 500],
        end_ms=[400, 300, 900, 800],
        text=["Hello", "Oh\0", "there", "hé 𝄞"],
        confidence=[0.123456, None, 1.0, 0.0],
        speaker_label=["A", "B", "A", "B"],
        channel=[0, 1, 0, 1],
    )
    utterances = make_utterances(words)
    segments = Turns([0], [900], ["Hello there"], [None], [None], [None], [None])
    words.segment_index = [0, None, 0, None]
    return Transcript(
        "Hello there. Oh hé", words, segments, utterances, "m1", "en_us", 0.98765, 1_000, 0.55559
    )


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_column_is_documented(table: TableSchema) -> None:
    """Every table and column says what it holds, and units stand where the name has one."""
    assert table.description
    assert len({c.name for c in table}) == len(table.columns)
    for column in table:
        assert column.description, column.name
        if column.name.endswith("_ms"):
            assert column.unit == "ms"
        if column.name.endswith("_micros"):
            assert column.unit == "millionths of currency"
        if column.name.endswith("_at"):
            assert column.type == pa.timestamp("us", tz="UTC")
    assert set(table.sort_by) <= {c.name for c in table}
    for field in table.arrow:
        assert field.metadata[b"description"]


def test_same_quantity_same_type() -> None:
    """A column that several tables share has one type everywhere."""
    types: dict[str, set[str]] = {}
    for table in TABLES.values():
        for field in table.arrow:
            types.setdefault(field.name, set()).add(str(field.type))
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


def test_rows_of_words() -> None:
    """Every word is a row, confidences rounded to four decimals, nulls kept."""
    words = build_tables([(make_header("r1"), make_transcript())])["words"]
    assert words.schema == WORDS.arrow
    columns = {name: words.column(name).to_pylist() for name in words.column_names}
    assert columns["word_index"] == [0, 1, 2, 3]
    assert columns["utterance_index"] == [0, 1, 0, 1]
    assert columns["segment_index"] == [0, None, 0, None]
    assert columns["start_ms"] == [0, 100, 450, 500]
    assert columns["text"] == ["Hello", "Oh\0", "there", "hé 𝄞"]
    assert columns["speaker_label"] == ["A", "B", "A", "B"]
    assert columns["channel"] == [0, 1, 0, 1]
    assert columns["confidence"] == [pytest.approx(0.1235), None, 1.0, 0.0]
    assert set(columns["recording_id"]) == {"r1"}
    assert set(columns["provider"]) == {"assemblyai"}


def test_rows_of_turns() -> None:
    """Utterances say when they overlap an earlier one; segments may have neither words nor speaker."""
    tables = build_tables([(make_header("r1"), make_transcript())])
    utterances = tables["utterances"].to_pylist()
    assert [(u["start_ms"], u["end_ms"], u["word_count"]) for u in utterances] == [
        (0, 900, 2),
        (100, 800, 2),
    ]
    assert [u["overlaps_previous"] for u in utterances] == [False, True]
    assert [u["text"] for u in utterances] == ["Hello there", "Oh\0 hé 𝄞"]
    (segment,) = tables["segments"].to_pylist()
    assert segment["text"] == "Hello there"
    assert [segment[n] for n in ("confidence", "speaker_label", "channel", "language")] == [
        None
    ] * 4
    assert tables["segments"].schema == SEGMENTS.arrow
    assert tables["utterances"].schema == UTTERANCES.arrow


def test_the_row_of_a_transcript() -> None:
    """The transcript's row carries the ledger's facts, the answer's, and the counts."""
    (row,) = build_tables([(make_header("r1"), make_transcript())])["transcripts"].to_pylist()
    expected = {
        "recording_id": "r1",
        "provider": "assemblyai",
        "cost_micros": 12,
        "currency": "USD",
        "submitted_at": AT,
        "model": "m1",
        "language": "en_us",
        "language_confidence": pytest.approx(0.9877),  # stored with four decimals
        "confidence": pytest.approx(0.5556),
        "duration_ms": 1_000,
        "speaker_count": 2,
        "segment_count": 1,
        "utterance_count": 2,
        "word_count": 4,
        "normaliser_version": NORMALISER_VERSION,
        "completed_at": None,
    }
    assert {name: row[name] for name in expected} == expected
    assert "unknown" not in row


def test_rows_of_insights() -> None:
    """Findings are numbered within their transcript, scores rounded, absent times null."""
    told, silent = make_transcript(), make_transcript()
    told.insights.add("entity", start_ms=1, end_ms=2, label="date", text="Monday", score=0.123456)
    told.insights.add("summary", text="- a", payload_json="{}")
    batch = [(make_header("r1"), silent), (make_header("r2"), told)]
    rows = build_tables(batch)["insights"]
    assert rows.schema == INSIGHTS.arrow
    first, second = rows.to_pylist()
    assert first == {
        "recording_id": "r2",
        "provider": "assemblyai",
        "insight_index": 0,
        "kind": "entity",
        "start_ms": 1,
        "end_ms": 2,
        "speaker_label": None,
        "label": "date",
        "text": "Monday",
        "score": pytest.approx(0.1235),
        "payload_json": None,
    }
    assert (second["insight_index"], second["start_ms"], second["score"]) == (1, None, None)
    assert build_tables(batch[:1])["insights"].num_rows == 0


def test_silence() -> None:
    """A transcript without words is one row of transcripts and none of the others."""
    tables = build_tables([(make_header("r1"), Transcript("", Words(), Turns(), Turns()))])
    assert {name: table.num_rows for name, table in tables.items()} == {
        "transcripts": 1,
        "segments": 0,
        "utterances": 0,
        "words": 0,
        "insights": 0,
    }
    assert tables["transcripts"].to_pylist()[0]["speaker_count"] == 0


def test_an_empty_batch() -> None:
    """No transcripts give empty tables with all their columns."""
    tables = build_tables([])
    assert [tables[t.name].schema for t in TRANSCRIPT_TABLES] == [
        t.arrow for t in TRANSCRIPT_TABLES
    ]


def test_rows_of_the_catalogue() -> None:
    """Plain rows become a table; columns they lack are null."""
    table = build_rows(RECORDINGS, [{"recording_id": "r1", "size_bytes": 2**40, "extra": 1}])
    assert table.schema == RECORDINGS.arrow
    assert table.to_pylist()[0]["size_bytes"] == 2**40
    assert table.to_pylist()[0]["codec"] is None
    assert build_rows(JOBS, []).num_rows == 0


def test_cost_per_word(tmp_path_factory: pytest.TempPathFactory) -> None:
    """From transcripts to files costs at most ten microseconds of CPU per word."""
    count, size = 100, 750
    words = Words(
        start_ms=list(range(0, size * 400, 400)),
        end_ms=list(range(300, size * 400 + 300, 400)),
        text=[f"word{n % 300}" for n in range(size)],
        confidence=[n % 97 / 97 for n in range(size)],
        speaker_label=["AB"[n // 12 % 2] for n in range(size)],
        channel=[None] * size,
    )
    turns = make_utterances(words)
    words.segment_index = list(words.utterance_index)
    transcript = Transcript("text " * size, words, turns, turns)
    started = time.process_time()
    batch = build_tables([(make_header(f"{n:032x}"), transcript) for n in range(count)])
    merge_partition(
        {},
        [batch],
        tables=TRANSCRIPT_TABLES,
        replaced_ids=(),
        folder=tmp_path_factory.mktemp("cost"),
    )
    per_word_us = (time.process_time() - started) / (count * size) * 1e6
    print(f"\n{per_word_us:.2f} µs of CPU per word, transcripts to Parquet")
    assert per_word_us <= 10
