"""DuckDB over the lake: one view per table, with its comments.

What belongs here: opening a connection and running a user's SQL. What does not: rows of our own
making. The views read the Parquet files where they lie; nothing is copied or cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from transcription_pipeline.errors import QueryError, StorageError
from transcription_pipeline.log_redaction import clean
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.tables.schema import TABLES, TableSchema


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of one query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def open_views(
    lake: ObjectStore, *, endpoint_url: str = "", region: str = ""
) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection with a view per table; the caller closes it.

    Tables without files are empty views, so that a question never fails for lack of recordings.

    Args:
        lake: Where the tables are.
        endpoint_url: Of an S3-compatible store; empty means AWS.
        region: Of the lake's bucket; empty leaves it to the AWS configuration.

    Raises:
        StorageError: a table's files cannot be listed or read.
    """
    with ExitStack() as on_failure:
        connection = on_failure.enter_context(duckdb.connect(":memory:"))
        connection.execute("SET TimeZone = 'UTC'")
        for table in TABLES.values():
            try:
                _create_view(connection, lake, table, endpoint_url, region)
            except (OSError, pa.ArrowException, duckdb.Error) as error:
                raise StorageError(clean(str(error)), key=_prefix_of(table)) from None
            _comment(connection, table)
        on_failure.pop_all()
    return connection


def run_query(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, Any] | None = None
) -> Answer:
    """Run a user's SQL; raises ``QueryError`` with DuckDB's own explanation.

    ``values`` stand for ``$name`` in the SQL.
    """
    try:
        cursor = connection.execute(sql, dict(values)) if values else connection.execute(sql)
        if not cursor:  # what the annotations of DuckDB do not tell
            raise QueryError("there is no statement in it")
        if cursor.description is None:
            return Answer([], [])
        return Answer([column[0] for column in cursor.description], cursor.fetchall())
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    except (OverflowError, ValueError) as error:
        # Some values of DuckDB's, such as intervals of millions of years, have no Python object.
        raise QueryError(f"a value cannot be shown: {error}") from None


def _prefix_of(table: TableSchema) -> str:
    return f"tables/{table.name}/"


def _comment(connection: duckdb.DuckDBPyConnection, table: TableSchema) -> None:
    connection.execute(f"COMMENT ON VIEW {table.name} IS {_quoted(table.description)}")
    for column in table:
        unit = f" [{column.unit}]" if column.unit else ""
        comment = _quoted(column.description + unit)
        connection.execute(f"COMMENT ON COLUMN {table.name}.{column.name} IS {comment}")


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    lake: ObjectStore,
    table: TableSchema,
    endpoint_url: str,
    region: str,
) -> None:
    prefix = _prefix_of(table)
    if not lake.list_page(prefix).objects:
        empty = f"{table.name}_without_files"
        connection.register(empty, _with_date(table))
        connection.execute(f"CREATE VIEW {table.name} AS FROM {empty}")
        return
    parts = urlsplit(lake.root_uri)
    if parts.scheme == "file":
        glob = f"{unquote(parts.path)}{prefix}*/**/*.parquet"
        source = f"read_parquet({_quoted(glob)}, hive_partitioning = true)"
    else:
        # DuckDB's own S3 reader is an extension that must be downloaded; Arrow's is here already.
        source = f"{table.name}_files"
        files = ds.dataset(
            f"{parts.netloc}{parts.path}{prefix}",
            filesystem=pafs.S3FileSystem(
                endpoint_override=endpoint_url or None, region=region or None
            ),
            partitioning=ds.partitioning(flavor="hive"),
        )
        connection.register(source, files)
    # Names come from our own registry and the glob is quoted: nothing of a user's is in this text.
    columns = ", ".join([*table.arrow.names, "CAST(date AS DATE) AS date"])
    connection.execute(f"CREATE VIEW {table.name} AS FROM {source} SELECT {columns}")


def _with_date(table: TableSchema) -> Any:
    return table.arrow.append(pa.field("date", pa.date32())).empty_table()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
