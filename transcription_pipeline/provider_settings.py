"""What can be set of each provider: addresses, rates, prices, patience.

What belongs here: types, ranges and defaults of the tables ``[providers.…]``, each default with where
it comes from. What does not: reading files or the environment, and credentials (``settings.py``, the
only reader). Clients are opened from these sections.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

PlaudModel = Literal["plaud-fast-whisper", "plaud-omni-3", "azure-fast-transcribe"]
"""The first is documented; third parties read the others in the vendor's OpenAPI file."""


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


class Section(BaseModel):
    """A table of the configuration: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AssemblyAISettings(Section):
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
    redacted_audio_wait_s: float = Field(default=120.0, ge=0)
    """How long redacted audio, where a route asks for it, is waited for once its transcript is
    there; what does not come by then is recorded, and the transcript published without it."""


class ScriptivoxSettings(Section):
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


class AitronosSettings(Section):
    """The organization at Aitronos."""

    base_url: str = ""
    """Empty: the service's own address."""
    auth: Literal["api_key", "bearer"] = "api_key"
    """How ``AITRONOS_API_KEY`` is sent: as a key, or as the token of a session."""
    form: Literal["json", "multipart"] = "json"
    """``json``: asynchronous, as the pages have it. ``multipart``: the file in one request that is
    answered with the words, as newer vendor packages have it and no page. It takes ``language`` and
    ``model`` alone, and what it costs is not documented."""
    spool: Path = Path("var/aitronos")
    """Where answers of the multipart form are kept; all workers need the same folder."""
    answer_s: float = Field(default=600.0, gt=0)
    """How long the answer of the multipart form is waited for, also by a run that is to stop: to
    give up early may cost money."""
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


class PlaudSettings(Section):
    """The account at Plaud Embedded, and whose files its uploads are (``PLAUD_USER_ID``)."""

    region: Literal["us", "jp", "eu", "sg"] = "us"
    """Where the account is: its credentials are good there alone."""
    base_url: str = ""
    """Scheme and host; empty: the region's own."""
    model: PlaudModel = "plaud-fast-whisper"
    """Where a route names none."""
    requests_per_s: float = Field(default=1.0, gt=0)
    """Reported limit: 60 requests per minute, here for submits and looks together, and again for
    uploads."""
    concurrency: int = Field(default=20, ge=1)
    """Jobs under way at once: no limit is documented, but all are looked at under one rate."""
    price_per_hour: Amount | None = None
    """None: the list price, "0.28 USD"."""
    poll_interval_s: float = Field(default=5.0, ge=0.05)
    """What the vendor's own apps take."""
    deadline_s: float = Field(default=6 * 3600.0, ge=60, le=6 * 24 * 3600)
    """A job that is unfinished after so long is held: an id that Plaud forgot may look pending for
    ever. Answers are kept for 7 days."""
    user_token_s: int = Field(default=86_400, ge=300)
    """Life asked for the token that uploads carry."""

    @model_validator(mode="after")
    def _check_region(self) -> PlaudSettings:
        if self.region in {"eu", "sg"} and not self.base_url:
            raise ValueError(f'region {self.region} is "Coming soon"; us and jp are available')
        return self


class LocalSettings(Section):
    """The recogniser on this machine."""

    processes: int | None = Field(default=None, ge=1)
    """None: one per processor."""
    spool: Path = Path("var/local")


class ProviderSettings(Section):
    """Settings of each provider."""

    assemblyai: AssemblyAISettings = AssemblyAISettings()
    scriptivox: ScriptivoxSettings = ScriptivoxSettings()
    aitronos: AitronosSettings = AitronosSettings()
    plaud: PlaudSettings = PlaudSettings()
    local: LocalSettings = LocalSettings()
