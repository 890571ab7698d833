"""One file per partition and table: the same rows give the same bytes, in however many runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import Transcript, Words, make_utterances
from transcription_pipeline.tables.build import build_tables
from transcription_pipeline.tables.parquet import Batch, count_rows, merge_partition, read_table
from transcription_pipeline.tables.schema import RECORDINGS, TRANSCRIPT_TABLES, UTTERANCES, WORDS

GROUP = 7
"""Rows per row group: small, so that a handful of recordings crosses many boundaries."""


def make_transcript(number: int, word_count: int, version: int = 1) -> Transcript:
    """Make the transcript of the ``number``-th recording; versions differ in every word."""
    words = Words(
        start_ms=[n * 700 for n in range(word_count)],
        end_ms=[n * 700 + 500 for n in range(word_count)],
        text=[f"v{version}-{(number * n) % 5}" for n in range(word_count)],
        confidence=[None if n % 4 == 3 else (number + n) % 10 / 10 for n in range(word_count)],
        speaker_label=[None if number % 3 == 0 else "AB"[n // 3 % 2] for n in range(word_count)],
        channel=[None if number % 2 else n % 2 for n in range(word_count)],
    )
    turns = make_utterances(words)
    words.segment_index = list(words.utterance_index)
    return Transcript(" ".join(words.text), words, turns, turns)


def make_batch(numbers: list[int], sizes: dict[int, int], version: int = 1) -> Batch:
    """Build the tables of some recordings, in order of their identity."""
    return build_tables(
        [
            (
                {"recording_id": f"{n:032x}", "provider": "local", "job_id": f"j{n}"},
                make_transcript(n, sizes[n], version),
            )
            for n in sorted(numbers)
        ]
    )


def merge(
    old: dict[str, bytes],
    batches: Iterable[Batch],
    numbers: Iterable[int],
    replaced: Collection[str] | None = None,
) -> dict[str, bytes]:
    """Merge batches into old files, where they replace some recordings; return the new ones."""
    with TemporaryDirectory() as folder:
        merged = merge_partition(
            {name: partial(_read, old, name) for name in old},
            batches,
            tables=TRANSCRIPT_TABLES,
            replaced_ids=[f"{n:032x}" for n in numbers] if replaced is None else replaced,
            folder=Path(folder),
            row_group_rows=GROUP,
        )
        files = {name: path.read_bytes() for name, (path, _) in merged.items()}
        for name, (_, rows) in merged.items():
            assert rows == count_rows(files[name])
        return files


def _read(files: dict[str, bytes], name: str) -> bytes:
    return files[name]


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[int, int], list[list[list[int]]]]:
    """Draw sizes of recordings, and runs of ascending batches that together hold each once."""
    numbers = draw(st.lists(st.integers(0, 300), min_size=1, max_size=10, unique=True))
    sizes = {n: draw(st.integers(0, 18)) for n in numbers}
    runs: list[list[list[int]]] = []
    rest = numbers
    while rest:
        size = draw(st.integers(1, len(rest)))
        run, rest = sorted(rest[:size]), rest[size:]
        cut = draw(st.integers(0, len(run)))
        runs.append([batch for batch in (run[:cut], run[cut:]) if batch])
    return sizes, runs


@settings(max_examples=60, deadline=None)
@given(histories())
def test_any_split_over_any_runs_gives_the_same_bytes(
    history: tuple[dict[int, int], list[list[list[int]]]],
) -> None:
    """However recordings are split over runs and batches, the files are byte-identical."""
    sizes, runs = history
    at_once = merge({}, [make_batch(list(sizes), sizes)], list(sizes))
    files: dict[str, bytes] = {}
    for run in runs:
        numbers = [n for batch in run for n in batch]
        files = merge(files, [make_batch(batch, sizes) for batch in run], numbers)
    assert files == at_once


@settings(max_examples=40, deadline=None)
@given(histories(), st.data())
def test_replaced_recordings_leave_no_trace(
    history: tuple[dict[int, int], list[list[list[int]]]], data: st.DataObject
) -> None:
    """A recording written again, longer or shorter, looks as if it had never been otherwise."""
    sizes, _ = history
    numbers = list(sizes)
    again = data.draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
    other = sizes | {n: data.draw(st.integers(0, 18)) for n in again}
    files = merge({}, [make_batch(numbers, other, version=2)], numbers)
    kept = [n for n in numbers if n not in again]
    files = merge(files, [make_batch(again, sizes)], again)
    mixed = merge({}, [make_batch(kept, other, version=2)], kept) if kept else {}
    assert files == merge(mixed, [make_batch(again, sizes)], again)
    rows = read_table(WORDS, files["words"])
    for number in numbers:
        texts = rows.filter(pa.compute.equal(rows["recording_id"], f"{number:032x}"))["text"]
        version = "v1-" if number in again else "v2-"
        assert all(text.startswith(version) for text in texts.to_pylist())
        assert len(texts) == (sizes if number in again else other)[number]


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_what_could_not_be_read_again_stays(
    history: tuple[dict[int, int], list[list[list[int]]]], data: st.DataObject
) -> None:
    """Of the old files all but what comes anew stays, wherever it sorts among the batches."""
    sizes, _ = history
    numbers = sorted(sizes)
    lost = data.draw(st.lists(st.sampled_from(numbers), unique=True))
    old = merge({}, [make_batch([*numbers, 999], sizes | {999: 3}, version=2)], numbers)
    per_batch = data.draw(st.integers(1, 4))
    replaced: set[str] = set()

    def read_again() -> Iterator[Batch]:
        for start in range(0, len(numbers), per_batch):
            batch = numbers[start : start + per_batch]
            if good := [n for n in batch if n not in lost]:
                replaced.update(f"{n:032x}" for n in good)
                yield make_batch(good, sizes)

    stays = make_batch([*sorted(lost), 999], sizes | {999: 3}, version=2)
    anew = [n for n in numbers if n not in lost]
    expected = merge(merge({}, [stays], []), [make_batch(anew, sizes)] if anew else [], [])
    assert merge(old, read_again(), [], replaced) == expected


def test_rows_are_sorted_and_grouped() -> None:
    """Rows come in order of recording and index, in row groups of one size but the last."""
    sizes = {n: 5 + n % 4 for n in range(12)}
    first = merge({}, [make_batch([11, 3, 7], sizes)], [3, 7, 11])
    files = merge(first, [make_batch([0, 5], sizes), make_batch([9], sizes)], [0, 5, 9])
    rows = read_table(WORDS, files["words"]).to_pylist()
    keys = [(row["recording_id"], row["word_index"]) for row in rows]
    assert keys == sorted(keys)
    footer = pq.ParquetFile(pa.BufferReader(files["words"])).metadata
    sizes_found = [footer.row_group(n).num_rows for n in range(footer.num_row_groups)]
    assert sizes_found[:-1] == [GROUP] * (len(sizes_found) - 1)
    assert 0 < sizes_found[-1] <= GROUP


def test_nothing_new_changes_nothing() -> None:
    """A merge without batches copies the files byte for byte."""
    sizes = dict.fromkeys(range(5), 6)
    files = merge({}, [make_batch(list(sizes), sizes)], list(sizes))
    assert merge(files, [], []) == files


def test_an_empty_partition() -> None:
    """A partition without rows is a readable file with all its columns."""
    files = merge({}, [], [])
    assert read_table(UTTERANCES, files["utterances"]).schema == UTTERANCES.arrow
    assert count_rows(files["utterances"]) == 0
    assert read_table(WORDS, None).num_rows == 0


def test_a_lake_from_before_a_table_or_a_column() -> None:
    """Partitions written without insights, or without a column, merge; what was absent is null."""
    old = merge({}, [make_batch([1, 2], {1: 3, 2: 4})], [1, 2])
    del old["insights"]
    sink = pa.BufferOutputStream()
    pq.write_table(read_table(WORDS, old["words"]).drop_columns(["confidence"]), sink)
    old["words"] = sink.getvalue().to_pybytes()
    files = merge(old, [make_batch([3], {3: 2})], [3])
    assert count_rows(files["insights"]) == 0
    rows = read_table(WORDS, files["words"])
    assert rows.schema == WORDS.arrow
    known = [value is not None for value in rows["confidence"].to_pylist()]
    assert known == [False] * 7 + [True] * 2


def test_documentation_travels_with_the_file() -> None:
    """A file alone says what each column means."""
    files = merge({}, [make_batch([1], {1: 3})], [1])
    for field in pq.ParquetFile(pa.BufferReader(files["words"])).schema_arrow:
        assert field.metadata[b"description"]


def test_other_readers_agree(tmp_path: Path) -> None:
    """DuckDB reads the same rows as pyarrow, with the partition's columns from the path."""
    sizes = dict.fromkeys(range(4), 9)
    files = merge({}, [make_batch(list(sizes), sizes)], list(sizes))
    place = tmp_path / "words" / "date=2026-11-21" / "provider=local"
    place.mkdir(parents=True)
    (place / "part-0.parquet").write_bytes(files["words"])
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT recording_id, word_index, start_ms, text, confidence, date, provider "
            "FROM read_parquet(?, hive_partitioning = true) ORDER BY 1, 2",
            [f"{tmp_path}/words/**/*.parquet"],
        ).fetchall()
    expected = read_table(WORDS, files["words"]).to_pylist()
    names = ("recording_id", "word_index", "start_ms", "text", "confidence")
    assert [row[:5] for row in rows] == [tuple(row[n] for n in names) for row in expected]
    assert {(str(row[5]), row[6]) for row in rows} == {("2026-11-21", "local")}


def test_a_file_that_is_none() -> None:
    """A damaged old file is an error, never silently an empty one."""
    with pytest.raises(pa.ArrowInvalid):
        merge({"words": b"not parquet"}, [make_batch([1], {1: 3})], [1])
    with pytest.raises(pa.ArrowInvalid):
        read_table(RECORDINGS, b"")
