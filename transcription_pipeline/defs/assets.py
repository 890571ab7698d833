"""The assets: what exists after each part of the story.

An asset unpacks its partition, calls ``pipeline.py`` and reports. Nothing here decides anything, so
a run may be repeated, killed or started twice. Assets are synchronous: Dagster runs async assets
one after the other and cannot clean up after cancelling them.
"""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg
import uvloop

from transcription_pipeline import pipeline, publishing
from transcription_pipeline.composition import REGISTRY
from transcription_pipeline.defs.checks import check_asset, make_check_specs
from transcription_pipeline.defs.failures import as_failures
from transcription_pipeline.defs.metadata import (
    describe_run,
    describe_states,
    describe_table,
    make_column_schema,
)
from transcription_pipeline.defs.partitions import Partitions, read_key
from transcription_pipeline.defs.resources import OUTSIDES, open_tools
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.tables.schema import (
    JOBS,
    RECORDINGS,
    TABLES,
    TRANSCRIPT_TABLES,
    TableSchema,
)

GROUP = "transcription"
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
        group_name=GROUP,
        specs=[_describe(table) for table in (RECORDINGS, JOBS)],
        partitions_def=partitions.days,
        required_resource_keys=set(OUTSIDES),
        can_subset=True,
    )
    def write_catalogue(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        day = context.partition_key
        with as_failures(), open_tools(settings, context.resources) as tools:
            rows = pipeline.write_catalogue(tools, day)
            root = tools.lake.root_uri
        for name in _selected(context, rows):
            uri = root + make_table_key(name, day, None)
            metadata = describe_table(TABLES[name], uri, rows[name])
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)

    return write_catalogue


def _build_streamed(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    before = dict(zip(STREAMED, ["recordings", *STREAMED], strict=False))

    @dg.multi_asset(
        name="stream_recordings",
        group_name=GROUP,
        specs=[
            dg.AssetSpec(name, deps=[before[name]], description=text)
            for name, text in STREAMED.items()
        ],
        check_specs=make_check_specs(STREAMED),
        partitions_def=partitions.days_and_providers,
        required_resource_keys=set(OUTSIDES | REGISTRY.keys()),
        can_subset=True,
    )
    def stream_recordings(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None]]:
        day, provider = read_key(context.partition_key)
        with as_failures(), open_tools(settings, context.resources, providers=REGISTRY) as tools:
            report = uvloop.run(pipeline.transcribe(tools, day, provider))
            metadata = describe_states(tools.ledger.read_jobs(day, provider=provider))
            if report is None:
                metadata["note"] = "another worker holds this partition; nothing was done"
            else:
                metadata |= describe_run(report)
            for name in _selected(context, STREAMED):
                found = list(check_asset(context, name, tools, day, provider))
                yield dg.MaterializeResult(asset_key=name, metadata=metadata, check_results=found)

    return stream_recordings


def _build_tables(settings: Settings, partitions: Partitions) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="write_tables",
        group_name=GROUP,
        specs=[_describe(table, made_from="raw_transcripts") for table in TRANSCRIPT_TABLES],
        check_specs=make_check_specs(table.name for table in TRANSCRIPT_TABLES),
        partitions_def=partitions.days_and_providers,
        required_resource_keys=set(OUTSIDES | REGISTRY.keys()),
        can_subset=True,
    )
    def write_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        day, provider = read_key(context.partition_key)
        with as_failures(), open_tools(settings, context.resources, providers=REGISTRY) as tools:
            written = pipeline.write(tools, day, provider)
            rows = publishing.count_rows(tools, day, provider)
            states = describe_states(tools.ledger.read_jobs(day, provider=provider))
            states["published_now"] = written.published if written else 0
            states["bad_results"] = len(written.bad_results) if written else 0
            states["unknown_fields"] = list(written.unknown_fields) if written else []
            for name in _selected(context, rows):
                uri = tools.lake.root_uri + make_table_key(name, day, provider)
                metadata = describe_table(TABLES[name], uri, rows[name]) | states
                found = list(check_asset(context, name, tools, day, provider))
                yield dg.MaterializeResult(asset_key=name, metadata=metadata, check_results=found)

    return write_tables


def _describe(table: TableSchema, *, made_from: str | None = None) -> dg.AssetSpec:
    return dg.AssetSpec(
        table.name,
        deps=[made_from] if made_from else [],
        description=table.description,
        kinds={"parquet"},
        metadata={"dagster/column_schema": make_column_schema(table)},
    )


def _selected(context: dg.AssetExecutionContext, names: Iterable[str]) -> list[str]:
    """Keep the assets this run was asked for, in order: Dagster wants what comes first first."""
    return [name for name in names if dg.AssetKey(name) in context.selected_asset_keys]
