"""Commands with which a person decides: resolve, retry, erase, adopt. Who did is kept as evidence."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Any

import click

from transcription_pipeline import decisions
from transcription_pipeline.cli.looking import find_one
from transcription_pipeline.cli.output import (
    OK,
    SOMETHING_FAILED,
    USAGE,
    complaints,
    console,
    json_option,
    print_json,
    reports_errors,
)
from transcription_pipeline.cli.tools import open_tools

by_option = click.option("--by", default=getpass.getuser, help="Who decides; default: you.")


@click.command()
@click.argument("attempt")
@click.option(
    "--charged",
    metavar="JOB",
    is_flag=False,
    flag_value="",
    help="It became this job of the provider's; without JOB: the one that is known.",
)
@click.option("--not-charged", is_flag=True, help="It became none: it may be paid for anew.")
@click.option("--give-up", is_flag=True, help="It became none, and is not tried again.")
@by_option
@json_option
@reports_errors
def resolve(
    attempt: str, charged: str | None, not_charged: bool, give_up: bool, by: str, as_json: bool
) -> int:
    """Say what became of a held ATTEMPT, after a look into the provider's own console."""
    if (charged is not None) + not_charged + give_up != 1:
        complaints.print("say one of --charged JOB, --not-charged, --give-up")
        return USAGE
    with open_tools() as tools:
        was = decisions.resolve(tools, attempt, provider_job_id=charged, gives_up=give_up, by=by)
        (job,) = [
            row
            for row in tools.ledger.read_jobs(recording_id=was.recording_id)
            if row["job_id"] == was.job_id
        ]
    told = {name: job[name] for name in ("attempt_id", "attempt_state", "key", "provider", "state")}
    if as_json:
        print_json(told)
    else:
        console.print(
            f"{job['key']} at {job['provider']}: {job['attempt_state']}, {job['state']}; "
            "the next run goes on",
        )
    return OK


@click.command()
@click.argument("recording", required=False)
@click.option("--provider", help="Only jobs of this provider.")
@click.option("--cause", help="Only jobs that failed for this cause; see `tp jobs --state failed`.")
@click.option("--day", help="Only this day, YYYY-MM-DD.")
@click.option("--may-cost-again", is_flag=True, help="Also jobs that may have cost something.")
@by_option
@json_option
@reports_errors
def retry(
    recording: str | None,
    provider: str | None,
    cause: str | None,
    day: str | None,
    may_cost_again: bool,
    by: str,
    as_json: bool,
) -> int:
    """Let failed and quarantined jobs be worked on again; `tp plan` then says for how much."""
    if not (recording or provider or cause or day):
        complaints.print("say which: RECORDING, --provider, --cause or --day")
        return USAGE
    with open_tools() as tools:
        wanted: dict[str, Any] = {"provider": provider, "recording_id": None}
        if recording:
            found = find_one(tools, recording)
            if found is None:
                return SOMETHING_FAILED
            wanted["recording_id"] = found["recording_id"]
        jobs = [
            job
            for state in ("failed", "quarantined")
            for job in tools.ledger.read_jobs(day, state=state, **wanted)
            if cause in (None, job["cause"])
        ]
        revived, left = decisions.retry(tools, jobs, may_cost_again=may_cost_again, by=by)
    if as_json:
        print_json({"revived": revived, "left": left})
    else:
        console.print(
            f"{len(revived)} jobs are in progress again, {len(left)} are left as they were"
        )
        if left:
            console.print(
                "those may have cost something (--may-cost-again), were erased, or are at work"
            )
    return SOMETHING_FAILED if left else OK


@click.command()
@by_option
@json_option
@reports_errors
def adopt(by: str, as_json: bool) -> int:
    """Let this ledger pay for what comes into the lake, after another or a newer copy of it did."""
    with open_tools() as tools:
        opened = decisions.adopt(tools, by=by)
    if as_json:
        print_json({"unclear": opened})
    else:
        console.print(f"the lake is ours; {opened} jobs may have been sent and are looked up first")
    return OK


@click.command()
@click.argument("recording")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@json_option
@reports_errors
def erase(recording: str, yes: bool, by: str, as_json: bool) -> int:
    """Erase what was said in RECORDING, here and at the providers; what it cost stays."""
    with open_tools() as tools:
        found = find_one(tools, recording)
        if found is None:
            return SOMETHING_FAILED
        if not yes:
            click.confirm(f"Erase every transcript of {found['key']!r} for good?", abort=True)
        done = decisions.erase(tools, found["recording_id"], by=by)
    if as_json:
        print_json(asdict(done))
    else:
        console.print(
            f"erased: {done.raw_answers} raw answers, {done.files} files, rows in "
            f"{len(done.tables)} partitions, {len(done.confirmed)} copies at providers"
        )
        for copy in done.unconfirmed:
            complaints.print(f"not confirmed: {copy}", style="red")
        console.print(f"the audio itself is yours to delete: {found['key']}")
    return SOMETHING_FAILED if done.unconfirmed else OK
