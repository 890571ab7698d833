"""Asset jobs: what a run materialises together."""

from __future__ import annotations

from typing import Any

import dagster as dg

from transcription_pipeline.defs.assets import STREAMED
from transcription_pipeline.defs.partitions import Partitions
from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES

TRANSCRIBE = "transcribe"
CATALOGUE = "catalogue"


def build_asset_jobs(partitions: Partitions) -> list[Any]:
    """Build the two: one partition of one provider, and the catalogue of a day.

    Dagster gives the type of an unresolved asset job no public name.
    """
    streamed = [*STREAMED, *(table.name for table in TRANSCRIPT_TABLES)]
    return [
        dg.define_asset_job(
            TRANSCRIBE,
            selection=dg.AssetSelection.assets(*streamed),
            partitions_def=partitions.days_and_providers,
            description="Everything from audio to tables for one day of one provider.",
        ),
        dg.define_asset_job(
            CATALOGUE,
            selection=dg.AssetSelection.assets("recordings", "jobs"),
            partitions_def=partitions.days,
            description="The tables recordings and jobs of one day, from the ledger.",
        ),
    ]
