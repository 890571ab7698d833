"""The list of commands."""

from __future__ import annotations

import click

from transcription_pipeline import __version__
from transcription_pipeline.cli.deciding import adopt, erase, resolve, retry
from transcription_pipeline.cli.demo import demo, ui
from transcription_pipeline.cli.doctor import doctor
from transcription_pipeline.cli.looking import compare, cost, jobs, query, show, status, tables
from transcription_pipeline.cli.serving import emulate, webhooks
from transcription_pipeline.cli.working import discover, plan, rebuild, run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="transcription-pipeline")
def commands() -> None:
    """Recordings in an S3 bucket become transcripts in Parquet, never paid twice."""


for command in (
    run,
    discover,
    plan,
    status,
    jobs,
    show,
    compare,
    query,
    tables,
    cost,
    resolve,
    retry,
    erase,
    adopt,
    rebuild,
    doctor,
    emulate,
    webhooks,
    demo,
    ui,
):
    commands.add_command(command)
