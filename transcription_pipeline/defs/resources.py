"""Dagster resources: settings in Dagster's shape, plain objects out.

What belongs here: one resource per outside, each with a method that returns an object that knows no
Dagster. Secrets are given by name (``EnvVar``), so the UI shows the name and never the value.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
from dagster_aws.s3 import S3Resource

from transcription_pipeline.composition import build_limits, build_routes
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.pipeline import Tools
from transcription_pipeline.providers.assemblyai import AssemblyAIProvider
from transcription_pipeline.providers.base import AudioDelivery, Provider
from transcription_pipeline.providers.local import LocalProvider
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress, parse_s3_uri
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client


class OpensProvider(Protocol):
    """What every provider's resource has."""

    def open(self) -> Provider:
        """Return a client; the caller closes it."""
        ...


class LedgerResource(dg.ConfigurableResource[Ledger]):
    """The ledger's database."""

    url: str

    def open(self) -> Ledger:
        """Open it; the caller closes it."""
        return Ledger.open(self.url)


class AudioBucketResource(dg.ConfigurableResource[S3ObjectStore]):
    """The watched prefix, read only."""

    uri: str
    s3: S3Resource

    def open(self) -> S3ObjectStore:
        """Describe its whole bucket, for keys are complete; nothing is contacted yet."""
        return _bucket(BucketAddress(self.address.bucket, ""), self.s3)

    @property
    def address(self) -> BucketAddress:
        """The watched bucket and prefix."""
        return parse_s3_uri(self.uri, "storage.audio")


class LakeResource(dg.ConfigurableResource[ObjectStore]):
    """Where raw answers and tables are kept: a bucket or a folder."""

    uri: str
    s3: S3Resource

    def open(self) -> ObjectStore:
        """Describe it; nothing is contacted yet."""
        if "://" in self.uri:
            return _bucket(parse_s3_uri(self.uri, "storage.lake"), self.s3)
        return FolderStore(Path(self.uri))


class AssemblyAIResource(dg.ConfigurableResource[Provider]):
    """One AssemblyAI project."""

    api_key: str
    region: str = "us"
    base_url: str = ""
    delivery: str = "url"
    requests_per_s: float = 66.0
    concurrency: int = 200
    price_per_hour_micros: int | None = None
    settle_s: float = 900.0

    def open(self) -> Provider:
        """Return a client; the caller closes it."""
        return AssemblyAIProvider(
            api_key=self.api_key,
            region=self.region,
            base_url=self.base_url,
            delivery=AudioDelivery(self.delivery),
            requests_per_s=self.requests_per_s,
            concurrency=self.concurrency,
            price_per_hour_micros=self.price_per_hour_micros,
            settle_s=self.settle_s,
        )


class LocalResource(dg.ConfigurableResource[Provider]):
    """The recogniser on this machine."""

    spool: str
    process_count: int | None = None

    def open(self) -> Provider:
        """Return it; its child processes start with the first recording."""
        return LocalProvider(spool=Path(self.spool), process_count=self.process_count)


def build_resources(settings: Settings) -> dict[str, Any]:
    """Describe every outside of the pipeline to Dagster."""
    storage, account = settings.storage, settings.providers.assemblyai
    s3 = S3Resource(endpoint_url=storage.endpoint_url or None, region_name=storage.region)
    is_wanted = "assemblyai" in settings.enabled_providers
    price = account.price_per_hour
    return {
        "ledger": LedgerResource(url=settings.ledger.url),
        "audio_bucket": AudioBucketResource(uri=storage.audio, s3=s3),
        "lake": LakeResource(uri=storage.lake, s3=s3),
        "assemblyai": AssemblyAIResource(
            # An unset variable stops a run; so it is only asked for where a route needs it.
            api_key=dg.EnvVar("ASSEMBLYAI_API_KEY") if is_wanted else "",
            region=account.region,
            base_url=account.base_url,
            delivery=account.delivery,
            requests_per_s=account.requests_per_s,
            concurrency=account.concurrency,
            price_per_hour_micros=price.micros if price else None,
            settle_s=account.settle_s,
        ),
        "local": LocalResource(
            spool=str(settings.providers.local.spool),
            process_count=settings.providers.local.processes,
        ),
    }


def make_tools(
    settings: Settings,
    *,
    ledger: LedgerResource,
    audio_bucket: AudioBucketResource,
    lake: LakeResource,
    providers: Mapping[str, OpensProvider],
) -> Tools:
    """Gather what a step needs; the caller closes the ledger."""
    return Tools(
        ledger=ledger.open(),
        audio=audio_bucket.open(),
        audio_prefix=audio_bucket.address.prefix,
        lake=lake.open(),
        routes=build_routes(settings),
        make_provider={name: resource.open for name, resource in providers.items()},
        limits={name: build_limits(settings, name) for name in providers},
        first_day=settings.partitions.start,
    )


def _bucket(address: BucketAddress, s3: S3Resource) -> S3ObjectStore:
    return S3ObjectStore(
        address,
        # Our client, not the resource's: URLs must be signed with SigV4 and waits be bounded.
        make_client=lambda: open_s3_client(s3.endpoint_url, s3.region_name),
    )
