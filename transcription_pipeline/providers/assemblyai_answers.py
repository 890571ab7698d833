"""What AssemblyAI's answers mean; pure.

What belongs here: the few fields a client reads, and what status codes, statuses and error texts
prove. ``assemblyai.py`` fetches the answers. Rules are from the API reference, the error guide and
the list reference, November 2026.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.providers.answers import Response, describe_error, parse_retry_after
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

OVER = frozenset({"completed", "error"})
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
UPLOADED = re.compile(r"^https?://[^/]*/upload/")
NOT_OURS = "Cannot access uploaded file"
"""The one 403 that a submit is documented to be answered: it was uploaded in another project."""
DELETED = "deleted_by_user"
"""How the audio URL of a deleted transcript ends."""
UNKNOWN_ID = "transcript id not found"  # answered with HTTP 400, not 404
REACH = timedelta(days=30)
"""How far back the list tells of every job: transcripts are kept for 30 days by default (docs: data
retention), though it is said to show 90."""
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
    if status == 404 or (status == 403 and NOT_OURS not in detail):
        # No answer of theirs to a submit: a firewall, or another address. Nothing was taken.
        return Submission(Verdict.NOT_SENT, cause="gate_auth", detail=detail, gate="auth")
    if status == 400 and "balance is negative" in detail:
        return Submission(Verdict.NOT_SENT, cause="gate_funds", detail=detail, gate="funds")
    if status in {400, 403, 413, 415, 422}:
        return Submission(Verdict.REJECTED, cause="request_rejected", detail=detail)
    return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)


def make_observation(job: Status, body: bytes | None) -> Observation:
    """Say in our words where a job stands; ``body`` is its raw answer where this look brought it."""
    # A deleted transcript calls itself completed and says "Deleted by user." as its text.
    if job.audio_url is not None and job.audio_url.endswith(DELETED):
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


def judge_absence(attempt: Attempt, at: datetime, nameless: int) -> Submission:
    """Say what it proves that a list read after an attempt's last moment does not name it."""
    why: tuple[str, str] | None = None
    if attempt.url_expires_at is None and attempt.audio_url_sha256 is None:
        why = "nothing_to_know_it_by", "it was uploaded, if at all, by a ledger that is lost"
    elif attempt.sent_at and at - attempt.sent_at > REACH:
        why = (
            "older_than_the_list",
            f"sent before {at - REACH:%Y-%m-%d}, which the list may not show",
        )
    elif nameless:
        why = (
            "list_names_no_audio",
            f"{nameless} listed jobs of that time name no audio, or not all",
        )
    if why:
        return Submission(Verdict.CANNOT_KNOW, cause=why[0], detail=why[1])
    return Submission(Verdict.NEVER_ARRIVED, cause="not_listed_after_expiry")


def read_token(audio_url: str) -> str | None:
    """Return the attempt that an audio URL names; None where it names none."""
    try:
        return parse_qs(urlsplit(audio_url).query).get("x-tp-attempt", [None])[0]
    except ValueError:  # somebody else's, and no URL
        return None


def is_cut(audio_url: str) -> bool:
    """Say whether an audio URL may have lost what was signed: whether a list keeps it is not told."""
    return "?" not in audio_url and not UPLOADED.search(audio_url)


def read_created(item: Status) -> datetime | None:
    """Return when a listed job was made; None where it does not say."""
    try:
        created = datetime.fromisoformat(item.created or "")
    except ValueError:
        return None
    # With or without a zone; without, UTC is assumed (not documented).
    return created if created.tzinfo else created.replace(tzinfo=UTC)
