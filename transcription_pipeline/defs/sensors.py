"""What is noticed: new recordings, and work that has become due.

Both sensors are level-triggered: they compare the bucket and the ledger as they are with the runs
that are live, and ask for what is missing. Nothing depends on a run key or a cursor for safety; the
cursor only says where a long listing goes on.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

import dagster as dg

from transcription_pipeline import pipeline
from transcription_pipeline.defs.asset_jobs import CATALOGUE, TRANSCRIBE
from transcription_pipeline.defs.failures import as_failures
from transcription_pipeline.defs.partitions import Partitions, make_key
from transcription_pipeline.defs.resources import OUTSIDES, open_tools
from transcription_pipeline.settings import Settings
from transcription_pipeline.tools import Tools

PARTITION_TAG = "dagster/partition"
REQUESTS_PER_TICK = 200
COOL_DOWN = timedelta(minutes=5)
"""A partition of which two runs failed in this time is left alone, so that a lasting fault is no
storm; one that was merely killed goes on at the next tick."""
LIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_sensors(
    settings: Settings, partitions: Partitions, asset_jobs: Sequence[Any]
) -> list[dg.SensorDefinition]:
    """Build both sensors; they ask for runs of ``asset_jobs``."""
    requests_of = partial(_requests, partitions)

    @dg.sensor(
        jobs=asset_jobs,
        required_resource_keys=set(OUTSIDES),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists the bucket, remembers what is new, asks for runs of days with work.",
    )
    def new_recordings(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with as_failures(), open_tools(settings, context.resources) as tools:
            found = pipeline.discover(
                tools, token=context.cursor or None, budget_s=settings.discovery.tick_budget_s
            )
            requests = list(requests_of(context.instance, tools, context.log, is_fresh=True))
        context.log.info("%s recordings listed, %s new", found.seen, found.new)
        return _result(requests, f"{found.new} new recordings", cursor=found.next_token or "")

    @dg.sensor(
        jobs=asset_jobs,
        required_resource_keys=set(OUTSIDES),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for runs of partitions whose attempts go on, and of stale catalogues.",
    )
    def jobs_due(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with as_failures(), open_tools(settings, context.resources) as tools:
            requests = list(requests_of(context.instance, tools, context.log, is_fresh=False))
        return _result(requests, "nothing is due")

    return [new_recordings, jobs_due]


def _requests(
    partitions: Partitions,
    instance: dg.DagsterInstance,
    tools: Tools,
    log: logging.Logger,
    *,
    is_fresh: bool,
) -> Iterable[dg.RunRequest]:
    """Ask for each partition with work and no run that is live; some rest (``COOL_DOWN``).

    Args:
        partitions: Know for which days there can be a run.
        instance: Knows which runs are live.
        tools: The ledger knows what is due.
        log: Is told of days left out.
        is_fresh: Partitions with jobs that were never attempted; else those with jobs that go on,
            and days whose catalogue tables are older than the ledger.
    """
    live = {_where(run) for run in instance.get_runs(filters=dg.RunsFilter(statuses=LIVE))}
    recent = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], updated_after=tools.now() - COOL_DOWN
    )
    failed = Counter(_where(run) for run in instance.get_runs(filters=recent))
    resting = {where for where, count in failed.items() if count > 1}
    due = pipeline.list_due(tools, is_fresh=is_fresh)
    days = partitions.find_days((partition.day for partition in due), log)
    keys = (make_key(p.day, p.provider) for p in due if p.day in days)
    wanted = (key for key in keys if (TRANSCRIBE, str(key)) not in live | resting)
    for key in islice(wanted, REQUESTS_PER_TICK):
        yield dg.RunRequest(job_name=TRANSCRIBE, partition_key=key)
    if is_fresh:
        return
    stale = partitions.find_days(tools.ledger.list_stale_days(), log)
    for day in sorted(stale)[:REQUESTS_PER_TICK]:
        # While a provider still works on the day its catalogue would be stale again at once.
        is_busy = any(key is not None and key.startswith(day) for _, key in live)
        if not is_busy and (CATALOGUE, day) not in resting:
            yield dg.RunRequest(job_name=CATALOGUE, partition_key=day)


def _where(run: dg.DagsterRun) -> tuple[str, str | None]:
    return run.job_name, run.tags.get(PARTITION_TAG)


def _result(
    requests: list[dg.RunRequest], otherwise: str, cursor: str | None = None
) -> dg.SensorResult:
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=cursor)
    return dg.SensorResult(skip_reason=dg.SkipReason(otherwise), cursor=cursor)
