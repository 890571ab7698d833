"""What the emulated service keeps: jobs, uploads, and the settings it works under.

Plain records and pure questions about them; what happens to them is in ``desk.py``. Instants are
seconds since 1970 on the emulator's clock, money is whole synapses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transcription_pipeline.emulators.speech import Script, Speech, SpeechSettings

MODEL = "fvt-1"
FAILURE = "Transcription failed"


class AitronosSettings(SpeechSettings, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How this emulator behaves where the pages leave a choice, or accounts differ."""

    balance_synapses: int = 1_000_000_000
    """What each organization starts with."""
    multiplier: float = 1.0
    """Base times organization times priority; no request can choose a priority."""
    api_keys: dict[str, str] | None = None
    """Key or token to account; None: every key is accepted and is an account of its own."""
    revoked_keys: tuple[str, ...] = ()
    """Keys that answer API_KEY_DEACTIVATED."""
    organizations: tuple[str, ...] | None = None
    """Those that may be billed; None: all."""
    requests_per_min: int = 0
    """Page "Rate limiting", marked as in development: 100; 0 lifts the limit."""
    http_urls: Literal["refused", "loopback", "allowed"] = "loopback"
    """The service takes HTTPS alone, for audio and webhooks; addresses of this machine are taken
    without for tests."""
    form: Literal["json", "multipart"] = "json"
    """What a create request is: the pages' asynchronous one, or that of newer vendor packages, a
    file that is answered with the words. Which of them is in service is not documented."""
    stubs: tuple[str, ...] = ("search", "redacted_audio", "upload")
    """Operations that answer 501, as the vendor's packages of 2026 say; the pages do not."""
    refresh_s: float = 10.0
    """A get asks the machine behind when the last time was longer ago ("Get transcription")."""
    list_refreshes: bool = False
    """Whether the list shows more than gets have found out; not documented."""
    list_order: Literal["newest", "oldest"] = "newest"
    """Not documented."""
    list_lag_s: float = 0.0
    """How old the world is that the list shows; not documented."""
    list_shows_deleted: bool = False
    """Not documented."""
    echoed_url: Literal["whole", "without_query", "absent"] = "whole"
    """What answers repeat of the audio URL; whether its query string stays is not documented."""
    text_field: str = ""
    """Name under ``data`` of the text in a completed get; empty: none, as the listed fields."""
    speaker_field: str = ""
    """Name of the speaker in a sentence with diarization; empty: none, as the listed fields."""
    has_total_count: bool = True
    """Whether pages of sentences count them all, as documented."""
    refunds_failures: bool = True
    """Whether a failed job's synapses come back; not documented."""
    queue_s: float = 0.0
    """How long a job is queued before it is processed."""
    webhook_secret: str = "whsec_emulated"  # noqa: S105 - nobody else's
    """Key of a delivery's signature; empty: none is sent. A job's webhook is told no secret, so what
    signs its deliveries, if anything, is not documented."""
    drops_webhooks: bool = False
    """Whether every delivery is lost; none is ever repeated."""


@dataclass(slots=True)
class Upload:
    """One uploaded file."""

    id: str
    account: str
    digest: str
    path: Path | None
    """None when the emulator does not look at audio and kept nothing."""


@dataclass(slots=True)
class Job:
    """One transcription, from the charge to deletion."""

    id: str
    account: str
    place: int
    """0-based order of creation within the account."""
    options: dict[str, Any]
    """The body of the create request."""
    created_at: float
    audio_ms: int
    synapses: int
    fate: dict[str, Any] = field(default_factory=dict)
    """What the fault script decided for this job."""
    started_at: float | None = None
    finished_at: float | None = None
    deleted_at: float | None = None
    error: str | None = None
    said: Script | Speech | None = None
    refunded: int = 0
    seen_at: float = 0.0
    """When the machine behind was last asked."""

    @property
    def audio_url(self) -> str:
        """The URL as it was submitted."""
        url: str = self.options["transcription_options"]["audio_url"]
        return url

    @property
    def file_stem(self) -> str | None:
        """Name of the file of the multipart form, without extension; None in the other form."""
        stem: str | None = self.options.get("file_stem")
        return stem

    @property
    def is_diarized(self) -> bool:
        """Whether speakers were asked for."""
        return bool(self.options.get("speaker_analysis", {}).get("diarization_enabled"))

    @property
    def pii_policies(self) -> list[str] | None:
        """What is to be redacted; None when nothing is."""
        privacy = self.options.get("privacy_settings", {})
        return (
            list(privacy.get("pii_policies", ())) if privacy.get("pii_redaction_enabled") else None
        )

    def status_at(self, at: float) -> str | None:
        """Say what this job's status was at a moment; None before it existed."""
        if self.created_at > at:
            return None
        if self.finished_at is not None and self.finished_at <= at:
            return "failed" if self.error is not None else "completed"
        if self.started_at is not None and self.started_at <= at:
            return str(self.fate.get("status", "processing"))
        return "queued"


def count_synapses(audio_ms: int, multiplier: float) -> int:
    """Charge one synapse per second begun: the sample's 125.5 s cost 126; the rule is inferred."""
    return max(1, -(-int(audio_ms * multiplier) // 1000))
