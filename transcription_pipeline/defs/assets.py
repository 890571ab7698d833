"""The assets: what exists after each part of the story.

An asset unpacks its partition, calls ``pipeline.py`` and reports. Nothing here decides anything, so
a run may be repeated, killed or started twice. Assets are synchronous: Dagster runs async assets
one after the other and cannot clean up after cancelling them.
"""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg
import uvloop

from transcription_pipeline import pipeline
from transcription_pipeline.defs.checks import check_asset, make_check_specs
from transcription_pipeline.defs.failures import as_failures
from transcription_pipeline.defs.metadata import (
    describe_run,
    describe_states,
    describe_table,
    make_column_schema,
)
from transcription_pipeline.defs.partitions import Partitions, read_key
from transcription_pipeline.defs.resources import (
    AssemblyAIResource,
    AudioBucketResource,
    LakeResource,
    LedgerResource,
    LocalResource,
    OpensProvider,
    make_tools,
)
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.tables.schema import JOBS, RECORDINGS, TABLES, TRANSCRIPT_TABLES

STREAMED = {
    "uploaded_audio": "Audio handed to the provider: a signed URL, or an upload.",
    "transcription_jobs": "Jobs the provider accepted, at most one live attempt each.",
    "raw_transcripts": "Raw answers as received, compressed, in the lake.",
}
"""One op streams each recording through these three without a barrier between them."""


def build_assets(settings: Settings, partitions: Partitions) -> Sequence[dg.AssetsDefinition]:
    """Build every asset."""
    return [
        _build_catalogue(settings, partitions),
        _build_streamed(settings, partitions),
        _build_tables(settings, partitions),
    ]


def _build_catalogue(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="write_catalogue",
        group_name="transcription",
        specs=[
            dg.AssetSpec(
                table.name,
                description=table.description,
                kinds={"parquet"},
                metadata={"dagster/column_schema": make_column_schema(table)},
            )
            for table in (RECORDINGS, JOBS)
        ],
        partitions_def=partitions.days,
        can_subset=True,
    )
    def catalogue(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        audio_bucket: AudioBucketResource,
        lake: LakeResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        tools = make_tools(
            settings, ledger=ledger, audio_bucket=audio_bucket, lake=lake, providers={}
        )
        with as_failures():
            rows = pipeline.write_catalogue(tools, context.partition_key)
        tools.ledger.close()
        for name in _selected(context, rows):
            uri = tools.lake.root_uri + make_table_key(name, context.partition_key, None)
            yield dg.MaterializeResult(
                asset_key=name, metadata=describe_table(TABLES[name], uri, rows[name])
            )

    return catalogue


def _build_streamed(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    names = list(STREAMED)
    before = dict(zip(names, ["recordings", *names], strict=False))

    @dg.multi_asset(
        name="stream_recordings",
        group_name="transcription",
        specs=[
            dg.AssetSpec(name, deps=[before[name]], description=text, kinds={"s3"})
            for name, text in STREAMED.items()
        ],
        check_specs=make_check_specs(STREAMED),
        partitions_def=partitions.days_and_providers,
        can_subset=True,
    )
    def transcribe(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        audio_bucket: AudioBucketResource,
        lake: LakeResource,
        assemblyai: AssemblyAIResource,
        local: LocalResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        day, provider = read_key(context.partition_key)
        providers: dict[str, OpensProvider] = {"assemblyai": assemblyai, "local": local}
        tools = make_tools(
            settings, ledger=ledger, audio_bucket=audio_bucket, lake=lake, providers=providers
        )
        with as_failures():
            report = uvloop.run(pipeline.transcribe(tools, day, provider))
            jobs = [j for j in tools.ledger.read_jobs(day) if j["provider"] == provider]
        metadata = describe_states(jobs)
        if report is None:
            metadata["note"] = "another worker holds this partition; nothing was done"
        else:
            metadata |= describe_run(report)
        for name in _selected(context, names):
            found = list(check_asset(context, name, tools, day, provider))
            yield dg.MaterializeResult(asset_key=name, metadata=metadata, check_results=found)
        tools.ledger.close()

    return transcribe


def _build_tables(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="write_tables",
        group_name="transcription",
        specs=[
            dg.AssetSpec(
                table.name,
                deps=["raw_transcripts"],
                description=table.description,
                kinds={"parquet"},
                metadata={"dagster/column_schema": make_column_schema(table)},
            )
            for table in TRANSCRIPT_TABLES
        ],
        check_specs=make_check_specs(table.name for table in TRANSCRIPT_TABLES),
        partitions_def=partitions.days_and_providers,
        can_subset=True,
    )
    def write_tables(
        context: dg.AssetExecutionContext,
        ledger: LedgerResource,
        audio_bucket: AudioBucketResource,
        lake: LakeResource,
        assemblyai: AssemblyAIResource,
        local: LocalResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        day, provider = read_key(context.partition_key)
        providers: dict[str, OpensProvider] = {"assemblyai": assemblyai, "local": local}
        tools = make_tools(
            settings, ledger=ledger, audio_bucket=audio_bucket, lake=lake, providers=providers
        )
        with as_failures():
            written = pipeline.write(tools, day, provider)
            rows = pipeline.count_rows(tools, day, provider)
            jobs = [j for j in tools.ledger.read_jobs(day) if j["provider"] == provider]
        published = written.published if written else 0
        for name in _selected(context, rows):
            uri = tools.lake.root_uri + make_table_key(name, day, provider)
            metadata = describe_table(TABLES[name], uri, rows[name]) | describe_states(jobs)
            metadata["published_now"] = published
            if written and written.bad_results:
                metadata["bad_results"] = len(written.bad_results)
            found = list(check_asset(context, name, tools, day, provider))
            yield dg.MaterializeResult(asset_key=name, metadata=metadata, check_results=found)
        tools.ledger.close()

    return write_tables


def _selected(context: dg.AssetExecutionContext, names: Iterable[str]) -> list[str]:
    """Keep the assets this run was asked for, in order: Dagster wants what comes first first."""
    return [name for name in names if dg.AssetKey(name) in context.selected_asset_keys]
