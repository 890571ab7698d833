"""What the emulated service keeps: jobs, uploads, and the settings it works under.

Plain records and pure questions about them; what happens to them is in ``desk.py``. Instants are
seconds since 1970 on the emulator's clock, money is micros of a US dollar.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from transcription_pipeline.emulators.backstage import seed_of
from transcription_pipeline.emulators.plaud.requests import Params
from transcription_pipeline.emulators.speech import Script, Speech, SpeechSettings

PRICE_PER_HOUR_MICROS = 280_000
"""Reported of the billing page, 2026-09-23: $0.28 per hour; the free hours are not deducted here."""
UNFINISHED = ("PENDING", "RECEIVED", "STARTED", "PROGRESS")
"""Page "Transcription API"; their order is not documented."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The credentials of one app, as the Portal issues them."""

    secret_key: str
    api_key: str
    region: str = "us"


class PlaudSettings(SpeechSettings, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How this emulator behaves where the pages leave a choice, or accounts differ."""

    clients: dict[str, Client] | None = None
    """``client_id`` to credentials; None: all are accepted, but no secret or token as API key."""
    region: str = "us"
    """Region of this host; clients of another are refused (page "Transcription API")."""
    token_s: int = 3_600
    """Life of a partner token; an older page says 86400."""
    refresh_token_s: int = 2_592_000
    """Life of a refresh token; not documented."""
    refresh_rotates: bool = True
    """Whether a refresh token dies when it is used; not documented."""
    tokens_per_min: int = 10
    """Partner tokens per minute and client (an older page); 0 lifts the limit."""
    requests_per_min: int = 60
    """Submits and polls per minute and client (reported); 0 lifts the limit."""
    retry_after: bool = True
    """Whether a 429 says when to come back; not documented."""
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1)] = 5_242_880
    """``ChunkSize`` (page "Generate Presigned Upload URLs"); smaller for small tests."""
    filetypes: tuple[str, ...] = ("mp3", "opus", "m4a")
    """What may be uploaded, as observed; others, wav too, are FILE_TYPE_INVALID."""
    presigned_s: int = 3_600
    """Life of an address for a part; not documented."""
    download_s: int = 86_400
    """Life of a DownloadUrl (page "Complete Multipart Upload"); it is looked at again at the start
    of a job."""
    etags: Literal["either", "quoted", "bare"] = "either"
    """Which spelling of an ETag a completion takes; the page shows quotes, vendor code sends none."""
    completes_again: bool = True
    """Whether a second completion gives a fresh DownloadUrl, or 404; not documented."""
    external_urls: Literal["error", "accepted"] = "error"
    """A ``file_url`` that is no DownloadUrl: 500 (observed), or fetched."""
    dead_urls: Literal["job", "submit"] = "job"
    """What a dead DownloadUrl spoils: the job, or its submit with 500; not documented."""
    unknown_models: Literal["refused", "ignored"] = "refused"
    """A model that the specification does not list: 422, or taken; not documented."""
    without_slash: Literal["redirect", "not_found", "accepted"] = "redirect"
    """A submit without the trailing slash: 307, 404, or taken; not documented."""
    unknown_id: Literal["not_found", "pending"] = "not_found"
    """An unknown, foreign or expired id: 404, or PENDING for ever; not documented."""
    walk: Literal["random", "ordered"] = "random"
    """How an unfinished job wanders through its four statuses, after PENDING; not documented."""
    walk_step_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """How long it stays at one."""
    walk_seed: int = 0
    """Another seed, another walk."""
    queue_s: float = 0.0
    """How long a job waits before its audio is fetched; a DownloadUrl may die meanwhile."""
    result_shape: Literal["segments", "results", "both"] = "segments"
    """Rows under ``segments`` with ``speaker`` (pages), or ``results`` with ``speaker_id`` (reported,
    and read by the vendor's apps)."""
    result_days: float = 7.0
    """How long a finished job is kept (reported)."""
    duration: Literal["up", "down"] = "up"
    """How ``duration`` becomes whole seconds; not documented."""
    failure_reason: Literal["message", "data.error", "absent"] = "message"
    """Where a failed job says why: read by the vendor's Android app, by a third party, nowhere."""
    detected_language: str = "en"
    """What ``auto`` finds; "en" in the pages, "en-US" reported."""
    billed: Literal["success", "submit"] = "success"
    """When a job is charged; whether failed ones are is not documented."""


class Part(NamedTuple):
    """One part as the store has it."""

    etag: str
    """MD5 in hex, without quotes."""
    size_bytes: int


@dataclass(slots=True)
class Upload:
    """One file, from the promise of addresses to its DownloadUrl."""

    id: str
    owner: str
    """Client and user; only they may complete it."""
    upload_id: str
    filetype: str
    size_bytes: int
    """As announced."""
    chunk_bytes: int
    parts: dict[int, Part] = field(default_factory=dict)
    """By number, from 1; empty again when the file is whole."""
    path: Path | None = None
    """Of the whole file; None before completion."""
    md5: str | None = None

    @property
    def part_count(self) -> int:
        """How many parts the file has."""
        return -(-self.size_bytes // self.chunk_bytes)


@dataclass(slots=True)
class Job:
    """One transcription, from submit to the end of its keeping."""

    id: str
    account: str
    """The client."""
    place: int
    file_url: str
    file_id: str | None
    """FileId of the upload it transcribes; None for an external URL."""
    params: Params
    created_at: float
    fate: dict[str, Any] = field(default_factory=dict)
    """What the fault script decided for this job."""
    finished_at: float | None = None
    outcome: str = ""
    """SUCCESS, FAILURE or REVOKED; empty before the end."""
    reason: str | None = None
    audio_ms: int | None = None
    said: Script | Speech | None = None

    def status_at(self, at: float, settings: PlaudSettings) -> str:
        """Say what this job's status was at a moment after its creation."""
        if self.finished_at is not None and self.finished_at <= at:
            return self.outcome
        step = int((at - self.created_at) / settings.walk_step_s)
        if step <= 0:
            return "PENDING"
        if "status" in self.fate:
            return str(self.fate["status"])
        if settings.walk == "ordered":
            return UNFINISHED[min(step, len(UNFINISHED) - 1)]
        chance = random.Random(seed_of(f"{settings.walk_seed} {self.place} {step}"))  # noqa: S311 - reproducible, not secret
        return chance.choice(UNFINISHED)


def price_micros(audio_ms: int) -> int:
    """Charge seconds begun, half a micro up; how fractions are billed is not documented."""
    seconds = -(-audio_ms // 1000)
    return (PRICE_PER_HOUR_MICROS * seconds * 2 + 3_600) // 7_200
