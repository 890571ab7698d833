"""``tp demo`` and ``tp ui``: the whole product on this machine, with nothing but it.

The demo starts an S3 server and the emulated providers, puts the sample recordings into the bucket,
lets the real sensors and asset jobs run on a real Dagster instance, and shows what came of it. The
UI command serves that same instance.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from transcription_pipeline.analytics.tables import list_tables
from transcription_pipeline.analytics.views import open_views, run_query
from transcription_pipeline.cli.embedded import Embedded, run_embedded, stop_all
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
from transcription_pipeline.cli.working import print_status
from transcription_pipeline.composition import build_audio_store
from transcription_pipeline.emulators.server import read_invoice
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.storage.layout import parse_s3_uri
from transcription_pipeline.tools import Tools

VAR = Path("var")
SAMPLES = Path("samples")
SHOWN_KEY = "meetings/budget.m4a"
"""A stereo recording: whoever can tell speakers apart does."""


@click.command()
@json_option
@reports_errors
def demo(as_json: bool) -> int:
    """Run the sample recordings through the whole pipeline; needs no account and no key."""
    started_at = time.monotonic()
    entries = _read_manifest()
    with run_embedded(VAR) as world:
        put = _put_samples(world, entries)
        _say(as_json, f"{len(entries)} sample recordings in the bucket, {put} of them new")
        is_well = _drive(world, as_json)
        with open_tools(world.settings) as tools:
            surprises = _compare_with_manifest(
                tools, entries, len(world.settings.enabled_providers)
            )
            outcome = _gather(world, tools)
    outcome |= {
        "new_objects": put,
        "surprises": surprises,
        "seconds": round(time.monotonic() - started_at, 1),
    }
    if as_json:
        print_json(outcome)
    else:
        _print_outcome(outcome)
    return OK if is_well and not surprises else SOMETHING_FAILED


@click.command()
@click.option("--port", default=3000, show_default=True, help="Where the UI listens, on loopback.")
@click.option("--launch", "may_launch", is_flag=True, help="Let the UI launch runs.")
@reports_errors
def ui(port: int, may_launch: bool) -> int:
    """Serve the Dagster UI and its daemon on the demo's instance until interrupted.

    The UI has no login, so it only shows, unless --launch is given; sensors run all the same.
    """
    with run_embedded(VAR) as world:
        environment = _open_instance(world)
        dagster = str(Path(sys.executable).parent / "dagster")
        # Opened once before two processes do: a new SQLite instance cannot be made by both.
        subprocess.run(
            [dagster, "instance", "info"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        commands = [
            [f"{dagster}-daemon", "run", "-w", "workspace.yaml"],
            [sys.executable, "-m", "transcription_pipeline.defs.webserver", "-p", str(port)],
        ]
        if may_launch:
            commands[1].append("--launch")
        children = [subprocess.Popen(command, env=environment) for command in commands]
        console.print(f"UI            http://127.0.0.1:{port}")
        console.print(f"bucket        {world.settings.storage.audio} at {world.endpoint_url}")
        console.print("drop a file   " + _upload_command(world), soft_wrap=True)
        console.print("stop          Ctrl-C")
        for number in (signal.SIGINT, signal.SIGTERM):
            # Said for both: a shell's background job starts with SIGINT ignored.
            signal.signal(number, signal.default_int_handler)
        try:
            while all(child.poll() is None for child in children):
                time.sleep(0.5)
        except KeyboardInterrupt:
            return OK
        finally:
            stop_all(children)
    complaints.print("the UI or the daemon ended by itself", style="red")
    return SOMETHING_FAILED


def _read_manifest() -> list[dict[str, Any]]:
    manifest = SAMPLES / "manifest.json"
    if not manifest.exists():
        raise ConfigurationError(f"no {manifest}: run this in the project's folder")
    entries: list[dict[str, Any]] = json.loads(manifest.read_text())["samples"]
    return entries


def _put_samples(world: Embedded, entries: Sequence[Mapping[str, Any]]) -> int:
    store = build_audio_store(world.settings)
    prefix = parse_s3_uri(world.settings.storage.audio, "storage.audio").prefix
    put = 0
    for entry in entries:
        if store.find(prefix + entry["key"]) is None:
            store.put(prefix + entry["key"], (SAMPLES / entry["file"]).read_bytes())
            put += 1
    return put


def _open_instance(world: Embedded) -> dict[str, str]:
    home = VAR.resolve() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy("dagster.yaml", home / "dagster.yaml")
    return {**os.environ, **world.environment, "DAGSTER_HOME": str(home)}


def _drive(world: Embedded, as_json: bool) -> bool:
    """Let sensors and asset jobs run until quiet, in a process of their own."""
    command = [sys.executable, "-W", "ignore", "-m", "transcription_pipeline.defs.driving"]
    with (
        (VAR / "logs" / "dagster.log").open("ab") as log,
        subprocess.Popen(
            command, env=_open_instance(world), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            event = json.loads(line)
            verdict = "ok" if event["success"] else "FAILED"
            named = f"{event['job']} {event['partition']}"
            _say(as_json, f"  run {named:<36} {verdict}  {event['seconds']} s")
        code = process.wait()
    if code:
        complaints.print(f"a run did not succeed; see {VAR}/logs/dagster.log", style="red")
    return code == 0


def _compare_with_manifest(
    tools: Tools, entries: Sequence[Mapping[str, Any]], provider_count: int
) -> list[str]:
    """Return a line for everything that did not end where the manifest says."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in tools.ledger.read_jobs():
        found.setdefault(job["key"].removeprefix(tools.audio_prefix), []).append(job)
    surprises = []
    for entry in entries:
        jobs = found.get(entry["key"], [])
        if len(jobs) != provider_count:
            surprises.append(f"{_short(entry['key'])}: {len(jobs)} jobs")
        for job in jobs:
            ended = (job["state"], job["cause"] if job["state"] == "quarantined" else None)
            if ended != (entry["expected"], entry.get("quarantine_reason")):
                surprises.append(f"{_short(entry['key'])} at {job['provider']}: {ended}")
    return surprises


def _short(key: str) -> str:
    return key if len(key) <= 60 else f"{key[:40]}…{key[-16:]}"


def _gather(world: Embedded, tools: Tools) -> dict[str, Any]:
    with open_views(tools.lake, endpoint_url=world.settings.storage.endpoint_url) as connection:
        spent = run_query(
            connection,
            "SELECT provider, count(*) AS recordings, round(sum(duration_ms) / 3.6e6, 4) AS hours,"
            " coalesce(sum(cost_micros), 0) / 1e6 AS cost, any_value(currency) AS currency"
            " FROM transcripts GROUP BY provider ORDER BY provider",
        )
        heard = run_query(
            connection,
            "SELECT utterance_index, provider, start_ms, end_ms, speaker_label, text"
            " FROM utterances JOIN recordings USING (recording_id, date)"
            " WHERE key = $key AND utterance_index < 2"
            " ORDER BY utterance_index, provider",
            {"key": tools.audio_prefix + SHOWN_KEY},
        )
    return {
        **tools.ledger.count_states(),
        "quarantine": [
            {"key": row["key"], "reason": row["quarantine_reason"]}
            for row in tools.ledger.read_recordings()
            if row["quarantine_reason"]
        ],
        "spent": [dict(zip(spent.columns, row, strict=True)) for row in spent.rows],
        "utterances": [dict(zip(heard.columns, row, strict=True)) for row in heard.rows],
        "tables": list_tables(tools.lake),
        "invoices": {name: _sum_up(read_invoice(u)) for name, u in world.emulator_urls.items()},
    }


def _sum_up(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "lines": len(lines),
        "amount_micros": sum(line["amount_micros"] - line["refunded_micros"] for line in lines),
        "currency": next((line["currency"] for line in lines), None),
    }


def _print_outcome(outcome: Mapping[str, Any]) -> None:
    console.print()
    print_status(dict(outcome))
    for row in outcome["quarantine"]:
        console.print(f"  quarantined: {row['key']} ({row['reason']})", markup=False)
    print_table(
        ["provider", "recordings", "hours", "cost", "currency"],
        [list(row.values()) for row in outcome["spent"]],
    )
    for name, invoice in outcome["invoices"].items():
        amount = invoice["amount_micros"] / 1e6
        console.print(
            f"the {name} emulator's own invoice: {invoice['lines']} jobs, "
            f"{amount:.6f} {invoice['currency'] or ''}"
        )
    print_table(
        ["#", "provider", "from ms", "to ms", "speaker", "text"],
        [list(row.values()) for row in outcome["utterances"]],
        title=f"\n{SHOWN_KEY}, as each heard it. All but local are emulated here: "
        "the local recogniser's ears, each vendor's wire format.",
    )
    print_table(
        ["table", "path", "rows", "bytes", "partitions"],
        [list(table.values()) for table in outcome["tables"]],
    )
    for surprise in outcome["surprises"]:
        console.print(f"not as the manifest says: {surprise}", style="red", markup=False)
    console.print(f"{outcome['seconds']} s. What to type next:")
    console.print("  make ui")
    console.print(
        '  .venv/bin/tp query "select provider, count(*) n from utterances group by 1"',
        soft_wrap=True,
    )
    console.print("  .venv/bin/tp status")


def _upload_command(world: Embedded) -> str:
    uri = world.settings.storage.audio
    keys = " ".join(
        f"{n}={world.environment[n]}" for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    )
    return f"{keys} aws --endpoint-url {world.endpoint_url} s3 cp FILE {uri}"


def _say(as_json: bool, text: str) -> None:
    if not as_json:
        console.print(text, markup=False)
