"""What happens by the clock: yesterday and the days before are settled once a day."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from transcription_pipeline.defs.asset_jobs import TRANSCRIBE
from transcription_pipeline.defs.failures import as_failures
from transcription_pipeline.defs.partitions import Partitions, make_key
from transcription_pipeline.defs.resources import LedgerResource

SETTLED_DAYS = 3


def build_schedules(partitions: Partitions) -> list[dg.ScheduleDefinition]:
    """Build the schedules."""

    @dg.schedule(
        job_name=TRANSCRIBE,
        cron_schedule="0 4 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Runs recent partitions again: late files, due retries, and their checks.",
    )
    def settle_daily(
        context: dg.ScheduleEvaluationContext, ledger: dg.ResourceParam[LedgerResource]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        since = (context.scheduled_execution_time - timedelta(days=SETTLED_DAYS)).date()
        with as_failures():
            opened = ledger.open()
            found = opened.list_partitions()
            held = opened.read_jobs(state="held")
            opened.close()
        for job in held:
            named = (job["recording_id"], job["provider"], job["cause"])
            context.log.warning("held: recording %s at %s: %s", *named)
        recent = [(day, provider) for day, provider in found if day >= since.isoformat()]
        days = partitions.find_days((day for day, _ in recent), context.log)
        if not days:
            yield dg.SkipReason("no recordings in the last days")
        for key in (make_key(*where) for where in recent if where[0] in days):
            # Dagster takes several requests of one tick only with keys that tell them apart.
            yield dg.RunRequest(run_key=f"{since}|{key}", partition_key=key)

    return [settle_daily]
