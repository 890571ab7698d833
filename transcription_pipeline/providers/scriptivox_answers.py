"""What Scriptivox's answers mean; pure.

What belongs here: which answer to the paid POST proves what, and where a job stands. What does not:
requests (``scriptivox.py``, the only caller) and reading transcripts (``normalise/scriptivox.py``).
Codes and statuses are from the vendor's API reference as kept in its own MCP server
(src/data/api-docs.ts), read 2026-11-21.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from transcription_pipeline.providers.answers import Response, describe_error, parse_retry_after
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""UUIDs by the API reference; the quickstart's sample says ``txn-456``."""
LOCKED_WAIT_S = 30.0
NEW_UPLOAD_WAIT_S = 300.0
"""Long enough that one run does not send the same bytes over and over."""

_REJECTED = {
    "INVALID_REQUEST": "request_rejected",
    "INVALID_FILENAME": "request_rejected",
    "INVALID_MEDIA_FORMAT": "not_audio",
    "FILE_TOO_LARGE": "too_large",
}
ENDPOINT_REFUSED = "endpoint_refused"
"""Said of an address or an envelope, before anybody looked at a key."""
_UPLOAD_GONE = frozenset({"FILE_NOT_UPLOADED", "UPLOAD_EXPIRED", "UPLOAD_NOT_FOUND"})
"""The bytes are to be handed over anew; the request was not taken."""
_FAILURES = {  # code of a failed job → our cause, whether it surely cost nothing and may be repeated
    # Before the download ends there is no duration, and so nothing was even reserved.
    "URL_NOT_ACCESSIBLE": ("audio_not_downloadable", True),
    "DOWNLOAD_FAILED": ("audio_not_downloadable", True),
    "DOWNLOAD_TIMEOUT": ("audio_not_downloadable", True),
    "CREATED_TIMEOUT": ("provider_timeout", True),
    "INVALID_MEDIA_FORMAT": ("not_audio", False),  # or shorter than a second
    "UNSUPPORTED_FORMAT": ("not_audio", False),  # older pages
    "DURATION_TOO_LONG": ("too_long", False),
    # Whether a failure in processing gives the money back is not documented: a person decides.
    "PROCESSING_ERROR": ("provider_processing_error", False),
    "PROCESSING_FAILED": ("provider_processing_error", False),  # older pages
    "PROCESSING_TIMEOUT": ("provider_timeout", False),
    "BILLING_ERROR": ("provider_billing_error", True),  # "not debited", safe to retry
    "INTERNAL_ERROR": ("provider_server_error", True),  # safe to retry
    "CANCELLED": ("cancelled_at_provider", False),
    # Documented as answers to the submit; for a URL the duration is known only later.
    "ZERO_BALANCE": ("insufficient_funds", True),
    "INSUFFICIENT_BALANCE": ("insufficient_funds", True),
}


class Job(msgspec.Struct, gc=False):
    """The few fields that say where a job stands; everything else is skipped unread."""

    id: str
    status: str
    # Read only where they matter: an odd one must not hide a finished job.
    error: Any = None
    created_at: Any = None
    completed_at: Any = None


class JobPage(msgspec.Struct, gc=False):
    """One page of the list."""

    items: list[Job]
    has_more: bool = False
    next_cursor: str | None = None


class _Accepted(msgspec.Struct, gc=False):
    id: str


class _Reason(msgspec.Struct, gc=False):
    code: str


class _Refusal(msgspec.Struct, gc=False):
    error: _Reason


BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for a body that is not what it should be."""
_decode_accepted = msgspec.json.Decoder(_Accepted).decode
_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def judge(answer: Response) -> Submission:
    """Say what an answer to the paid POST proves; everything unnamed is ambiguous."""
    status = answer.status
    if 200 <= status < 300:
        return _judge_accepted(answer)
    code = _read_code(answer.body)
    detail = f"HTTP {status}: {describe_error(answer.body)}"
    wait_s = parse_retry_after(answer.headers)
    if status == 429:
        return Submission(
            Verdict.NOT_SENT, cause="rate_limited", detail=detail, retry_after_s=wait_s or 1.0
        )
    if status in {401, 402}:
        gate = "auth" if status == 401 else "funds"
        return Submission(Verdict.NOT_SENT, cause=f"gate_{gate}", detail=detail, gate=gate)
    if status in {400, 404} and code in _UPLOAD_GONE:
        return Submission(
            Verdict.NOT_SENT,
            cause=code.lower(),
            detail=detail,
            retry_after_s=NEW_UPLOAD_WAIT_S,
        )
    if status == 400 and code in _REJECTED:
        return Submission(Verdict.REJECTED, cause=_REJECTED[code], detail=detail)
    if status in {413, 415} or (status, code) in {(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")}:
        return Submission(Verdict.REJECTED, cause=ENDPOINT_REFUSED, detail=detail)
    # 409 and 422 name the key, 400 UPLOAD_ALREADY_USED the bytes: a job may exist. 500 is "safe to
    # retry", which the replay of the same key does.
    cause = code.lower() if code else f"http_{status}"
    retry_after_s = LOCKED_WAIT_S if code == "IDEMPOTENCY_KEY_LOCKED" else wait_s
    return Submission(Verdict.AMBIGUOUS, cause=cause, detail=detail, retry_after_s=retry_after_s)


def judge_replay(told: Submission) -> Submission:
    """Say what the answer to a repeated request proves about the first one.

    A request that was taken is answered as it was then. So a refusal of its content means that the
    first was refused as well; one of the account, of the address or for haste means nothing; and one that
    speaks of the key or of the uploaded bytes means that a job may exist which cannot be named.
    """
    if told.cause == ENDPOINT_REFUSED:
        wait_s = LOCKED_WAIT_S
        return Submission(Verdict.AMBIGUOUS, None, told.cause, told.detail, retry_after_s=wait_s)
    if told.verdict is Verdict.REJECTED:
        return Submission(Verdict.NEVER_ARRIVED, cause="refused_on_replay", detail=told.detail)
    spoils = {"idempotency_key_conflict", "upload_already_used", *map(str.lower, _UPLOAD_GONE)}
    if told.cause in spoils:
        return Submission(Verdict.CANNOT_KNOW, cause=told.cause, detail=told.detail)
    if told.verdict is Verdict.NOT_SENT:
        wait_s = max(LOCKED_WAIT_S, told.retry_after_s or 0.0)
        return Submission(
            Verdict.AMBIGUOUS, cause=told.cause, detail=told.detail, retry_after_s=wait_s
        )
    if told.verdict is Verdict.ACCEPTED and told.cause is None:
        return Submission(Verdict.ACCEPTED, told.provider_job_id, cause="accepted_on_replay")
    return told


def observe_job(job: Job, body: bytes | None) -> Observation:
    """Say where a job stands; a word we do not know is taken for "still running"."""
    at = read_instant(job.completed_at)
    if job.status == "completed":
        return Observation(job.id, Phase.COMPLETED, job.status, completed_at=at, body=body)
    if job.status == "failed":
        # The reason is nested; a cancelled job is a failed one with the code CANCELLED.
        code = job.error.get("code") if isinstance(job.error, dict) else None
        known = _FAILURES.get(code) if isinstance(code, str) else None
        cause, is_retryable = known or ("provider_error", False)
        # A cancelled job's reservation is released (API reference).
        is_unpaid = is_retryable or code == "CANCELLED"
        return Observation(
            job.id, Phase.FAILED, job.status, cause, is_retryable, is_unpaid, completed_at=at
        )
    return Observation(job.id, Phase.RUNNING, job.status)


def read_instant(value: object) -> datetime | None:
    """Read an ISO instant; None for anything else. Without a zone it is taken for UTC."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _judge_accepted(answer: Response) -> Submission:
    try:
        provider_job_id = _decode_accepted(answer.body).id
    except BROKEN:
        return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="no id")
    if not JOB_ID.fullmatch(provider_job_id):
        return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="odd id")
    is_replay = answer.headers.get("Idempotent-Replay", "").lower() == "true"
    return Submission(
        Verdict.ACCEPTED, provider_job_id, cause="idempotent_replay" if is_replay else None
    )


def _read_code(body: bytes) -> str:
    try:
        code = _decode_refusal(body).error.code
    except BROKEN:
        return ""
    return code if re.fullmatch(r"[A-Z_]{1,64}", code) else ""
