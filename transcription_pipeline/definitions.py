"""What Dagster loads: the composition of ``defs/`` for the configuration in force.

Loading reads the configuration and nothing else: no connection, no file of ours, no secret.
"""

from __future__ import annotations

import dagster as dg

from transcription_pipeline.composition import REGISTRY
from transcription_pipeline.defs.asset_jobs import build_asset_jobs
from transcription_pipeline.defs.assets import build_assets
from transcription_pipeline.defs.partitions import build_partitions
from transcription_pipeline.defs.resources import build_resources
from transcription_pipeline.defs.schedules import build_schedules
from transcription_pipeline.defs.sensors import build_sensors
from transcription_pipeline.settings import Settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Compose everything; the graph is the same for every configuration, only values differ."""
    partitions = build_partitions(settings.partitions.start, tuple(REGISTRY))
    asset_jobs = build_asset_jobs(partitions)
    return dg.Definitions(
        assets=build_assets(settings, partitions),
        jobs=asset_jobs,
        sensors=build_sensors(settings, partitions, asset_jobs),
        schedules=build_schedules(partitions),
        resources=build_resources(settings),
        # One process per run: the work waits on the network, and a process costs seconds.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Settings.load())
