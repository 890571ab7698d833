"""The only reader of the environment and of ``transcription.toml``.

What belongs here: every setting with its type, range and default. What does not: opening anything.
``Settings.load`` reports every bad value at once; importing this module reads nothing.

Order: environment variables ``TRANSCRIPTION__SECTION__KEY`` win over the file named by
``TRANSCRIPTION_CONFIG`` (else ``transcription.toml`` in the working directory), which wins over the
defaults here. Secrets come from the environment alone, under the names their vendors use.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from transcription_pipeline.errors import ConfigurationError

CONFIG_VARIABLE = "TRANSCRIPTION_CONFIG"
DEFAULT_CONFIG = "transcription.toml"
ProviderName = Literal["plaud", "scriptivox", "assemblyai", "aitronos", "local"]


class Money(BaseModel):
    """An amount: integer micros of a named currency."""

    model_config = ConfigDict(frozen=True)

    micros: int = Field(ge=0)
    currency: str


def _parse_money(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)(?:\.(\d{1,6}))?\s+([A-Za-z]{3,12})\s*", value)
    if not match:
        raise ValueError('must look like "50.00 USD"')
    whole, fraction, currency = match.groups()
    micros = int(whole) * 1_000_000 + int((fraction or "0").ljust(6, "0"))
    return {"micros": micros, "currency": currency.upper()}


Amount = Annotated[Money, BeforeValidator(_parse_money)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StorageSettings(_Section):
    """Where audio is found and where everything we make is kept."""

    audio: str = ""
    """Watched prefix, ``s3://bucket/prefix/``; never written, moved or deleted."""
    lake: str = "var/lake"
    """``s3://bucket/prefix/`` or a local directory."""
    endpoint_url: str = ""
    """For S3-compatible stores; empty means AWS."""
    region: str = "us-east-1"
    url_expires_s: int = Field(default=7200, ge=60, le=7 * 24 * 3600)
    """Life of a signed audio URL: queueing and turnaround must fit."""


class LedgerSettings(_Section):
    """Where the ledger is."""

    url: str = "sqlite:///var/ledger.db"
    """The key that seals requests is ``TRANSCRIPTION_LEDGER_KEY``, or a file beside SQLite."""


class DiscoverySettings(_Section):
    """How new recordings are noticed."""

    mode: Literal["list"] = "list"
    tick_budget_s: float = Field(default=40.0, gt=0, le=50)
    """A sensor tick stops listing after this long and goes on in the next (Dagster gives 60 s)."""


class PartitionSettings(_Section):
    """How recordings are divided."""

    cadence: Literal["daily"] = "daily"
    start: date = date(2026, 1, 1)
    """First day; older recordings belong to it."""


class RunSettings(_Section):
    """How one run behaves."""

    poll_window_s: float = Field(default=600.0, gt=0)
    """A run waits for answers at most this long; what is unfinished goes on in the next run."""
    lease_s: float = Field(default=60.0, ge=5)
    max_attempts: int = Field(default=3, ge=1, le=10)
    """Submissions per job at most, and only after failures that cost nothing."""


class RouteSettings(_Section):
    """One routing rule; the first match wins."""

    match: str = "**"
    providers: tuple[ProviderName, ...] = Field(min_length=1)
    fallback: tuple[ProviderName, ...] = ()
    language: str | None = None
    diarize: bool | None = None
    speakers_expected: int | None = Field(default=None, ge=1, le=50)
    word_timestamps: bool | None = None
    multichannel: bool | None = None
    redact_pii: tuple[str, ...] | None = None
    sentiment: bool | None = None
    entities: bool | None = None
    highlights: bool | None = None
    summary: bool | None = None
    model: str | None = None
    keyterms: tuple[str, ...] | None = None
    extra: dict[ProviderName, dict[str, Any]] = Field(default_factory=dict)

    def common_options(self) -> dict[str, Any]:
        """Return the common options that are set."""
        chosen = self.model_dump(
            exclude={"match", "providers", "fallback", "extra"}, exclude_none=True
        )
        return {name: list(v) if isinstance(v, tuple) else v for name, v in chosen.items()}


class BudgetSettings(_Section):
    """What may be spent on one provider."""

    per_day: Amount


class AssemblyAISettings(_Section):
    """The AssemblyAI account."""

    base_url: str = ""
    """Empty: the region's own address."""
    region: Literal["us", "eu"] = "us"
    delivery: Literal["url", "upload"] = "url"
    requests_per_s: float = Field(default=66.0, gt=0)
    """Documented limit: 20,000 requests per 5 minutes and account."""
    concurrency: int = Field(default=200, ge=1)
    """Jobs worked on at once by the account's plan; more wait in the provider's queue."""
    price_per_hour: Amount | None = None
    """None: the public list price of the model, with its add-ons."""
    poll_interval_s: float = Field(default=0.4, ge=0.05)
    settle_s: float = Field(default=900.0, ge=0)
    """How long after its URL's death an unlisted attempt is still looked for: the list lags, by
    how much is not documented."""


class ScriptivoxSettings(_Section):
    """The Scriptivox account."""

    base_url: str = ""
    """Empty: the service's own address."""
    delivery: Literal["url", "upload"] = "url"
    submits_per_s: float = Field(default=1.0, gt=0)
    """Documented limit per key: 60 submits, and 60 uploads, per minute."""
    looks_per_s: float = Field(default=3.0, gt=0)
    """Documented limits: 200 per minute and key; 300 per minute and address over everything."""
    lists_per_s: float = Field(default=1.0, gt=0)
    """Documented limit per key: 60 per minute."""
    concurrency: int = Field(default=200, ge=1)
    """Jobs under way at once; no limit is documented."""
    price_per_hour: Amount | None = None
    """None: the public list price."""
    poll_interval_s: float = Field(default=2.0, ge=0.05)


class AitronosSettings(_Section):
    """The organization at Aitronos."""

    base_url: str = ""
    """Empty: the service's own address."""
    auth: Literal["api_key", "bearer"] = "api_key"
    """How ``AITRONOS_API_KEY`` is sent: as a key, or as the token of a session."""
    delivery: Literal["url", "upload"] = "url"
    """Uploads are documented, but the vendor's packages call them a stub."""
    requests_per_s: float = Field(default=1.6, gt=0)
    """Documented as "in development": 100 requests per minute."""
    concurrency: int = Field(default=100, ge=1)
    """Jobs under way at once; no limit is documented."""
    price_per_hour: Amount | None = None
    """None: one synapse per second begun, "3600 SYNAPSES"."""
    poll_interval_s: float = Field(default=2.0, ge=0.05)
    look_s: float = Field(default=10.0, ge=0)
    """One job is looked at no more often: the service itself refreshes its state every 10 s."""
    settle_s: float = Field(default=900.0, ge=0)
    """How long after its URL's death an unlisted attempt is still looked for: how far the list
    lags is not documented."""


class LocalSettings(_Section):
    """The recogniser on this machine."""

    processes: int | None = Field(default=None, ge=1)
    """None: one per processor."""
    spool: Path = Path("var/local")


class ProviderSettings(_Section):
    """Settings of each provider."""

    assemblyai: AssemblyAISettings = AssemblyAISettings()
    scriptivox: ScriptivoxSettings = ScriptivoxSettings()
    aitronos: AitronosSettings = AitronosSettings()
    local: LocalSettings = LocalSettings()


class Secrets(_Section):
    """Credentials, from the environment alone, under their names in capitals; None where not set."""

    assemblyai_api_key: SecretStr | None = None
    scriptivox_api_key: SecretStr | None = None
    aitronos_api_key: SecretStr | None = None
    aitronos_organization_id: SecretStr | None = None
    transcription_ledger_key: SecretStr | None = None

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Return some of them in clear; raises ``ConfigurationError`` naming all that are missing."""
        found = {name: getattr(self, name) for name in names}
        missing = [name.upper() for name, value in found.items() if value is None]
        if missing:
            raise ConfigurationError(*(f"{name} is not set" for name in missing))
        return {name: value.get_secret_value() for name, value in found.items()}


class _Environment(EnvSettingsSource):
    """Reads variables; one that is not JSON is left as text, for the checks to accept or report."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Read JSON where a table or a list is wanted; ``50.00 USD`` is neither and fine."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="TRANSCRIPTION__", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    partitions: PartitionSettings = PartitionSettings()
    runs: RunSettings = RunSettings()
    routes: tuple[RouteSettings, ...] = ()
    budgets: dict[ProviderName, BudgetSettings] = Field(default_factory=dict)
    providers: ProviderSettings = ProviderSettings()
    secrets: Secrets = Secrets()

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Read the configuration.

        Args:
            path: The file; None means ``TRANSCRIPTION_CONFIG`` or ``transcription.toml``.

        Raises:
            ConfigurationError: lists every problem, by setting.
        """
        named = path or os.environ.get(CONFIG_VARIABLE)
        file = Path(named or DEFAULT_CONFIG)
        values: dict[str, Any] = {}
        if file.exists():
            try:
                values = tomllib.loads(file.read_text("utf-8"))
            except tomllib.TOMLDecodeError as error:
                raise ConfigurationError(f"{file}: {error}") from None
            except UnicodeDecodeError:
                raise ConfigurationError(f"{file}: not UTF-8 text") from None
            except OSError as error:
                raise ConfigurationError(f"{file}: {error.strerror}") from None
        elif named:
            raise ConfigurationError(f"{file}: no such file ({CONFIG_VARIABLE})")
        if "secrets" in values:
            raise ConfigurationError(f"{file}: secrets belong in the environment, not in a file")
        values["secrets"] = {
            name: os.environ.get(name.upper()) or None for name in Secrets.model_fields
        }
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigurationError(*_describe(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file's values."""
        del env_settings, dotenv_settings, file_secret_settings
        return _Environment(settings_cls), init_settings

    @property
    def enabled_providers(self) -> tuple[str, ...]:
        """Every provider that some route names, in order of first mention."""
        named = [p for route in self.routes for p in (*route.providers, *route.fallback)]
        return tuple(dict.fromkeys(named))


def _describe(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in item["loc"])
        problems.append(f"{place}: {item['msg']}")
    return problems
