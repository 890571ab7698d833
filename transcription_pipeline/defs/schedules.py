"""What happens by the clock: yesterday and the days before are settled once a day."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from transcription_pipeline.defs.asset_jobs import TRANSCRIBE
from transcription_pipeline.defs.failures import as_failures
from transcription_pipeline.defs.partitions import make_key
from transcription_pipeline.defs.resources import LedgerResource
from transcription_pipeline.settings import Settings

SETTLED_DAYS = 3


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Build the schedules."""
    del settings

    @dg.schedule(
        job_name=TRANSCRIBE,
        cron_schedule="0 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Runs recent partitions again: late files, due retries, and their checks.",
    )
    def settle_daily(
        context: dg.ScheduleEvaluationContext, ledger: LedgerResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        since = (context.scheduled_execution_time - timedelta(days=SETTLED_DAYS)).date()
        with as_failures():
            opened = ledger.open()
            partitions = opened.list_partitions()
            held = opened.read_jobs(state="held")
            opened.close()
        for job in held:
            named = (job["recording_id"], job["provider"], job["cause"])
            context.log.warning("held: recording %s at %s: %s", *named)
        recent = [(day, provider) for day, provider in partitions if day >= since.isoformat()]
        if not recent:
            yield dg.SkipReason("no recordings in the last days")
        for day, provider in recent:
            yield dg.RunRequest(partition_key=make_key(day, provider))

    return [settle_daily]
