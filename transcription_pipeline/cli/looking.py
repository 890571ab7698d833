"""Commands that look and change nothing: status, jobs, show, compare, query, tables, cost.

They read the ledger and the lake, never the audio bucket. ``cost`` alone asks a provider, where a
free call tells what may still be spent.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click

from transcription_pipeline.analytics.compare import compare as compare_transcripts
from transcription_pipeline.analytics.tables import list_tables
from transcription_pipeline.analytics.views import open_views, run_query
from transcription_pipeline.cli.doctor import check_provider
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
from transcription_pipeline.cli.working import exit_code_of, find_closed_gates, print_status
from transcription_pipeline.composition import REGISTRY, build_lake, build_provider_factories
from transcription_pipeline.domain.job import JobState
from transcription_pipeline.errors import NormaliseError, TranscriptionPipelineError
from transcription_pipeline.ledger.reading import ADOPTED
from transcription_pipeline.normalise import find_unknown_fields
from transcription_pipeline.providers.base import Cost
from transcription_pipeline.publishing import read_raw
from transcription_pipeline.settings import Settings
from transcription_pipeline.tools import Tools


@click.command()
@json_option
@reports_errors
def status(as_json: bool) -> int:
    """Count what every recording × provider is; the counts add up."""
    with open_tools() as tools:
        counted, gates = tools.ledger.count_states(), find_closed_gates(tools)
    if as_json:
        print_json(counted)
    else:
        print_status(counted)
    for gate in gates:
        complaints.print(gate, style="red")
    return exit_code_of(counted)


@click.command()
@click.option("--day", help="Only this day, YYYY-MM-DD.")
@click.option("--state", type=click.Choice([s.value for s in JobState]), help="Only this state.")
@json_option
@reports_errors
def jobs(day: str | None, state: str | None, as_json: bool) -> int:
    """List jobs with their newest attempt."""
    with open_tools() as tools:
        rows = tools.ledger.read_jobs(day, state=state)
    if as_json:
        print_json([row | {"next_command": _name_next_command(row)} for row in rows])
        return OK
    shown = ["recording_id", "key", "provider", "state", "attempt_state", "cause", "attempt_count"]
    print_table(shown, [[row[name] for name in shown] for row in rows])
    for row in rows:
        if command := _name_next_command(row):
            is_told = row["sent_at"] and row["cause"] != ADOPTED
            sent_at = f", sent {row['sent_at'][:19]} UTC" if is_told else ""
            reserved = row["reserved_micros"]
            cost = f", about {reserved / 1e6:g} {row['currency']}" if reserved else ""
            told = (
                f"{row['key']} at {row['provider']}{sent_at}{cost}: {row['detail'] or row['cause']}"
            )
            console.print(told, soft_wrap=True)
            console.print(f"  {command}", soft_wrap=True)
    return OK


@click.command()
@click.argument("recording")
@json_option
@reports_errors
def show(recording: str, as_json: bool) -> int:
    """Tell all about one recording, named by its id (or the beginning of it) or its key."""
    with open_tools() as tools:
        found = find_one(tools, recording)
        if found is None:
            return SOMETHING_FAILED
        told = _tell(tools, found)
    if as_json:
        print_json(told)
        return OK
    print_table(["recording", ""], [(k, v) for k, v in told["recording"].items() if v is not None])
    shown = ["provider", "state", "attempt_state", "cause", "provider_job_id", "cost_micros"]
    print_table(["job", *shown], [[j["job_id"], *(j[n] for n in shown)] for j in told["jobs"]])
    moves = ["at", "provider", "number", "from_state", "to_state", "cause"]
    print_table(moves, [[row[name] for name in moves] for row in told["history"]])
    seen = ["at", "provider", "number", "kind", "cause", "detail"]
    print_table(seen, [[row[name] for name in seen] for row in told["evidence"]])
    for provider, names in told["unknown_fields"].items():
        console.print(f"{provider} answered fields that are not read: {', '.join(names)}")
    return OK


@click.command()
@click.argument("recording")
@json_option
@reports_errors
def compare(recording: str, as_json: bool) -> int:
    """Lay what each provider heard in RECORDING side by side, by time."""
    settings = Settings.load()
    with open_tools(settings) as tools:
        found = find_one(tools, recording)
        if found is None:
            return SOMETHING_FAILED
        with open_views(tools.lake, **_find_s3(settings)) as views:
            told = compare_transcripts(views, found["recording_id"])
    if as_json:
        print_json({"recording_id": found["recording_id"], "key": found["key"], **asdict(told)})
        return OK
    if not told.transcripts:
        complaints.print("no transcript of it is published yet")
        return SOMETHING_FAILED
    names = [transcript["provider"] for transcript in told.transcripts]
    print_table(
        ["", *names],
        [[_write_time(r["start_ms"]), *(_say(r[name]) for name in names)] for r in told.rows],
    )
    print_table(list(told.transcripts[0]), [list(t.values()) for t in told.transcripts])
    for pair in told.disagreement:
        a, b = pair["providers"]
        console.print(f"{a} and {b} differ in {pair['disagreement']:.1%} of the words")
    return OK


@click.command()
@click.argument("sql")
@json_option
@reports_errors
def query(sql: str, as_json: bool) -> int:
    """Run SQL over the tables with DuckDB."""
    settings = Settings.load()
    with open_views(build_lake(settings), **_find_s3(settings)) as connection:
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
    """Sum what was spent and what is reserved, by day and provider, and what credit is left."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    settings = Settings.load()
    with open_tools(settings) as tools:
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
    credits_left = _find_credit(settings)
    if as_json:
        left = {name: credit.micros for name, credit in credits_left.items() if credit}
        lines = [dict(zip(names, row, strict=True)) for row in rows]
        print_json([line | {"available_micros": left.get(line["provider"])} for line in lines])
    elif not rows:
        console.print("nothing was spent")
    else:
        shown = [[*row[:4], row[4] / 1e6, row[5] / 1e6] for row in rows]
        print_table(["day", "provider", "currency", "jobs", "spent", "reserved"], shown)
    if not as_json:
        for name, credit in credits_left.items():
            told = f"{credit.micros / 1e6:.2f} {credit.currency}" if credit else "not told now"
            console.print(f"credit at {name}: {told}")
    return OK


def _find_s3(settings: Settings) -> dict[str, str]:
    return {"endpoint_url": settings.storage.endpoint_url, "region": settings.storage.region}


def _find_credit(settings: Settings) -> dict[str, Cost | None]:
    """Ask the providers that tell; None where the answer did not come."""
    found: dict[str, Cost | None] = {}
    factories = build_provider_factories(settings)
    for name in settings.enabled_providers:
        if REGISTRY[name].tells_credit:
            try:
                found[name] = asyncio.run(check_provider(factories[name])).available
            except (TranscriptionPipelineError, TimeoutError):
                found[name] = None
    return found


def _name_next_command(job: dict[str, Any]) -> str | None:
    """Say what a person types about this job; None when nothing waits for a person."""
    if job["state"] == "held":
        known = job["provider_job_id"] or "JOB"
        return f"tp resolve {job['attempt_id'][:12]} --charged {known} | --not-charged"
    if job["state"] == "failed":
        return f"tp retry {job['recording_id'][:12]} --provider {job['provider']}"
    return None


def find_one(tools: Tools, named: str) -> dict[str, Any] | None:
    """Return the recording of this id, beginning of an id, or key; None, with a complaint."""
    found = tools.ledger.find_recordings(named)
    if len(found) == 1:
        return found[0]
    complaints.print(f"{len(found) or 'no'} recordings match {named!r}")
    return None


def _write_time(ms: int) -> str:
    return f"{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms // 100 % 10}"


def _say(heard: dict[str, Any]) -> str:
    speakers = "+".join(heard["speakers"])
    return f"{speakers}: {heard['text']}" if speakers and heard["text"] else heard["text"]


def _tell(tools: Tools, recording: dict[str, Any]) -> dict[str, Any]:
    recording_id = recording["recording_id"]
    told_jobs = tools.ledger.read_jobs(recording_id=recording_id)
    return {
        "recording": recording,
        "jobs": told_jobs,
        "history": tools.ledger.read_history(recording_id),
        "evidence": tools.ledger.read_evidence(recording_id),
        "unknown_fields": _find_unknown_fields(tools, told_jobs),
    }


def _find_unknown_fields(tools: Tools, jobs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Name, by provider, the fields of the answers that our reading does not know."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        with suppress(NormaliseError):
            body = read_raw(tools, job["provider"], job["raw_key"])
            names = find_unknown_fields(job["provider"], body)
            if names:
                found[job["provider"]] = list(names)
    return found
