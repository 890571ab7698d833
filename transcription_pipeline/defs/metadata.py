"""What a materialisation tells: identifiers, numbers and paths; never what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from transcription_pipeline.engine import RunReport
from transcription_pipeline.tables.schema import TableSchema

_BAR = 24


def describe_run(report: RunReport) -> dict[str, Any]:
    """Describe one run over a partition."""
    latencies = sorted(report.latencies_s)
    return {
        "due": report.due,
        "pending": max(0, report.due - report.settled_count),
        "audio_hours": round(report.audio_ms / 3_600_000, 4),
        "requests": report.request_count,
        "latency_p50_s": _quantile(latencies, 0.5),
        "latency_p95_s": _quantile(latencies, 0.95),
        "outcomes": dg.MetadataValue.md(_draw(report.counts)),
        "failures": _table(("recording_id", "outcome", "cause"), report.failures),
    }


def describe_states(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Describe where the jobs of a partition and their attempts stand, and their money."""
    described: dict[str, Any] = {
        "jobs": len(jobs),
        "states": dg.MetadataValue.md(_draw(Counter(str(job["state"]) for job in jobs))),
        "attempts": dg.MetadataValue.md(
            _draw(Counter(str(job["attempt_state"]) for job in jobs if job["attempt_state"]))
        ),
    }
    for kind in ("reserved", "cost"):
        for currency in sorted({job["currency"] for job in jobs if job["currency"]}):
            micros = sum(j[f"{kind}_micros"] or 0 for j in jobs if j["currency"] == currency)
            described[f"{kind}_{currency.lower()}"] = micros / 1_000_000
    return described


def describe_table(table: TableSchema, uri: str, row_count: int) -> dict[str, Any]:
    """Describe one file: where it is, its rows and its columns."""
    return {
        "dagster/row_count": row_count,
        "path": dg.MetadataValue.path(uri.removeprefix("file://")),
        "dagster/column_schema": make_column_schema(table),
    }


def make_column_schema(table: TableSchema) -> dg.TableSchema:
    """Return the columns tab of a table."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=c.name,
                type="string" if pa.types.is_dictionary(c.type) else str(c.type),
                description=c.description + (f" [{c.unit}]" if c.unit else ""),
            )
            for c in table
        ]
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.TableMetadataValue:
    records = [dg.TableRecord(dict(zip(columns, map(str, row), strict=True))) for row in rows]
    schema = dg.TableSchema(columns=[dg.TableColumn(name=name) for name in columns])
    return dg.MetadataValue.table(records, schema=schema)


def _draw(counts: Mapping[str, int]) -> str:
    """Draw counts as bars."""
    if not counts:
        return "nothing"
    width, most = max(len(str(name)) for name in counts), max(counts.values())
    lines = [
        f"{name!s:<{width}} {'█' * max(1, round(_BAR * n / max(most, 1)))} {n}"
        for name, n in sorted(counts.items())
        if n
    ]
    return "```\n" + "\n".join(lines) + "\n```"
