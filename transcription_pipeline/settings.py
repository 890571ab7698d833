"""The only reader of the environment and of ``transcription.toml``.

What belongs here: every setting with its type, range and default (those of the providers are in
``provider_settings.py``, which reads nothing itself). What does not: opening anything.
``Settings.load`` reports every bad value at once; importing this module reads nothing.

Order: environment variables ``TRANSCRIPTION__SECTION__KEY`` win over the file named by
``TRANSCRIPTION_CONFIG`` (else ``transcription.toml`` in the working directory), which wins over the
defaults here. Secrets come from the environment alone, under the names their vendors use.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.log_redaction import redact_logs
from transcription_pipeline.provider_settings import Amount, ProviderSettings, Section

CONFIG_VARIABLE = "TRANSCRIPTION_CONFIG"
DEFAULT_CONFIG = "transcription.toml"
ProviderName = Literal["plaud", "scriptivox", "assemblyai", "aitronos", "local"]


class StorageSettings(Section):
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


class LedgerSettings(Section):
    """Where the ledger is."""

    url: str = "sqlite:///var/ledger.db"
    """The key that seals requests is ``TRANSCRIPTION_LEDGER_KEY``, or a file beside SQLite."""


class DiscoverySettings(Section):
    """How new recordings are noticed."""

    mode: Literal["list"] = "list"
    tick_budget_s: float = Field(default=40.0, gt=0, le=50)
    """A sensor tick stops listing after this long and goes on in the next (Dagster gives 60 s)."""


class PartitionSettings(Section):
    """How recordings are divided."""

    cadence: Literal["daily"] = "daily"
    start: date = date(2026, 1, 1)
    """First day; older recordings belong to it."""


class RunSettings(Section):
    """How one run behaves."""

    poll_window_s: float = Field(default=600.0, gt=0)
    """A run waits for answers at most this long; what is unfinished goes on in the next run."""
    lease_s: float = Field(default=60.0, ge=5)
    max_attempts: int = Field(default=3, ge=1, le=10)
    """Submissions per job at most, and only after failures that cost nothing."""
    reserve_mib: int = Field(default=512, ge=0)
    """Nothing paid is sent while a disk of the ledger or the lake has less room than this."""


class RouteSettings(Section):
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
    webhook: str | None = Field(default=None, pattern=r"^https://|^http://127\.0\.0\.1(:\d+)?/?")
    """Public address of ``tp webhooks``, e.g. ``https://hooks.example.com/tp``; None: only polling."""
    per_day: dict[ProviderName, Amount] = Field(default_factory=dict)
    """Provider → what this route's recordings may cost there, beside the provider's own budget."""
    extra: dict[ProviderName, dict[str, Any]] = Field(default_factory=dict)

    def common_options(self) -> dict[str, Any]:
        """Return the common options that are set."""
        chosen = self.model_dump(
            exclude={"match", "providers", "fallback", "extra", "per_day"}, exclude_none=True
        )
        if "webhook" in chosen:
            chosen["webhook"] = chosen["webhook"].rstrip("/")
        return {name: list(v) if isinstance(v, tuple) else v for name, v in chosen.items()}


class BudgetSettings(Section):
    """What may be spent on one provider."""

    per_day: Amount


class Secrets(Section):
    """Credentials, from the environment alone, under their names in capitals; None where not set."""

    assemblyai_api_key: SecretStr | None = None
    scriptivox_api_key: SecretStr | None = None
    aitronos_api_key: SecretStr | None = None
    aitronos_organization_id: SecretStr | None = None
    plaud_client_id: SecretStr | None = None
    plaud_secret_key: SecretStr | None = None
    plaud_api_key: SecretStr | None = None
    plaud_user_id: SecretStr | None = None
    transcription_ledger_key: SecretStr | None = None
    transcription_webhook_secret: SecretStr | None = None
    """Proves AssemblyAI's and Aitronos' webhooks; any long random text."""

    def of(self, names: Iterable[str], *, optional: Iterable[str] = ()) -> dict[str, str]:
        """Return some of them in clear, and those ``optional`` ones that are set.

        Raises ``ConfigurationError`` naming all that are missing.
        """
        wanted = tuple(names)
        if missing := self.list_missing(wanted):
            raise ConfigurationError(*(f"{name} is not set" for name in missing))
        found = {name: getattr(self, name) for name in (*wanted, *optional)}
        return {name: value.get_secret_value() for name, value in found.items() if value}

    def list_values(self) -> list[str]:
        """Return all that are set, in clear."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in found if value]

    def list_missing(self, names: Iterable[str]) -> list[str]:
        """Return the variables of those that are not set."""
        return [name.upper() for name in names if getattr(self, name) is None]


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
            settings = cls(**values)
        except ValidationError as error:
            raise ConfigurationError(*_describe(error)) from None
        redact_logs(settings.secrets.list_values())
        return settings

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
