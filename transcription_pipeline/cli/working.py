"""Commands that do something: run, discover, plan, rebuild.

Each is a call into ``pipeline.py`` and a report of what it did.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import click
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transcription_pipeline import pipeline
from transcription_pipeline.cli.carrying import carry_until_quiet, do_each, write_catalogues
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
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.publishing import is_routed
from transcription_pipeline.tools import Tools

CLOSED_GATES = {
    "auth": "it refused the credentials (see `tp doctor`)",
    "funds": "the account is out of funds (see `tp doctor`)",
    "breaker": "it does not answer paid requests",
}


@click.command()
@json_option
@reports_errors
def run(as_json: bool) -> int:
    """Find new recordings and carry everything that is due to the tables, without Dagster."""
    with open_tools() as tools:
        found = pipeline.discover(tools)
        with _progress(as_json) as progress:
            troubles = uvloop.run(carry_until_quiet(tools, progress))
        if not any(trouble.is_everybodys for trouble in troubles):
            troubles += write_catalogues(tools)
        status, gates = tools.ledger.count_states(), find_closed_gates(tools)
    if as_json:
        print_json({"seen": found.seen, "new": found.new, "unrouted": found.unrouted, **status})
    else:
        console.print(f"{found.seen} recordings in the bucket, {found.new} of them new")
        print_status(status)
    for gate in gates:
        complaints.print(gate, style="red")
    wrong: list[str] = []
    for trouble in troubles:
        if isinstance(trouble.error, ConfigurationError):
            wrong += trouble.error.problems
        else:
            complaints.print(str(trouble), style="red", soft_wrap=True)
    if wrong:
        raise ConfigurationError(*dict.fromkeys(wrong))
    return SOMETHING_FAILED if gates or troubles else exit_code_of(status)


@click.command()
@click.option(
    "--add-providers",
    "adds_providers",
    is_flag=True,
    help="Also plan known recordings for providers a changed route names (see `tp plan` for the price).",
)
@json_option
@reports_errors
def discover(adds_providers: bool, as_json: bool) -> int:
    """List the bucket and remember what is new; nothing is sent anywhere."""
    with open_tools() as tools:
        found = pipeline.discover(tools, adds_providers=adds_providers)
    if as_json:
        print_json({"seen": found.seen, "new": found.new, "unrouted": found.unrouted})
    else:
        console.print(
            f"{found.seen} recordings in the bucket, {found.new} of them new, "
            f"{found.unrouted} objects match no route"
        )
    return OK


@click.command()
@json_option
@reports_errors
def plan(as_json: bool) -> int:
    """Say what a run would send to whom, and its price by list; nothing is sent."""
    with open_tools() as tools:
        rows = _price_due(tools)
    if as_json:
        print_json(rows)
    elif not rows:
        console.print("nothing is due")
    else:
        print_table(
            ["day", "provider", "recordings", "hours", "cost", "currency", "of unknown length"],
            [
                [*list(row.values())[:4], _amount(row), row["currency"], row["unknown"]]
                for row in rows
            ],
        )
    return OK


@click.command()
@json_option
@reports_errors
def rebuild(as_json: bool) -> int:
    """Write every table anew from the raw answers; nothing is paid."""
    totals: Counter[str] = Counter()
    bad: list[dict[str, str]] = []
    with open_tools() as tools:
        partitions = tools.ledger.list_partitions()
        done, troubles = do_each(partial(pipeline.write, tools, is_rebuild=True), partitions)
        if not any(trouble.is_everybodys for trouble in troubles):
            days = sorted({(day,) for day, _ in partitions})
            catalogues, further = do_each(partial(pipeline.write_catalogue, tools), days)
            troubles += further
            for _, rows in catalogues:
                totals.update(rows)
    busy = ["/".join(place) for place, written in done if written is None]
    for (_, provider), written in done:
        if written is not None:
            totals.update(written.rows)
            bad += [
                {"recording_id": recording_id, "provider": provider, "cause": cause}
                for recording_id, cause in written.bad_results
            ]
    if as_json:
        print_json({**totals, "bad_results": bad})
    else:
        print_table(["table", "rows"], totals.items())
    for trouble in troubles:
        complaints.print(str(trouble), style="red", soft_wrap=True)
    for partition in busy:
        complaints.print(f"{partition} is at work elsewhere; rebuild again later", style="red")
    for one in bad:
        told = f"{one['recording_id']} at {one['provider']} could not be read again: {one['cause']}"
        complaints.print(told, style="red", soft_wrap=True)
    return SOMETHING_FAILED if troubles or busy or bad else OK


def print_status(status: dict[str, Any]) -> None:
    """Print the table provider × state."""
    states = ["published", "failed", "held", "in_progress"]
    rows = [[name, *(counts[s] for s in states)] for name, counts in status["by_provider"].items()]
    print_table(["provider", *states], rows)
    console.print(
        f"{status['recordings']} recordings, {status['quarantined']} quarantined, "
        f"{status['unaccounted']} unaccounted"
    )


def find_closed_gates(tools: Tools) -> list[str]:
    """Say of each provider that is sent nothing paid for some minutes why."""
    reasons = {name: tools.ledger.find_gate(name, tools.now()) for name in tools.make_provider}
    return [
        f"{name}: {CLOSED_GATES.get(reason, reason)}; nothing paid is sent for some minutes"
        for name, reason in reasons.items()
        if reason
    ]


def exit_code_of(status: dict[str, Any]) -> int:
    """Return 1 when anything failed, is held or is unaccounted."""
    counts = status["by_provider"].values()
    bad = status["unaccounted"] + sum(c["failed"] + c["held"] for c in counts)
    return SOMETHING_FAILED if bad else OK


def _progress(as_json: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=as_json or not console.is_terminal,
    )


def _price_due(tools: Tools) -> list[dict[str, Any]]:
    rows = []
    for partition in pipeline.list_due(tools):
        if not is_routed(tools, partition.provider):
            continue  # it is sent nothing new
        client = tools.make_provider[partition.provider]()
        work = tools.ledger.list_work(partition.day, partition.provider, tools.now())
        unsent = [item for item in work if item.attempt is None]
        lengths = [i.recording.facts.duration_ms for i in unsent if i.recording.facts]
        costs = [
            client.price(i.job.options, i.recording.facts.duration_ms)
            for i in unsent
            if i.recording.facts
        ]
        priced = [cost for cost in costs if cost]
        rows.append(
            {
                "day": partition.day,
                "provider": partition.provider,
                "recordings": len(unsent),
                "hours": round(sum(lengths) / 3_600_000, 3),
                "cost_micros": sum(cost.micros for cost in priced),
                "currency": priced[0].currency if priced else None,
                "unknown": len(unsent) - len(lengths),
            }
        )
    return rows


def _amount(row: dict[str, Any]) -> str:
    return f"{row['cost_micros'] / 1_000_000:.4f}"
