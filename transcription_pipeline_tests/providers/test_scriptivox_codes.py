"""Scriptivox's documented error codes, each with what it proves, and its free calls when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.base import PaidRequest, Phase, Verdict
from transcription_pipeline_tests.providers.test_scriptivox import (
    JOB_S,
    emulator,
    fail,
    make_audio,
    make_request,
    server,
    submit,
    submit_job,
    talk,
)
from transcription_pipeline_tests.providers.test_scriptivox import _no_waiting as no_waiting

__all__ = ["emulator", "no_waiting", "server"]  # fixtures

_REJECTED, _NOT_SENT, _OPEN = Verdict.REJECTED, Verdict.NOT_SENT, Verdict.AMBIGUOUS
SYNCHRONOUS: dict[str, tuple[int, Verdict, str, str | None]] = {
    "INVALID_REQUEST": (400, _REJECTED, "request_rejected", None),
    "INVALID_FILENAME": (400, _REJECTED, "request_rejected", None),
    "INVALID_MEDIA_FORMAT": (400, _REJECTED, "not_audio", None),
    "FILE_TOO_LARGE": (400, _REJECTED, "too_large", None),
    "FILE_NOT_UPLOADED": (400, _NOT_SENT, "file_not_uploaded", None),
    "UPLOAD_EXPIRED": (400, _NOT_SENT, "upload_expired", None),
    "UPLOAD_ALREADY_USED": (400, _OPEN, "upload_already_used", None),
    "INVALID_API_KEY": (401, _NOT_SENT, "gate_auth", "auth"),
    "API_KEY_REVOKED": (401, _NOT_SENT, "gate_auth", "auth"),
    "ZERO_BALANCE": (402, _NOT_SENT, "gate_funds", "funds"),
    "INSUFFICIENT_BALANCE": (402, _NOT_SENT, "gate_funds", "funds"),
    "UPLOAD_NOT_FOUND": (404, _NOT_SENT, "upload_not_found", None),
    "TRANSCRIPTION_NOT_FOUND": (404, _OPEN, "transcription_not_found", None),
    "NOT_FOUND": (404, _REJECTED, "endpoint_refused", None),
    "METHOD_NOT_ALLOWED": (405, _REJECTED, "endpoint_refused", None),
    "CONFLICT": (409, _OPEN, "conflict", None),
    "IDEMPOTENCY_KEY_LOCKED": (409, _OPEN, "idempotency_key_locked", None),
    "PAYLOAD_TOO_LARGE": (413, _REJECTED, "endpoint_refused", None),
    "UNSUPPORTED_MEDIA_TYPE": (415, _REJECTED, "endpoint_refused", None),
    "IDEMPOTENCY_KEY_CONFLICT": (422, _OPEN, "idempotency_key_conflict", None),
    "RATE_LIMIT_EXCEEDED": (429, _NOT_SENT, "rate_limited", None),
    "INTERNAL_ERROR": (500, _OPEN, "internal_error", None),
}
"""Code of a refused submit → its status, and what it proves: verdict, cause, gate."""
ASYNCHRONOUS: dict[str, tuple[str, bool, bool]] = {
    "URL_NOT_ACCESSIBLE": ("audio_not_downloadable", True, True),
    "DOWNLOAD_FAILED": ("audio_not_downloadable", True, True),
    "INVALID_MEDIA_FORMAT": ("not_audio", False, False),
    "DURATION_TOO_LONG": ("too_long", False, False),
    "PROCESSING_ERROR": ("provider_processing_error", False, False),
    "CREATED_TIMEOUT": ("provider_timeout", True, True),
    "DOWNLOAD_TIMEOUT": ("audio_not_downloadable", True, True),
    "PROCESSING_TIMEOUT": ("provider_timeout", False, False),
    "BILLING_ERROR": ("provider_billing_error", True, True),
    "INTERNAL_ERROR": ("provider_server_error", True, True),
    "CANCELLED": ("cancelled_at_provider", False, True),
    # Of older pages.
    "UNSUPPORTED_FORMAT": ("not_audio", False, False),
    "PROCESSING_FAILED": ("provider_processing_error", False, False),
}
"""Code of a failed job → cause, whether another attempt is made, whether it surely cost nothing."""


@pytest.mark.parametrize(
    ("code", "row"),
    [*SYNCHRONOUS.items(), *ASYNCHRONOUS.items()],
    ids=[*SYNCHRONOUS, *(f"{code} of a job" for code in ASYNCHRONOUS)],
)
def test_what_every_documented_code_means(
    emulator: EmulatorServer, code: str, row: tuple[Any, ...]
) -> None:
    """A refused submit is never, not now, or in doubt; a failed job is over, and free or not."""
    error = {"error": {"code": code, "message": "as the page says"}}
    if len(row) == 4:
        status, verdict, cause, gate = row
        rule = {"action": "status", "operation": "submit", "status": status, "body": error}
        emulator.set_faults(rule)
        told = submit(emulator)
        assert (told.verdict, told.cause, told.gate) == (verdict, cause, gate)
        assert emulator.request_counts() == {"submit": 1}
    else:
        emulator.set_faults({"action": "job_error", "operation": "submit", "error": code})
        job = submit_job(emulator)
        emulator.advance(JOB_S)
        seen = talk(emulator, lambda client: client.observe(job))
        assert seen.phase is Phase.FAILED
        assert (seen.cause, seen.is_retryable, seen.is_unpaid) == row
        assert emulator.invoice() == []


@pytest.mark.parametrize("operation", ["list", "balance"])
@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationFailed), (503, ProviderUnavailable)]
)
def test_a_checkup_fails_with_either_of_its_calls(
    emulator: EmulatorServer, operation: str, status: int, kind: type[Exception]
) -> None:
    """An account that is refused, or a service that is down, is an error and no checkup."""
    emulator.set_faults({"operation": operation, "action": "status", "status": status})
    assert type(fail(emulator, lambda client: client.check())) is kind


def test_free_calls_about_no_job_are_refused(emulator: EmulatorServer) -> None:
    """Of a job that is not there, or not done, nothing is exported and nothing given back."""
    assert type(fail(emulator, lambda client: client.cancel("nobody"))) is RequestRejected
    assert type(fail(emulator, lambda client: client.export("nobody", "srt"))) is RequestRejected
    job = submit_job(emulator)
    assert fail(emulator, lambda client: client.export(job, "text")).status_code == 409
    before = emulator.request_counts()
    for odd in ("", "../balance", "a/b"):
        error = fail(emulator, lambda client, odd=odd: client.export(odd, "vtt"))
        assert type(error) is UnexpectedResponse
    assert emulator.request_counts() == before


def test_a_cancelled_job_gives_its_reservation_back(emulator: EmulatorServer) -> None:
    """What was set aside can be spent again, and the invoice has no line."""
    emulator.configure(balance_cents=500.0)
    before = talk(emulator, lambda client: client.check()).available
    job = submit_job(emulator)
    assert talk(emulator, lambda client: client.check()).available != before
    talk(emulator, lambda client: client.cancel(job))
    assert talk(emulator, lambda client: client.check()).available == before
    emulator.configure(balance_cents=1_000_000.0)
    emulator.advance(JOB_S)
    assert emulator.invoice() == []


def test_the_list_is_read_page_by_page(emulator: EmulatorServer) -> None:
    """With more jobs than a page has rows the oldest is seen on the next one."""

    async def fill(client: Any) -> list[str | None]:
        requests = [
            PaidRequest(f"{number:032x}", make_request().body, make_audio())
            for number in range(201)
        ]
        return [(await client.submit(request)).provider_job_id for request in requests]

    jobs = {job for job in talk(emulator, fill) if job}
    survey = talk(emulator, lambda client: client.survey(jobs))
    assert survey.seen.keys() == jobs
    assert len(jobs) == 201
    assert emulator.request_counts()["list"] == 2
