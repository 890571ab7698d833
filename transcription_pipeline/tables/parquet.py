"""One Parquet file per partition and table: merged, sorted, deterministic.

What belongs here: the files of the lake's tables and nothing about how rows come to be
(``build.py``). The bytes of a file depend on its rows alone, not on how many runs it took to gather
them: rows are ordered by recording and row groups have a fixed size. ``pipeline.write`` puts the
files in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transcription_pipeline.tables.schema import TableSchema

ROW_GROUP_ROWS = 262_144
"""Bounds the memory of a write to one group; larger groups save little (measured: 5 %)."""
_READ_ROWS = 65_536

Batch = dict[str, pa.Table]
"""Table name → rows, ordered by recording_id, of the same recordings in every table."""


def merge_partition(
    old_files: Mapping[str, Callable[[], bytes]],
    batches: Iterable[Batch],
    *,
    tables: Iterable[TableSchema],
    replaced_ids: Collection[str],
    folder: Path,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> dict[str, tuple[Path, int]]:
    """Merge new rows with a partition's old files into new ones.

    Args:
        old_files: Table name → what reads its present file; absent tables start empty.
        batches: New rows, batch after batch in ascending order of recording.
        tables: Which tables the batches carry.
        replaced_ids: Rows of these recordings in the old files are dropped, among them what
            ``batches`` bring. It may grow with each batch that comes, by what that one brings.
        folder: Where the new files go.
        row_group_rows: Rows per row group; the same for every merge of a partition.

    Returns:
        Table name → its new file and row count. Memory holds one batch and one row group.

    Safe to repeat: yes, the same rows give the same bytes.
    """
    merges = [
        _Merge(t, old_files.get(t.name), folder, replaced_ids, row_group_rows) for t in tables
    ]
    for batch in batches:
        for merge in merges:
            merge.add(batch[merge.table.name])
    return {merge.table.name: merge.finish() for merge in merges}


def read_table(table: TableSchema, file: bytes | None) -> pa.Table:
    """Return the rows of one file, empty when there is none."""
    if file is None:
        return table.arrow.empty_table()
    return pq.read_table(pa.BufferReader(file), schema=table.arrow)


def count_rows(file: bytes) -> int:
    """Return the row count in a file's footer."""
    return int(pq.read_metadata(pa.BufferReader(file)).num_rows)


def _complete(rows: pa.Table, table: TableSchema) -> pa.Table:
    """Give rows of an older file the columns that were added since, all null."""
    for field in table.arrow:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(table.arrow.names)


def _drop(rows: pa.Table, recording_ids: pa.Array) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows.column("recording_id"), recording_ids)))


class _Merge:
    """Streams old and new rows of one table, in order, into a new file."""

    def __init__(
        self,
        table: TableSchema,
        old: Callable[[], bytes] | None,
        folder: Path,
        replaced_ids: Collection[str],
        row_group_rows: int,
    ) -> None:
        self.table = table
        self._path = folder / f"{table.name}.parquet"
        self._replaced_ids = replaced_ids
        self._read_rows = min(_READ_ROWS, row_group_rows)
        self._old = self._read_old(old) if old else iter(())
        self._carry: pa.Table = table.arrow.empty_table()
        self._writer = _RowGroups(self._path, table, row_group_rows)

    def add(self, rows: pa.Table) -> None:
        """Write the new rows, and before and between them the old rows that sort there."""
        if rows.num_rows == 0:
            return
        last = rows.column("recording_id")[-1].as_py()
        self._writer.write(self._in_order([self._old_up_to(last), rows]))

    def finish(self) -> tuple[Path, int]:
        """Write what is left of the old rows; return the finished file and its row count."""
        replaced = self._list_replaced()
        for chunk in chain([self._carry], self._old):
            self._writer.write(_drop(chunk, replaced))
        return self._path, self._writer.close()

    def _old_up_to(self, last_id: str) -> pa.Table:
        parts: list[pa.Table] = [self.table.arrow.empty_table()]
        chunk: pa.Table | None = self._carry
        replaced = self._list_replaced()
        while chunk is not None:
            is_before = pc.less_equal(chunk.column("recording_id"), last_id)
            parts.append(_drop(chunk.filter(is_before), replaced))
            self._carry = chunk.filter(pc.invert(is_before))
            chunk = None if self._carry.num_rows else next(self._old, None)
        return pa.concat_tables(parts)

    def _list_replaced(self) -> pa.Array:
        return pa.array(list(self._replaced_ids), pa.string())

    def _in_order(self, parts: list[pa.Table]) -> pa.Table:
        filled = [part for part in parts if part.num_rows]
        if len(filled) < 2:
            return filled[0]
        rows = pa.concat_tables(filled)
        return rows.take(
            pc.sort_indices(rows, [(name, "ascending") for name in self.table.sort_by])
        )

    def _read_old(self, old: Callable[[], bytes]) -> Iterator[pa.Table]:
        file = pq.ParquetFile(pa.BufferReader(old()))
        for batch in file.iter_batches(batch_size=self._read_rows):
            rows = _complete(pa.Table.from_batches([batch]), self.table)
            yield rows.cast(self.table.arrow)


class _RowGroups:
    """Writes row groups of a fixed size, however the rows arrive."""

    def __init__(self, path: Path, table: TableSchema, row_group_rows: int) -> None:
        self._rows = row_group_rows
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._count = 0
        self._table = table
        self._writer = pq.ParquetWriter(
            path,
            table.arrow,
            compression="zstd",
            compression_level=1,
            use_dictionary=table.dictionary_columns,
            column_encoding=dict.fromkeys(table.delta_columns, "DELTA_BINARY_PACKED"),
            write_statistics=True,
        )

    def write(self, rows: pa.Table) -> None:
        if rows.num_rows == 0:
            return
        self._pending.append(rows)
        self._pending_rows += rows.num_rows
        self._count += rows.num_rows
        if self._pending_rows >= self._rows:
            gathered = pa.concat_tables(self._pending)
            while gathered.num_rows >= self._rows:
                self._flush(gathered.slice(0, self._rows))
                gathered = gathered.slice(self._rows)
            self._pending, self._pending_rows = [gathered], gathered.num_rows

    def close(self) -> int:
        gathered = pa.concat_tables([self._table.arrow.empty_table(), *self._pending])
        if gathered.num_rows:
            self._flush(gathered)
        self._writer.close()
        return self._count

    def _flush(self, rows: pa.Table) -> None:
        # One chunk per column: page boundaries then depend on the rows alone.
        self._writer.write_table(rows.combine_chunks(), row_group_size=self._rows)
