"""What Plaud's answers mean; pure.

What belongs here: the shapes of answers, what one to the paid POST proves, and where a job stands.
What does not: requests (``plaud.py`` and the modules beside it) and reading transcripts
(``normalise/plaud.py``). Shapes and statuses are from docs.plaud.ai (Transcription API, File Upload
API, Partner API), read 2026-11-21. Its pages document no answer but 200: whatever else is said here
follows HTTP (RFC 9110, RFC 6585), and what HTTP leaves open is a doubt.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from transcription_pipeline.errors import RequestRejected, UnexpectedResponse
from transcription_pipeline.providers.answers import (
    Response,
    describe_error,
    parse_retry_after,
    redact,
)
from transcription_pipeline.providers.base import Observation, Phase, Submission, Verdict

NAME = "plaud"
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""The samples say ``task_exec_xxx``."""
_GATES = {401: "auth", 402: "funds", 403: "auth"}
_REFUSED = frozenset({400, 404, 405, 413, 415, 422})
_FAILURES = {"FAILURE": "provider_error", "REVOKED": "cancelled_at_provider"}

T = TypeVar("T")
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
# What goes into a header line holds no blank and no line break.
_Secret = Annotated[str, msgspec.Meta(pattern="^[!-~]{1,16384}$")]


class TokenAnswer(msgspec.Struct, gc=False):
    """Answer of the three token requests; a user token comes without ``refresh_token``."""

    access_token: _Secret
    expires_in: _Count  # seconds
    refresh_token: _Secret | None = None


class Part(msgspec.Struct, gc=False, rename="pascal"):
    """Where one part of an upload is to be put."""

    part_number: _Count
    presigned_url: _Text


class UploadPlan(msgspec.Struct, gc=False, rename="pascal"):
    """Answer of generate-presigned-urls."""

    file_id: _Text
    upload_id: _Text
    chunk_size: _Count
    parts: list[Part]


class Uploaded(msgspec.Struct, gc=False, rename="pascal"):
    """Answer of complete-upload; the URL lives about 24 hours."""

    file_id: _Text
    download_url: _Text
    file_md5: str | None = None


class Job(msgspec.Struct, gc=False):
    """Where a job stands; its ``data`` is left unread."""

    transcription_id: str
    status: str


class _Accepted(msgspec.Struct, gc=False):
    transcription_id: str


_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(answer: Response, shape: type[T], operation: str, provider_job_id: str | None = None) -> T:
    """Decode an answer; raises ``UnexpectedResponse`` for another shape than documented."""
    try:
        return msgspec.json.decode(answer.body, type=shape)
    except _BROKEN:
        raise UnexpectedResponse(
            f"not the documented shape ({len(answer.body)} bytes)",
            provider=NAME,
            operation=operation,
            provider_job_id=provider_job_id,
            status_code=answer.status,
        ) from None


def judge(answer: Response) -> Submission:
    """Say what an answer to the paid POST proves; everything unnamed is ambiguous.

    There is no list and no key to find a job by, so that an ambiguous answer ends with a person.
    """
    status = answer.status
    if 200 <= status < 300:
        try:
            provider_job_id = read(answer, _Accepted, "submit").transcription_id
        except UnexpectedResponse as error:
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail=str(error))
        if not JOB_ID.fullmatch(provider_job_id):
            return Submission(Verdict.AMBIGUOUS, cause="accepted_without_id", detail="odd id")
        return Submission(Verdict.ACCEPTED, provider_job_id)
    detail = f"HTTP {status}: {describe_error(answer.body)}"
    if status == 429:
        wait_s = parse_retry_after(answer.headers) or 1.0
        return Submission(
            Verdict.NOT_SENT, cause="rate_limited", detail=detail, retry_after_s=wait_s
        )
    gate = _GATES.get(status)
    if gate:
        return Submission(Verdict.NOT_SENT, cause=f"gate_{gate}", detail=detail, gate=gate)
    if status in _REFUSED:
        return Submission(Verdict.REJECTED, cause="request_rejected", detail=detail)
    # An address of the audio that Plaud cannot fetch is said to be answered 500: unpaid, perhaps.
    return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)


def judge_refused_upload(error: RequestRejected) -> Submission:
    """Say what a refused upload means for the job that wanted it: nothing was sent, nothing paid."""
    detail = redact(str(error))
    if error.status_code == 402:
        return Submission(Verdict.NOT_SENT, cause="gate_funds", detail=detail, gate="funds")
    return Submission(Verdict.REJECTED, cause="upload_rejected", detail=detail)


def observe_job(job: Job, body: bytes) -> Observation:
    """Say where a job stands; a word we do not know is taken for "still running".

    Where the reason of a failure stands, and whether a failed job is billed, is not documented: so
    none is tried again on our own.
    """
    status = redact(job.status)
    if job.status == "SUCCESS":
        return Observation(job.transcription_id, Phase.COMPLETED, status, body=body)
    cause = _FAILURES.get(job.status)
    if cause:
        return Observation(job.transcription_id, Phase.FAILED, status, cause=cause)
    return Observation(job.transcription_id, Phase.RUNNING, status)
