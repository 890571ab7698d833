"""Dagster resources: settings in Dagster's shape, plain objects out.

What belongs here: one resource per outside, each with a method that returns an object that knows no
Dagster. Secrets are given by name (``EnvVar``), so the UI shows the name and never the value; what
may hold one beside other things is not given to Dagster at all.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource

from transcription_pipeline.composition import REGISTRY, build_limits, build_routes, open_ledger
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.provider_settings import ProviderSettings
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress, parse_s3_uri
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline.tools import Tools


@dataclass(frozen=True, repr=False)
class LedgerResource:
    """The ledger's database.

    A plain object: its URL may hold a password, and Dagster keeps the configuration of its own kind of
    resources in every snapshot, which its UI shows to whoever asks.
    """

    settings: Settings

    def open(self) -> Ledger:
        """Open it; the caller closes it."""
        return open_ledger(self.settings)


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


class ProviderResource(dg.ConfigurableResource[Provider]):
    """One provider account."""

    provider: str
    account: dict[str, Any]
    """Its section of the settings."""
    secrets: dict[str, str]
    """Its credentials, each an ``EnvVar``, so far as there are any."""

    def open(self) -> Provider:
        """Return a client; the caller closes it. Raises ``ConfigurationError`` without credentials."""
        missing = [
            name.upper() for name in REGISTRY[self.provider].secrets if name not in self.secrets
        ]
        if missing:
            raise ConfigurationError(*(f"{name} is not set" for name in missing))
        section = ProviderSettings.model_fields[self.provider].annotation
        return REGISTRY[self.provider].open(section(**self.account), self.secrets)  # type: ignore[misc]


def build_resources(settings: Settings) -> dict[str, Any]:
    """Describe every outside of the pipeline to Dagster."""
    storage = settings.storage
    s3 = S3Resource(endpoint_url=storage.endpoint_url or None, region_name=storage.region)
    return {
        "ledger": LedgerResource(settings),
        "audio_bucket": AudioBucketResource(uri=storage.audio, s3=s3),
        "lake": LakeResource(uri=storage.lake, s3=s3),
        **{name: _describe_provider(settings, name) for name in REGISTRY},
    }


def _describe_provider(settings: Settings, name: str) -> ProviderResource:
    # An unset variable stops every run; so it is only asked for where a route needs it. One that is
    # set is asked for in any case: a provider without a route may have what was sent to it before.
    entry = REGISTRY[name]
    needed = entry.secrets if name in settings.enabled_providers else ()
    named = (*entry.secrets, *entry.optional_secrets)
    return ProviderResource(
        provider=name,
        account=getattr(settings.providers, name).model_dump(mode="json", exclude_none=True),
        secrets={
            secret: dg.EnvVar(secret.upper())
            for secret in named
            if secret in needed or getattr(settings.secrets, secret)
        },
    )


OUTSIDES = frozenset({"ledger", "audio_bucket", "lake"})
"""Resources every step needs; provider resources are called like their provider."""


@contextmanager
def open_tools(
    settings: Settings, resources: Any, *, providers: Iterable[str] = ()
) -> Iterator[Tools]:
    """Yield what a step needs from a run's or a sensor's resources; the ledger is closed after."""
    names = tuple(providers)
    ledger = resources.ledger.open()
    try:
        yield Tools(
            ledger=ledger,
            audio=resources.audio_bucket.open(),
            audio_prefix=resources.audio_bucket.address.prefix,
            lake=resources.lake.open(),
            routes=build_routes(settings),
            make_provider={name: getattr(resources, name).open for name in names},
            limits={name: build_limits(settings, name) for name in names},
            first_day=settings.partitions.start,
        )
    finally:
        ledger.close()


def _bucket(address: BucketAddress, s3: S3Resource) -> S3ObjectStore:
    return S3ObjectStore(
        address,
        # Our client, not the resource's: URLs must be signed with SigV4 and waits be bounded.
        make_client=lambda: open_s3_client(s3.endpoint_url, s3.region_name),
    )
