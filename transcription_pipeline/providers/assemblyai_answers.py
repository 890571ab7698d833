"""What AssemblyAI's answers mean; pure.

What belongs here: the few fields a client reads, and what status codes, statuses and error texts
prove. ``assemblyai.py`` fetches the answers. Rules are from the API reference, the error guide and
the list reference, November 2026.
"""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.providers.answers import Response, describe_error, parse_retry_after
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

OVER = frozenset({"completed", "error"})
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
UNKNOWN_ID = "transcript id not found"  # answered with HTTP 400, not 404
_FAILURES = (  # start of the job's error text, our cause, whether another attempt may help
    ("download error", "audio_not_downloadable", True),
    ("server error", "provider_server_error", True),
    ("file does not appear to contain audio", "not_audio", False),
    ("transcoding failed", "not_audio", False),
    ("audio duration is too short", "too_short", False),
    ("audio duration is too long", "too_long", False),
    ("audio speech threshold", "below_speech_threshold", False),
    ("detected language", "language_not_confident", False),
)


class Status(msgspec.Struct, gc=False):
    """The few fields that say where a job stands; everything else is skipped unread."""

    id: str
    status: str
    error: str | None = None
    audio_url: str | None = None
    completed: str | None = None
    created: str | None = None


class ListPage(msgspec.Struct, gc=False):
    """One page of the list."""

    transcripts: list[Status]


decode_status = msgspec.json.Decoder(Status).decode
decode_page = msgspec.json.Decoder(ListPage).decode


def judge(answer: Response) -> Submission:
    """Say what an answer to the paid POST proves; everything unnamed is ambiguous."""
    status = answer.status
    if 200 <= status < 300:
        try:
            job = decode_status(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="no id")
        if not JOB_ID.fullmatch(job.id):
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="odd id")
        return Submission(Verdict.ACCEPTED, job.id)
    if status == 429:
        wait_s = parse_retry_after(answer.headers)
        return Submission(Verdict.NOT_SENT, cause="rate_limited", retry_after_s=wait_s or 1.0)
    detail = f"HTTP {status}: {describe_error(answer.body)}"
    if status in {401, 402}:
        gate = "auth" if status == 401 else "funds"
        return Submission(Verdict.NOT_SENT, cause=f"gate_{gate}", detail=detail, gate=gate)
    if status == 400 and "balance is negative" in detail:
        return Submission(Verdict.NOT_SENT, cause="gate_funds", detail=detail, gate="funds")
    if status in {400, 403, 404, 413, 415, 422}:
        return Submission(Verdict.REJECTED, cause="request_rejected", detail=detail)
    return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)


def make_observation(job: Status, body: bytes | None) -> Observation:
    """Say in our words where a job stands; ``body`` is its raw answer where this look brought it."""
    # A deleted transcript calls itself completed and says "Deleted by user." as its text.
    if job.audio_url is not None and job.audio_url.endswith("deleted_by_user"):
        return Observation(job.id, Phase.FAILED, "deleted", cause="deleted_at_provider")
    if job.status == "completed":
        return Observation(job.id, Phase.COMPLETED, job.status, body=body)
    if job.status == "error":
        text = (job.error or "").lower()
        known = (reasons[1:] for reasons in _FAILURES if text.startswith(reasons[0]))
        cause, is_retryable = next(known, ("provider_error", False))
        # Failed jobs are free (the vendor's price page, read 2026-11-21).
        return Observation(job.id, Phase.FAILED, job.status, cause, is_retryable, is_unpaid=True)
    return Observation(job.id, Phase.RUNNING, job.status)  # queued, processing, or a new word


def belongs_to(item: Status, attempt: Attempt) -> bool:
    """Say whether a listed job is the attempt's, by token or by the hash of its audio URL."""
    if item.audio_url is None:
        return False
    try:
        tokens = parse_qs(urlsplit(item.audio_url).query).get("x-tp-attempt", ())
    except ValueError:  # somebody else's, and no URL
        return False
    if attempt.attempt_id in tokens:
        return True
    digest = sha256(item.audio_url.encode()).hexdigest()
    return attempt.audio_url_sha256 == digest


def is_older(item: Status, oldest: datetime) -> bool:
    """Say whether a listed job was certainly created before an instant."""
    if item.created is None:
        return False
    try:
        created = datetime.fromisoformat(item.created)
    except ValueError:
        return False
    # With or without a zone; without, UTC is assumed (not documented).
    return created.replace(tzinfo=created.tzinfo or oldest.tzinfo) < oldest
