"""What the lake holds: every table with its place, rows, bytes and partitions."""

from __future__ import annotations

from typing import TypedDict

import pyarrow as pa

from transcription_pipeline.errors import StorageError
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.tables.parquet import count_rows
from transcription_pipeline.tables.schema import TABLES


class TableFacts(TypedDict):
    """One table of the lake."""

    table: str
    path: str
    rows: int
    bytes: int
    partitions: int


def list_tables(lake: ObjectStore) -> list[TableFacts]:
    """Describe every table, those without files too; raises ``StorageError`` for a broken file."""
    return [_describe(lake, name) for name in TABLES]


def _describe(lake: ObjectStore, name: str) -> TableFacts:
    facts = TableFacts(
        table=name, path=f"{lake.root_uri}tables/{name}/", rows=0, bytes=0, partitions=0
    )
    token: str | None = None
    while True:
        page = lake.list_page(f"tables/{name}/", token)
        for stored in page.objects:
            if stored.key.endswith(".parquet"):
                facts["rows"] += _count_rows(lake, stored.key)
                facts["bytes"] += stored.size_bytes
                facts["partitions"] += 1
        token = page.next_token
        if token is None:
            return facts


def _count_rows(lake: ObjectStore, key: str) -> int:
    try:
        return count_rows(lake.get(key))
    except (OSError, pa.ArrowException) as error:
        raise StorageError(str(error), key=key) from None
