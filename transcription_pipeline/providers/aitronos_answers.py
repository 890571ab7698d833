"""What Aitronos's answers mean; pure.

What belongs here: the few fields a client reads, what status codes and envelopes prove, and the one
document that is kept of a completed job. ``aitronos.py`` fetches the answers. Rules are from the
pages "Create transcription", "Get transcription", "List transcriptions", "Get sentences" and "Error
codes" of docs.aitronos.com, read 2026-11-21; no live call was ever made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.answers import Response, describe_error, parse_retry_after
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

NAME = "aitronos"
# The samples show trans_ and 32 hexadecimal digits; the prefix alone is documented.
JOB_ID = re.compile(r"trans_[A-Za-z0-9]{1,128}")
_CAUSES = {"failed": "provider_error", "cancelled": "cancelled_at_provider"}
# 403 names the account or its organization in every documented code, never one recording.
_GATES = {401: "auth", 402: "funds", 403: "auth"}
_REFUSED = frozenset({400, 404, 405, 413, 415, 422})

T = TypeVar("T")


class _AudioMetadata(msgspec.Struct, gc=False):
    url: str | None = None


class _Billing(msgspec.Struct, gc=False):
    synapses_consumed: int | None = None
    synapses_refunded: int | None = None


class Job(msgspec.Struct, gc=False):
    """``data`` of a transcription."""

    transcription_id: str
    status: str = ""
    audio_metadata: _AudioMetadata | None = None


class JobAnswer(msgspec.Struct, gc=False):
    """Answer of create and get."""

    success: bool
    data: Job
    billing: _Billing | None = None


class Item(msgspec.Struct, gc=False):
    """One row of the list; it has no audio URL."""

    transcription_id: str
    created_at: str | None = None


class _Pagination(msgspec.Struct, gc=False):
    has_more: bool = False


class Page(msgspec.Struct, gc=False):
    """One page of the list."""

    transcriptions: list[Item]
    pagination: _Pagination = msgspec.field(default_factory=_Pagination)


class ListAnswer(msgspec.Struct, gc=False):
    """Answer of the list."""

    success: bool
    data: Page


class _Sentences(msgspec.Struct, gc=False):
    sentences: list[msgspec.Raw]


class _PageMetadata(msgspec.Struct, gc=False):
    total_count: int | None = None


class SentencesAnswer(msgspec.Struct, gc=False):
    """Answer of sentences; the sentences themselves are left unread."""

    success: bool
    data: _Sentences
    metadata: _PageMetadata = msgspec.field(default_factory=_PageMetadata)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a transcript: a paragraph, or a phrase that was found."""

    text: str
    start: float
    """Seconds from the start of the recording; ``end`` as well."""
    end: float
    confidence: float | None = None
    """0 to 1; None where none is told."""


class _Paragraphs(msgspec.Struct, gc=False):
    paragraphs: list[Piece]


class ParagraphsAnswer(msgspec.Struct, gc=False):
    """Answer of paragraphs."""

    success: bool
    data: _Paragraphs
    metadata: _PageMetadata = msgspec.field(default_factory=_PageMetadata)


class _Matches(msgspec.Struct, gc=False):
    matches: list[Piece]


class SearchAnswer(msgspec.Struct, gc=False):
    """Answer of search."""

    success: bool
    data: _Matches


class _RedactedAudio(msgspec.Struct, gc=False):
    status: str
    redacted_audio_url: str | None = None
    expires_at: str | None = None


class RedactedAudioAnswer(msgspec.Struct, gc=False):
    """Answer of redacted audio."""

    success: bool
    data: _RedactedAudio


@dataclass(frozen=True, slots=True)
class RedactedAudio:
    """Where a recording without what was redacted is to be had."""

    status: str
    """``available``, ``pending`` or ``not_enabled``."""
    url: str | None = field(default=None, repr=False)
    """Signed; None unless it is available."""
    expires_at: datetime | None = None
    """When the URL ends; None where that is not told."""


class Transcript(msgspec.Struct, gc=False):
    """Answer of the multipart form, so far as it must be one; its segments are left unread."""

    text: str
    segments: list[msgspec.Raw]


class _Deleted(msgspec.Struct, gc=False):
    deleted: bool = False


class DeleteAnswer(msgspec.Struct, gc=False):
    """Answer of delete."""

    success: bool
    data: _Deleted


class _Upload(msgspec.Struct, gc=False):
    file_url: str


class UploadAnswer(msgspec.Struct, gc=False):
    """Answer of an upload; the vendor's sample reads ``data.file_url``."""

    success: bool
    data: _Upload


def read(answer: Response, shape: type[T], operation: str, provider_job_id: str | None = None) -> T:
    """Decode an answer; raises ``UnexpectedResponse`` for another shape, or ``success`` not true."""
    problem = "another shape than documented"
    try:
        value = msgspec.json.decode(answer.body, type=shape)
        if getattr(value, "success", None) is True:
            return value
        problem = "success is not true"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise UnexpectedResponse(
        problem,
        provider=NAME,
        operation=operation,
        provider_job_id=provider_job_id,
        status_code=answer.status,
    )


def judge(answer: Response) -> Submission:
    """Say what an answer to the paid POST proves; everything unnamed is ambiguous.

    "Create transcription": a 201 with the id. Synapses are taken before that answer.
    """
    status = answer.status
    if 200 <= status < 300:
        try:
            job = read(answer, JobAnswer, "submit").data
        except UnexpectedResponse as error:
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail=str(error))
        if not JOB_ID.fullmatch(job.transcription_id):
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="odd id")
        return Submission(Verdict.ACCEPTED, job.transcription_id)
    return judge_refusal(answer)


def judge_refusal(answer: Response) -> Submission:
    """Say what an answer other than 2xx to the paid POST proves, in whichever form it was sent."""
    status = answer.status
    if status == 429:
        wait_s = parse_retry_after(answer.headers)
        return Submission(Verdict.NOT_SENT, cause="rate_limited", retry_after_s=wait_s or 1.0)
    detail = f"HTTP {status}: {describe_error(answer.body)}"
    gate = _GATES.get(status)
    if gate:
        return Submission(Verdict.NOT_SENT, cause=f"gate_{gate}", detail=detail, gate=gate)
    if status in _REFUSED:
        return Submission(Verdict.REJECTED, cause="request_rejected", detail=detail)
    return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)


def make_observation(provider_job_id: str, answer: JobAnswer) -> Observation:
    """Say in our words where a job stands; its text is always a second request away."""
    status = answer.data.status
    if status == "completed":
        return Observation(provider_job_id, Phase.COMPLETED, status)
    cause = _CAUSES.get(status)
    if cause is None:  # queued, processing, or a new word
        return Observation(provider_job_id, Phase.RUNNING, status)
    # Which failures are refunded is not documented, so what this one cost is part of its cause, and
    # no second attempt is made on our own.
    paid, is_free = answer.billing, False
    if paid and paid.synapses_consumed and paid.synapses_refunded is not None:
        is_free = paid.synapses_refunded >= paid.synapses_consumed
        cause += "_refunded" if is_free else "_charged"
    return Observation(provider_job_id, Phase.FAILED, status, cause=cause, is_unpaid=is_free)


def belongs_to(job: Job, attempt: Attempt) -> bool | None:
    """Say whether a transcription is the attempt's, by the URL it echoes.

    None when it cannot be told: whether the echo keeps the query string is not documented.
    """
    url = job.audio_metadata.url if job.audio_metadata else None
    if not url:
        return None
    if attempt.audio_url_sha256 == sha256(url.encode()).hexdigest():
        return True
    try:
        tokens = parse_qs(urlsplit(url).query).get("x-tp-attempt", ())
    except ValueError:
        return None
    if tokens:
        return attempt.attempt_id in tokens
    # A bare URL may be ours with its query cut off.
    return None


def read_instant(text: str | None) -> datetime | None:
    """Read an instant; without a zone UTC is meant (the samples end in Z). None for any other."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def join_document(transcription: bytes, pages: Sequence[bytes]) -> bytes:
    """Make the one document that is kept: every answer inside it, byte for byte as received."""
    document: dict[str, Any] = {
        "transcription": msgspec.Raw(transcription),
        "sentences": [msgspec.Raw(page) for page in pages],
    }
    return msgspec.json.encode(document)
