"""Commands that do something: run, discover, plan, rebuild.

Each is a call into ``pipeline.py`` and a report of what it did.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import click
import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from transcription_pipeline import pipeline
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
from transcription_pipeline.engine import RunReport
from transcription_pipeline.errors import AuthenticationFailed
from transcription_pipeline.pipeline import Written
from transcription_pipeline.tools import Tools

PARTITIONS_AT_ONCE = 4
LEASES_S = 90.0
"""How long a run waits for partitions that other workers hold."""
LOOK_AGAIN_S = 2.0
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
            uvloop.run(_carry_until_quiet(tools, progress))
        for day in tools.ledger.list_stale_days():
            pipeline.write_catalogue(tools, day)
        status, gates = tools.ledger.count_states(), find_closed_gates(tools)
    if as_json:
        print_json({"seen": found.seen, "new": found.new, "unrouted": found.unrouted, **status})
    else:
        console.print(f"{found.seen} recordings in the bucket, {found.new} of them new")
        print_status(status)
    for gate in gates:
        complaints.print(gate, style="red")
    return SOMETHING_FAILED if gates else exit_code_of(status)


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
    busy: list[str] = []
    with open_tools() as tools:
        for day, provider in tools.ledger.list_partitions():
            written = pipeline.write(tools, day, provider, is_rebuild=True)
            if written is None:
                busy.append(f"{day}/{provider}")
            else:
                totals.update(written.rows)
        for day in {day for day, _ in tools.ledger.list_partitions()}:
            totals.update(pipeline.write_catalogue(tools, day))
    if as_json:
        print_json(totals)
    else:
        print_table(["table", "rows"], totals.items())
    for partition in busy:
        complaints.print(f"{partition} is at work elsewhere; rebuild again later", style="red")
    return SOMETHING_FAILED if busy else OK


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


async def _carry_until_quiet(tools: Tools, progress: Progress) -> None:
    """Carry what is due; a provider that refuses our key hurts no other one."""
    at_once = asyncio.Semaphore(PARTITIONS_AT_ONCE)
    patience_s = LEASES_S
    refused: set[str] = set()

    async def carry(day: str, provider: str) -> bool | None:
        try:
            async with at_once:
                return await _carry(tools, day, provider, progress)
        except AuthenticationFailed:  # its gate is closed, and says so in the end
            refused.add(provider)
            return False

    while partitions := [p for p in pipeline.list_due(tools) if p.provider not in refused]:
        done = await asyncio.gather(*(carry(p.day, p.provider) for p in partitions))
        if any(done):
            continue
        if patience_s <= 0 or None not in done:
            return
        # Another worker holds a partition; if it died elsewhere its lease lapses.
        await asyncio.sleep(LOOK_AGAIN_S)
        patience_s -= LOOK_AGAIN_S


async def _carry(tools: Tools, day: str, provider: str, progress: Progress) -> bool | None:
    """Transcribe and write one partition; False: nothing to do now, None: another worker has it."""
    task = progress.add_task(f"{provider} {day}", total=None)
    watching: asyncio.Task[None] | None = None

    def follow(report: RunReport) -> None:
        nonlocal watching
        watching = asyncio.create_task(_follow(report, progress, task))

    try:
        report = await pipeline.transcribe(tools, day, provider, on_start=follow)
    finally:
        if watching:
            watching.cancel()
    written: Written | None = await asyncio.to_thread(pipeline.write, tools, day, provider)
    progress.update(task, total=1, completed=1)
    if report is None or written is None:
        return None
    return report.has_progress or written.published > 0


async def _follow(report: RunReport, progress: Progress, task: Any) -> None:
    while True:
        progress.update(task, total=report.due or None, completed=report.settled_count)
        await asyncio.sleep(0.2)


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
