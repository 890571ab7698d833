"""Commands that look and change nothing: status, jobs, show, query, tables, cost.

They read the ledger and the lake, never a provider and never the audio bucket.
"""

from __future__ import annotations

from typing import Any

import click

from transcription_pipeline.analytics.tables import list_tables
from transcription_pipeline.analytics.views import open_views, run_query
from transcription_pipeline.cli.output import (
    OK,
    SOMETHING_FAILED,
    complaints,
    console,
    json_option,
    print_json,
    print_table,
    reports_errors,
)
from transcription_pipeline.cli.tools import open_tools
from transcription_pipeline.cli.working import exit_code_of, print_status
from transcription_pipeline.composition import build_lake
from transcription_pipeline.settings import Settings
from transcription_pipeline.tools import Tools


@click.command()
@json_option
@reports_errors
def status(as_json: bool) -> int:
    """Count what every recording × provider is; the counts add up."""
    with open_tools() as tools:
        counted = tools.ledger.count_states()
    if as_json:
        print_json(counted)
    else:
        print_status(counted)
    return exit_code_of(counted)


@click.command()
@click.option("--day", help="Only this day, YYYY-MM-DD.")
@click.option("--state", help="Only this state: in_progress, published, failed, held, quarantined.")
@json_option
@reports_errors
def jobs(day: str | None, state: str | None, as_json: bool) -> int:
    """List jobs with their newest attempt."""
    with open_tools() as tools:
        rows = tools.ledger.read_jobs(day, state=state)
    if as_json:
        print_json(rows)
        return OK
    shown = ["recording_id", "key", "provider", "state", "attempt_state", "cause", "attempt_count"]
    print_table(shown, [[row[name] for name in shown] for row in rows])
    return OK


@click.command()
@click.argument("recording")
@json_option
@reports_errors
def show(recording: str, as_json: bool) -> int:
    """Tell all about one recording, named by its id (or the beginning of it) or its key."""
    with open_tools() as tools:
        found = [
            row
            for row in tools.ledger.read_recordings()
            if row["recording_id"].startswith(recording) or row["key"] == recording
        ]
        if len(found) != 1:
            complaints.print(f"{len(found)} recordings match {recording!r}", markup=False)
            return SOMETHING_FAILED
        told = _tell(tools, found[0])
    if as_json:
        print_json(told)
        return OK
    print_table(["recording", ""], [(k, v) for k, v in told["recording"].items() if v is not None])
    shown = ["provider", "state", "attempt_state", "cause", "provider_job_id", "cost_micros"]
    print_table(["job", *shown], [[j["job_id"], *(j[n] for n in shown)] for j in told["jobs"]])
    moves = ["at", "provider", "number", "from_state", "to_state", "cause"]
    print_table(moves, [[row[name] for name in moves] for row in told["history"]])
    return OK


@click.command()
@click.argument("sql")
@json_option
@reports_errors
def query(sql: str, as_json: bool) -> int:
    """Run SQL over the tables with DuckDB."""
    settings = Settings.load()
    connection = open_views(build_lake(settings), endpoint_url=settings.storage.endpoint_url)
    with connection:
        answer = run_query(connection, sql)
    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    else:
        print_table(answer.columns, answer.rows)
    return OK


@click.command()
@json_option
@reports_errors
def tables(as_json: bool) -> int:
    """List the tables: where they are and how much is in them."""
    found = list_tables(build_lake(Settings.load()))
    if as_json:
        print_json(found)
    else:
        print_table(
            ["table", "path", "rows", "bytes", "partitions"], [list(t.values()) for t in found]
        )
    return OK


@click.command()
@json_option
@reports_errors
def cost(as_json: bool) -> int:
    """Sum what was spent and what is reserved, by day and provider."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    with open_tools() as tools:
        for job in tools.ledger.read_jobs():
            if job["currency"] is None:
                continue
            line = sums.setdefault((job["day"], job["provider"], job["currency"]), [0, 0, 0])
            line[0] += 1
            line[1] += job["cost_micros"] or 0
            is_open = job["cost_micros"] is None and job["state"] in ("in_progress", "held")
            line[2] += (job["reserved_micros"] or 0) if is_open else 0
    names = ["day", "provider", "currency", "jobs", "cost_micros", "reserved_micros"]
    rows: list[list[Any]] = [[*key, *values] for key, values in sorted(sums.items())]
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    elif not rows:
        console.print("nothing was spent")
    else:
        shown = [[*row[:4], row[4] / 1e6, row[5] / 1e6] for row in rows]
        print_table(["day", "provider", "currency", "jobs", "spent", "reserved"], shown)
    return OK


def _tell(tools: Tools, recording: dict[str, Any]) -> dict[str, Any]:
    recording_id = recording["recording_id"]
    return {
        "recording": recording,
        "jobs": tools.ledger.read_jobs(recording_id=recording_id),
        "history": tools.ledger.read_history(recording_id),
    }
