"""Aitronos's client through a socket: looks, collected answers, and lost attempts found again."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.normalise.aitronos import normalise
from transcription_pipeline.providers.aitronos import SETTLE, AitronosProvider
from transcription_pipeline.providers.base import (
    AudioDelivery,
    Phase,
    Verdict,
)
from transcription_pipeline_tests.providers.aitronos_world import (
    ATTEMPT_ID,
    JOB_ID,
    JOB_S,
    KEY,
    accept,
    ask,
    ask_canned,
    emulator,
    make_attempt,
    make_audio,
    make_provider,
    no_waiting,
    server,
    settings,
    submit,
)
from transcription_pipeline_tests.providers.fault_server import FaultServer, answer

__all__ = ["emulator", "no_waiting", "server", "settings"]  # fixtures

# -- looks -------------------------------------------------------------------------------------


def test_a_job_is_seen_from_start_to_end(emulator: EmulatorServer) -> None:
    """A slow job is running until the provider has looked at its end, then completed."""
    job_id = accept(emulator)
    assert ask(emulator.base_url, lambda p: p.observe(job_id)).phase is Phase.RUNNING
    emulator.advance(JOB_S + 10)
    seen = ask(emulator.base_url, lambda p: p.observe(job_id))
    assert (seen.phase, seen.status) == (Phase.COMPLETED, "completed")


def test_a_second_look_too_soon_costs_no_request(emulator: EmulatorServer) -> None:
    """The provider refreshes every ten seconds, so a running job is not asked for more often."""
    job_id = accept(emulator)

    async def look_thrice(provider: AitronosProvider) -> set[Phase]:
        return {(await provider.observe(job_id)).phase for _ in range(3)}

    assert ask(emulator.base_url, look_thrice, look_s=60.0) == {Phase.RUNNING}
    assert emulator.request_counts()["get"] == 1


@pytest.mark.parametrize(
    ("refunds", "cause"),
    [(True, "provider_error_refunded"), (False, "provider_error_charged")],
)
def test_a_failed_job_says_what_it_cost(
    emulator: EmulatorServer, refunds: bool, cause: str
) -> None:
    """A failed job is not tried again on our own, refunded or not."""
    emulator.configure(refunds_failures=refunds)
    emulator.set_faults({"action": "job_error", "operation": "submit"})
    job_id = accept(emulator)
    emulator.advance(JOB_S + 10)
    seen = ask(emulator.base_url, lambda p: p.observe(job_id))
    assert (seen.phase, seen.cause, seen.is_retryable) == (Phase.FAILED, cause, False)


def test_an_unknown_status_is_not_the_end(emulator: EmulatorServer) -> None:
    """A word nobody documented means that the job is still running."""
    emulator.set_faults({"action": "unknown_status", "operation": "submit", "is_final": True})
    job_id = accept(emulator)
    emulator.advance(JOB_S + 10)
    seen = ask(emulator.base_url, lambda p: p.observe(job_id))
    assert (seen.phase, seen.status) == (Phase.RUNNING, "reviewing")


def test_an_unknown_job_is_told(emulator: EmulatorServer) -> None:
    """A job that is not there is unknown to a look, and an error to a collect."""
    assert ask(emulator.base_url, lambda p: p.observe(JOB_ID)).phase is Phase.UNKNOWN_JOB
    with pytest.raises(JobUnknown):
        ask(emulator.base_url, lambda p: p.collect(JOB_ID))


@pytest.mark.parametrize("job_id", ["", "trans_", "../x", "trans_a/b", "trans_a?x", "trans_é", "1"])
def test_an_odd_id_enters_no_path(emulator: EmulatorServer, job_id: str) -> None:
    """What is no id of theirs is refused before a request is made of it."""
    for what in ("observe", "collect", "delete"):
        with pytest.raises(UnexpectedResponse):
            ask(emulator.base_url, lambda p, w=what: getattr(p, w)(job_id))
    assert emulator.request_counts() == {}


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"action": "status", "status": 401}, AuthenticationFailed),
        ({"action": "status", "status": 403}, AuthenticationFailed),
        ({"action": "status", "status": 422}, RequestRejected),
        ({"action": "rate_limit", "burst": 0}, RateLimited),
        ({"action": "status", "status": 500}, ProviderUnavailable),
        ({"action": "status", "status": 503}, ProviderUnavailable),
        ({"action": "status", "status": 304}, ProviderUnavailable),
        ({"action": "redirect"}, UnexpectedResponse),
        ({"action": "html"}, UnexpectedResponse),
        ({"action": "hang"}, ProviderUnavailable),
        ({"action": "truncate"}, ProviderUnavailable),
        ({"action": "reset"}, ProviderUnavailable),
    ],
    ids=lambda v: v.get("status", v["action"]) if isinstance(v, dict) else "",
)
def test_a_look_that_fails_is_a_typed_error(
    emulator: EmulatorServer, rule: dict[str, Any], error: type[ProviderError]
) -> None:
    """A look never invents a state: it raises what happened, without the key."""
    job_id = accept(emulator)
    emulator.set_faults({**rule, "operation": "get"})
    with pytest.raises(error) as caught:
        ask(emulator.base_url, lambda p: p.observe(job_id))
    assert type(caught.value) is error
    assert KEY not in str(caught.value)


def test_caches_are_told_to_ask_again() -> None:
    """Answers of finished jobs may be kept for a day, so every request forbids it."""

    async def run() -> str:
        async with FaultServer(answer(500)) as server:
            provider = make_provider(server.base_url)
            with pytest.raises(ProviderUnavailable):
                await provider.observe(JOB_ID)
            await provider.aclose()
            return server.requests[0].lower()

    head = asyncio.run(run())
    assert "cache-control: no-cache" in head
    assert "if-none-match" not in head


def test_an_answer_about_another_job_is_refused() -> None:
    """A mixed-up cache must not complete the wrong recording."""
    body = b'{"success": true, "data": {"transcription_id": "trans_1", "status": "completed"}}'
    with pytest.raises(UnexpectedResponse, match="another job"):
        ask_canned(200, body, lambda p: p.observe(JOB_ID))


# -- collect -----------------------------------------------------------------------------------


@pytest.mark.parametrize("has_total", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_every_sentence_is_collected(emulator: EmulatorServer, limit: int, has_total: bool) -> None:
    """The kept document has the transcription and every page, whatever the pages' size."""
    emulator.configure(has_total_count=has_total, text_field="text")
    job_id = accept(emulator)
    emulator.advance(JOB_S + 10)
    body = ask(emulator.base_url, lambda p: p.collect(job_id), sentences_limit=limit)
    document = json.loads(body)
    assert document["transcription"]["data"]["transcription_id"] == job_id
    assert all(page["success"] for page in document["sentences"])
    transcript = normalise(body)
    assert transcript.text == document["transcription"]["data"]["text"]
    assert transcript.told_cost is not None
    assert transcript.told_cost.micros == emulator.invoice()[0]["amount_micros"]


def test_answers_are_kept_byte_for_byte() -> None:
    """Spaces, unknown fields and the spelling of numbers survive inside the document."""
    body = (
        b'{ "success" : true, "data": {"transcription_id": "%b", "status": "completed",'
        b' "sentences": []}, "x": 1.50 }' % JOB_ID.encode()
    )
    assert ask_canned(200, body, lambda p: p.collect(JOB_ID)).count(body) == 2


def test_fewer_sentences_than_counted_are_not_taken() -> None:
    """Where pages end before the count does, the answer is asked for again later."""
    body = (
        b'{"success": true, "data": {"transcription_id": "%b", "status": "completed",'
        b' "sentences": []}, "metadata": {"total_count": 2}}' % JOB_ID.encode()
    )
    with pytest.raises(ProviderUnavailable):
        ask_canned(200, body, lambda p: p.collect(JOB_ID))


@pytest.mark.parametrize("status", [409, 304, 500])
def test_sentences_that_are_not_ready_are_asked_for_later(
    emulator: EmulatorServer, status: int
) -> None:
    """A completed job whose sentences lag behind is a passing trouble."""
    job_id = accept(emulator)
    emulator.advance(JOB_S + 10)
    emulator.set_faults({"action": "status", "status": status, "operation": "sentences"})
    with pytest.raises(ProviderUnavailable):
        ask(emulator.base_url, lambda p: p.collect(job_id))


def test_a_job_that_is_not_over_is_not_collected(emulator: EmulatorServer) -> None:
    """Collecting says what it found instead of a completed job."""
    job_id = accept(emulator)
    with pytest.raises(UnexpectedResponse, match="seen as completed"):
        ask(emulator.base_url, lambda p: p.collect(job_id))


# -- reconcile, upload, delete -----------------------------------------------------------------


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_lost_attempt_is_found_by_its_token(emulator: EmulatorServer, order: str) -> None:
    """Among the jobs of its time, on whichever page, the attempt's own is found and no other."""
    emulator.configure(list_order=order)

    async def fill(provider: AitronosProvider) -> None:
        for number in range(110):
            audio = make_audio(f"https://audio.test/{number}.wav?x-tp-attempt=other{number}")
            await provider.submit(provider.make_request("other", audio, {}))

    attempt = make_attempt(emulator)
    emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    assert submit(emulator).verdict is Verdict.AMBIGUOUS
    ask(emulator.base_url, fill)
    at = attempt.sent_at or datetime.now(UTC)
    told = ask(emulator.base_url, lambda p: p.reconcile(attempt, at=at + timedelta(minutes=1)))
    (line,) = (one for one in emulator.invoice() if one["attempt_token"] == ATTEMPT_ID)
    assert (told.verdict, told.provider_job_id) == (Verdict.ACCEPTED, line["provider_job_id"])


def test_absence_is_never_proof(emulator: EmulatorServer) -> None:
    """An attempt in no list is open, then for a person to settle; it is never free again."""
    attempt = make_attempt(emulator)
    dead_at = (attempt.url_expires_at or datetime.now(UTC)) + SETTLE
    early = ask(
        emulator.base_url, lambda p: p.reconcile(attempt, at=dead_at - timedelta(seconds=1))
    )
    assert (early.verdict, early.retry_after_s) == (Verdict.AMBIGUOUS, 300.0)
    late = ask(emulator.base_url, lambda p: p.reconcile(attempt, at=dead_at))
    assert late.verdict is Verdict.CANNOT_KNOW
    assert late.detail is not None
    assert "synapse transactions" in late.detail


def test_uploads_are_a_stub_by_default(emulator: EmulatorServer) -> None:
    """A 501 to an upload says what to set instead."""
    with pytest.raises(UnexpectedResponse, match="delivery"):
        ask(emulator.base_url, lambda p: p.upload(make_audio(None)))


def test_an_upload_gives_a_url(emulator: EmulatorServer) -> None:
    """Where uploads exist the bytes go up whole, and the URL that comes back is submitted."""
    emulator.configure(stubs=[])
    audio = ask(
        emulator.base_url, lambda p: p.upload(make_audio(None)), delivery=AudioDelivery.UPLOAD
    )
    told = ask(emulator.base_url, lambda p: p.submit(p.make_request(ATTEMPT_ID, audio, {})))
    assert told.verdict is Verdict.ACCEPTED


def test_a_deleted_job_is_gone(emulator: EmulatorServer) -> None:
    """Deleting is confirmed, and the job is unknown afterwards."""
    job_id = accept(emulator)
    assert ask(emulator.base_url, lambda p: p.delete(job_id))
    assert ask(emulator.base_url, lambda p: p.observe(job_id)).phase is Phase.UNKNOWN_JOB
