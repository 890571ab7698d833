"""The seam between the pipeline and whoever turns audio into a transcript.

What belongs here: the protocol, the values that cross it, and what a provider declares of itself.
What does not: HTTP (``http.py``), waiting (``watch.py``), state (the ledger). ``pipeline.py`` calls
a ``Provider``; nothing else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.domain.recording import AudioFacts


class AudioDelivery(StrEnum):
    """How audio reaches the provider."""

    URL = "url"  # a presigned URL the provider fetches
    UPLOAD = "upload"  # streamed through us in constant memory
    DIRECT = "direct"  # handed over inside this process


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job costs, or would cost, and for how much audio."""

    micros: int
    currency: str
    billed_ms: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do and what it costs, as data."""

    deliveries: tuple[AudioDelivery, ...]
    options: frozenset[str]
    """Names of the common options it can honour."""
    min_duration_ms: int = 0
    max_duration_ms: int | None = None
    max_size_bytes: int | None = None
    has_list: bool = False
    """One request shows the state of many jobs."""
    is_free: bool = False
    concurrency: int = 200
    """Jobs the provider works on at once; more are queued."""
    keeps_request: bool = False
    """The provider recognises a repeated request by its bytes, so they must survive a crash."""
    deadline_s: float = 12 * 3600
    """How long after submit a job may stay unfinished before it is held as stuck."""


@dataclass(frozen=True, slots=True)
class Audio:
    """The audio of one recording, ready to be handed over: a URL, a stream, or both."""

    recording_id: str
    size_bytes: int
    duration_ms: int | None
    open_stream: Callable[[], AsyncIterator[bytes]]
    """Start reading the bytes from the beginning; each call reads anew."""
    facts: AudioFacts | None = None
    """What probing found; None when it was not probed."""
    url: str | None = None
    """Presigned and carrying the attempt token; None for uploads and direct hand-over."""
    upload_id: str | None = None
    """What the provider calls bytes it was handed; None where it got a URL, or made one of them."""
    refusal: Submission | None = None
    """Why the bytes could not be handed over, for ``submit`` to answer; None where they could."""


@dataclass(frozen=True, slots=True)
class PaidRequest:
    """The exact bytes of one paid request, made before anything is sent."""

    attempt_id: str
    body: bytes = field(repr=False)
    audio: Audio = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


class Verdict(StrEnum):
    """What one submit, or a later look, tells about a paid attempt."""

    ACCEPTED = "accepted"  # provider_job_id is known
    NOT_SENT = "not_sent"  # proved: no byte left, or refused for now; the attempt may be sent again
    REJECTED = "rejected"  # refused for good, unpaid
    AMBIGUOUS = "ambiguous"  # nobody knows yet
    NEVER_ARRIVED = "never_arrived"  # proved dead: a new attempt is safe
    CANNOT_KNOW = "cannot_know"  # nobody will ever know by API: hold for a person


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of one paid request: a value, never an exception.

    ``cause`` is a short code; ``detail`` names status and type, never a body. A ``gate`` of
    ``auth`` or ``funds`` means no further paid request of this provider can succeed for now.
    """

    verdict: Verdict
    provider_job_id: str | None = None
    cause: str | None = None
    detail: str | None = None
    retry_after_s: float | None = None
    gate: str | None = None


class Phase(StrEnum):
    """Where the provider says a job stands, in four words."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN_JOB = "unknown_job"


@dataclass(frozen=True, slots=True)
class Observation:
    """What the provider said of one job. "The job failed" is an observation, not an error."""

    provider_job_id: str
    phase: Phase
    status: str
    """The provider's own word."""
    cause: str | None = None
    """For failed jobs: a short code of ours, no URL in it."""
    is_retryable: bool = False
    """True when the failure cost nothing and another attempt may succeed."""
    is_unpaid: bool = False
    """True when the failure is known to have cost nothing; another provider may take over."""
    completed_at: datetime | None = None
    """The provider's own instant, where it gives one."""
    body: bytes | None = field(default=None, repr=False)
    """The raw answer, when this look already brought it."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a list showed of the jobs asked about."""

    seen: Mapping[str, Observation]
    absent: frozenset[str]
    """Jobs that were among the unfinished ones and are no more: worth a look of their own."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What free calls told about an account."""

    found: str
    """One sentence."""
    is_well: bool = True
    """False when it answers, but could not do a job now; ``found`` says how to mend it."""
    available: Cost | None = None
    """Credit for new jobs; None where the provider does not tell."""


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file that belongs to an answer without being part of it, or why there is none."""

    kind: str
    """What it is, e.g. ``redacted_audio``."""
    path: Path | None = None
    """Where it was brought to, with its extension; None when it did not come."""
    cause: str | None = None
    """Why it did not come: a short code; None when it did."""


@runtime_checkable
class BringsFiles(Protocol):
    """What a provider has besides, if its jobs leave files; one without simply lacks the step."""

    def has_files(self, options: Mapping[str, Any]) -> bool:
        """Say whether a job with these options leaves any; most leave none."""
        ...

    async def fetch_files(
        self, provider_job_id: str, options: Mapping[str, Any], folder: Path
    ) -> Sequence[SideFile]:
        """Bring the files a completed job was asked for into ``folder``.

        Free, may be repeated. Waits for what is not ready, within bounds; what does not come by
        then is told, not raised. Raises ``AuthenticationFailed``.
        """
        ...


class Provider(Protocol):
    """A conversation with one provider account. Knows no ledger, no bucket, no Dagster."""

    name: str
    region: str | None
    account: str | None
    """``name_account`` of its credential where an absent job may be another account's, else None."""
    capabilities: Capabilities

    @property
    def request_count(self) -> int:
        """Requests sent so far, of every kind."""
        ...

    def price(
        self, options: Mapping[str, Any], duration_ms: int, *, model: str | None = None
    ) -> Cost | None:
        """Price a job by list; ``model`` is what was really used. None when it is free."""
        ...

    async def upload(self, audio: Audio) -> Audio:
        """Hand the bytes over where URLs are not taken; return the audio with the URL to submit.

        Unpaid, so it may be repeated. Providers that take our URLs return ``audio`` unchanged.
        """
        ...

    def make_request(
        self, attempt_id: str, audio: Audio, options: Mapping[str, Any]
    ) -> PaidRequest:
        """Build the exact paid request; pure, sends nothing."""
        ...

    async def wait_turn(self) -> None:
        """Return when one paid request may be sent under the account's rate limit.

        Called before the intent to send is recorded, because this wait may be long and may be cut
        short, and a request that is being sent may not.
        """
        ...

    async def submit(self, request: PaidRequest) -> Submission:
        """Send the paid request exactly once. Never raises for what the provider or network did."""
        ...

    async def observe(self, provider_job_id: str) -> Observation:
        """Look at one job. Raises transient ``ProviderError`` when the look itself failed."""
        ...

    async def survey(self, running: Collection[str]) -> Survey:
        """Look at many jobs with a request or two; only with ``capabilities.has_list``."""
        ...

    async def collect(self, provider_job_id: str) -> bytes:
        """Fetch the raw answer of a completed job, byte for byte. Free, may be repeated."""
        ...

    async def reconcile(
        self, attempt: Attempt, *, at: datetime, request: bytes | None = None
    ) -> Submission:
        """Find out what became of an attempt whose answer was lost.

        Sends nothing that could be paid a second time. ``request`` is the exact body that was
        sent, for providers with ``capabilities.keeps_request``.
        """
        ...

    async def check(self) -> Checkup:
        """Find out with free calls whether the account works.

        Raises ``ProviderError`` where it refuses us or does not answer.
        """
        ...

    async def delete(self, provider_job_id: str) -> bool:
        """Delete the provider's copy; True when the provider confirmed it."""
        ...

    async def aclose(self) -> None:
        """Close connections and child processes."""
        ...


def name_account(credential: str) -> str:
    """Make a name that tells one credential from another, and from which neither can be found."""
    return sha256(b"transcription_pipeline account\0" + credential.encode()).hexdigest()[:12]
