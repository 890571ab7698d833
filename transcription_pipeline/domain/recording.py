"""What a recording is, how it is identified, and why one is put aside before money is spent.

Pure values. Reading audio lives in ``audio/``, remembering recordings in ``ledger/``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum


class QuarantineReason(StrEnum):
    """Why a recording is kept away from every provider."""

    ZERO_BYTES = "zero_bytes"
    NOT_AUDIO = "not_audio"
    NO_AUDIO_STREAM = "no_audio_stream"
    TRUNCATED = "truncated"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    SOURCE_GONE = "source_gone"
    SOURCE_ARCHIVED = "source_archived"  # until somebody restores it
    ERASED = "erased"  # by a person; nothing of it is kept but what it cost


@dataclass(frozen=True, slots=True)
class AudioObject:
    """One object as a listing of the bucket shows it."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified_at: datetime
    version_id: str | None = None
    """None on buckets without versioning and in plain listings."""

    @property
    def recording_id(self) -> str:
        """Identify this version of this object: 32 hex digits."""
        return make_recording_id(
            self.bucket, self.key, self.version_id or self.etag, self.size_bytes
        )

    @property
    def day(self) -> date:
        """The UTC date the object was last modified: its partition."""
        return self.last_modified_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What probing found in the audio, from its content and never from its name."""

    container: str
    codec: str
    sample_rate_hz: int
    channel_count: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One version of one audio object, as the ledger knows it."""

    recording_id: str
    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified_at: datetime
    version_id: str | None = None
    facts: AudioFacts | None = None
    """None until probed."""
    quarantine_reason: str | None = None
    """None while nothing speaks against transcribing it."""


def make_recording_id(bucket: str, key: str, version: str, size_bytes: int) -> str:
    """Return the first 32 hex digits of SHA-256 over the four parts, NUL-separated.

    NUL cannot occur in an S3 key, so two different recordings never hash the same text.
    """
    text = "\0".join((bucket, key, version, str(size_bytes)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
