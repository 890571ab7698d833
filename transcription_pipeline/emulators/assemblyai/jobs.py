"""What the emulated service keeps: jobs, uploaded files, and the settings it works under.

Plain records and pure questions about them; what happens to them is in ``desk.py``. Instants are
seconds since 1970 on the emulator's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transcription_pipeline.emulators.speech import Script, Speech, SpeechSettings

UPLOAD_PREFIX = "https://cdn.assemblyai.com/upload/"


class AssemblyAISettings(SpeechSettings, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How this emulator behaves where the service differs by account, region or year."""

    concurrency: int = 200
    """Jobs worked on at once. Page "Rate limits", 2026: 5 on the free plan, 200 and more paid."""
    requests_per_5_min: int = 20_000
    """Same page: 20,000 per five minutes and account; 0 lifts the limit."""
    balance: Literal["positive", "refuses", "slow"] = "positive"
    """A negative balance refuses submits (errors page) or leaves one job at a time (rate limits
    page); the two pages disagree."""
    api_keys: dict[str, str] | None = None
    """Key to project; None: every key is accepted and is a project of its own."""
    default_speech_models: tuple[str, ...] = ("universal-3-5-pro", "universal-2")
    """What a submit without models asks for."""
    models_required: bool = False
    """True between 2026-02 and mid-2026: a submit without models was refused."""
    list_error: Literal["empty", "null", "absent"] = "empty"
    """``error`` of a successful list row: "" recorded 2026-06, null in the API reference, absent
    in recordings of 2023."""
    listed_url: Literal["whole", "cut", "absent"] = "whole"
    """Whether a row's ``audio_url`` keeps its query is not documented; URL references of some
    accounts live for hours only (page "Data retention")."""
    list_has_zone: bool = True
    """Whether list instants end in Z: recorded 2026-06 with, 2023 and in the API reference
    without."""
    list_lag_s: float = 0.0
    """How old the world is that the list shows; observed 2026-08-31, "minutes"."""
    transcript_days: float = 30.0
    """FAQ "How long are outputs retained", mid-2026."""
    upload_hours: float = 24.0
    """FAQ on retention: uploaded files go between 24 and 48 hours after upload."""
    redacted_audio_s: float = 2.0
    """How long after the transcript the redacted audio is ready; not documented."""
    detected_language: str = "en_us"
    """What language detection finds."""
    language_confidence: float = 0.9959
    """How sure it is."""


@dataclass(slots=True)
class Upload:
    """One uploaded file."""

    id: str
    project: str
    digest: str
    """Of the content: a scripted transcript follows the file, not its random address."""
    size_bytes: int
    at: float
    path: Path | None
    """None when the emulator does not look at audio and kept nothing."""


@dataclass(slots=True)
class Job:
    """One transcript, from submit to tombstone."""

    id: str
    account: str
    """The project of the key."""
    place: int
    """0-based order of submission within the project; the list goes by it."""
    options: dict[str, Any]
    created_at: float
    fate: dict[str, Any] = field(default_factory=dict)
    """What the fault script decided for this job."""
    was_throttled: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    deleted_at: float | None = None
    error: str | None = None
    audio_ms: int | None = None
    said: Script | Speech | None = None
    webhook_status_code: int | None = None

    @property
    def audio_url(self) -> str:
        """The URL as it was submitted."""
        url: str = self.options["audio_url"]
        return url

    @property
    def audio_s(self) -> int | None:
        """Whole seconds of audio, as answers and bills count them.

        Rounded up, so that no word ends after the audio does; how the service rounds is not
        documented (281 and 282 were recorded for one file).
        """
        return None if self.audio_ms is None else max(1, -(-self.audio_ms // 1000))

    @property
    def model(self) -> str:
        """The model that does the work: the first wish."""
        model: str = self.options["speech_models"][0]
        return model

    def status_at(self, at: float) -> str | None:
        """Say what this job's status was at a moment; None before it existed."""
        if self.created_at > at:
            return None
        if self.deleted_at is not None and self.deleted_at <= at:
            return "completed"  # tombstones look completed; recorded 2026-08-31
        if self.finished_at is not None and self.finished_at <= at:
            return "error" if self.error is not None else "completed"
        if self.started_at is not None and self.started_at <= at:
            return str(self.fate.get("status", "processing"))
        return "queued"
