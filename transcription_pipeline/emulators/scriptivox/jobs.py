"""What the emulated service keeps: jobs, uploads, keys, and the settings it works under.

Plain records and pure questions about them; what happens to them is in ``desk.py``. Instants are
seconds since 1970 on the emulator's clock, money is micros of a US dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transcription_pipeline.emulators.scriptivox.refusals import CANCELLED, Failure
from transcription_pipeline.emulators.speech import Script, Speech, SpeechSettings

MICROS_PER_CENT = 10_000
PRICE_PER_HOUR_MICROS = 200_000
"""Quickstart: $0.20 per hour of audio, billed per second."""


class ScriptivoxSettings(SpeechSettings, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How this emulator behaves where the pages leave a choice, or accounts differ."""

    balance_cents: float = 1_000_000.0
    """What each account paid in."""
    api_keys: dict[str, str] | None = None
    """Key to account; None: every key is accepted and is an account of its own."""
    revoked_keys: tuple[str, ...] = ()
    """Keys that answer API_KEY_REVOKED."""
    limit_factor: float = 1.0
    """Times the documented limits per minute; 0 lifts them."""
    idempotency_hours: float = 24.0
    """How long a key is remembered; not documented."""
    idempotency_compares: Literal["bytes", "json"] = "bytes"
    """What "same body" means; not documented."""
    idempotency_locked_s: float = 0.0
    """For how long after its first use a key is "in flight" and answers 409."""
    remembers_refusals: bool = False
    """Whether a refused creation takes its key; not documented."""
    funds_checked: Literal["probe", "submit"] = "probe"
    """Where INSUFFICIENT_BALANCE appears: a failed job, or a 402 for scripted audio of known
    length. Not documented for URLs, whose length is unknown at submit."""
    unfinished_fields: Literal["null", "absent"] = "null"
    """Fields that have no value yet; not documented."""
    unasked_speaker: Literal["absent", "null", "empty"] = "absent"
    """``speaker`` and ``speakers`` without diarize; not documented."""
    created_s: float = 0.0
    """How long a job stays ``created``; a URL may expire meanwhile."""
    download_s: float = 0.0
    """How long scripted audio is ``downloading`` or ``pending``."""
    # API reference: created 30 min, downloading 15 min, processing 45 min.
    created_timeout_s: float = 1_800.0
    """When a job fails that is still ``created``; 0: never."""
    download_timeout_s: float = 900.0
    """When one fails that is still ``downloading`` or ``pending``; 0: never."""
    processing_timeout_s: float = 2_700.0
    """When one fails that is still ``processing``; 0: never."""
    upload_s: float = 3_600.0
    """``expires_in`` of an upload."""
    list_lag_s: float = 0.0
    """How old the world is that the list shows; not documented."""
    detected_language: str = "en"
    """What is found where no language is asked for."""
    webhook_url: str = ""
    """The account's default webhook, for jobs that name none; empty: none."""
    http_webhooks: Literal["refused", "loopback", "allowed"] = "loopback"
    """The service calls HTTPS alone; addresses of this machine are called without for tests."""
    webhook_key: Literal["sha256_digest", "sha256_hex", "api_key"] = "sha256_digest"
    """Key of the signature: SHA-256 of the API key in one vendor text, as bytes or as hex digits,
    and the API key itself in another."""
    drops_webhooks: bool = False
    """Whether every delivery is lost; none is ever repeated."""


@dataclass(slots=True)
class Upload:
    """One promised file: an id, an address to put it to, and at most one job."""

    id: str
    account: str
    content_type: str
    """Pinned: the address is signed for it."""
    at: float
    digest: str | None = None
    """Of the content; None until it was put."""
    size_bytes: int = 0
    path: Path | None = None
    """None when the emulator does not look at audio and kept nothing."""
    used_by: str | None = None


@dataclass(slots=True)
class KeyUse:
    """The first use of one idempotency key."""

    digest: str
    """Of the body."""
    at: float
    job_id: str | None
    """None for a refusal that is remembered."""
    refusal: Failure | None = None


@dataclass(slots=True)
class Job:
    """One transcription, from submit to deletion."""

    id: str
    account: str
    place: int
    """0-based order of submission within the account; the list goes by it."""
    options: dict[str, Any]
    created_at: float
    key: str | None = None
    """The Idempotency-Key it was made with."""
    fate: dict[str, Any] = field(default_factory=dict)
    """What the fault script decided for this job."""
    started_at: float | None = None
    processing_at: float | None = None
    finished_at: float | None = None
    deleted_at: float | None = None
    failure: Failure | None = None
    audio_ms: int | None = None
    size_bytes: int | None = None
    said: Script | Speech | None = None
    reserved_micros: int = 0
    released_micros: int = 0

    @property
    def upload_id(self) -> str | None:
        """The upload it transcribes; None for a URL."""
        value: str | None = self.options.get("upload_id")
        return value

    @property
    def is_cancelled(self) -> bool:
        """Whether the customer ended it; there is no status for that."""
        return self.failure == CANCELLED

    @property
    def cost_micros(self) -> int | None:
        """Seconds times 20/3600 cents; None before the length is known.

        Seconds begun are whole ones here; how fractions are billed is not documented.
        """
        return None if self.audio_ms is None else price_micros(self.audio_ms)

    def status_at(self, at: float) -> str | None:
        """Say what this job's status was at a moment; None before it existed."""
        if self.created_at > at:
            return None
        if self.finished_at is not None and self.finished_at <= at:
            return "completed" if self.failure is None else "failed"
        if self.processing_at is not None and self.processing_at <= at:
            return str(self.fate.get("status", "processing"))
        if self.started_at is not None and self.started_at <= at:
            # "pending" is the probe of an uploaded file; its place in the order is inferred.
            return "pending" if self.upload_id else "downloading"
        return "created"


def price_micros(audio_ms: int) -> int:
    """Charge whole seconds of audio, half a micro up."""
    seconds = -(-audio_ms // 1000)
    return (PRICE_PER_HOUR_MICROS * seconds * 2 + 3_600) // 7_200


def to_cents(micros: int) -> float:
    """Write money as the service does: cents with up to four decimals."""
    return round(micros / MICROS_PER_CENT, 4)
