"""Aitronos's client through a socket: what every answer means, and what leaves the house."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import stamina

from transcription_pipeline.composition import REGISTRY
from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ConfigurationError,
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.normalise.aitronos import normalise
from transcription_pipeline.providers.aitronos import SETTLE, AitronosProvider, open_provider
from transcription_pipeline.providers.aitronos_options import find_problems, make_fields
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Cost,
    PaidRequest,
    Phase,
    Submission,
    Verdict,
)
from transcription_pipeline.providers.http import Patience
from transcription_pipeline.settings import AitronosSettings, Money
from transcription_pipeline_tests.providers.fault_server import FaultServer, answer

T = TypeVar("T")
JOB_S = 60.0
KEY = "ak_canary"
HASTY = Patience(connect_s=0.5, read_s=0.4, deadline_s=0.8, retries=2, retry_wait_s=0.0)
ATTEMPT_ID = "a" * 32
URL = f"https://audio.test/call.wav?x-tp-attempt={ATTEMPT_ID}&X-Amz-Signature=1"
JOB_ID = "trans_" + "0" * 32
CONTENT = b"RIFF" + bytes(100_000)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator."""
    with EmulatorServer("aitronos", job_s=JOB_S, audio_s=30.0, word_count=40) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator without jobs, charges or faults."""
    server.reset()
    server.configure(**settings)
    return server


def make_provider(base_url: str, **arguments: Any) -> AitronosProvider:
    """Make a client that keeps to no rate and looks at any time."""
    told = {"api_key": KEY, "organization_id": "org_1", "look_s": 0.0, "patience": HASTY}
    return AitronosProvider(base_url=base_url, requests_per_s=2_000.0, **(told | arguments))


def ask(base_url: str, what: Callable[[AitronosProvider], Awaitable[T]], **arguments: Any) -> T:
    """Do one thing with a client of its own."""

    async def run() -> T:
        provider = make_provider(base_url, **arguments)
        try:
            return await what(provider)
        finally:
            await provider.aclose()

    return asyncio.run(run())


def ask_canned(status: int, body: bytes, what: Callable[[AitronosProvider], Awaitable[T]]) -> T:
    """Do one thing with a client whose every request is answered like this."""

    async def run() -> T:
        async with FaultServer(answer(status, body)) as server:
            provider = make_provider(server.base_url)
            try:
                return await what(provider)
            finally:
                await provider.aclose()

    return asyncio.run(run())


def make_audio(url: str | None = URL) -> Audio:
    """Make the audio of one recording."""

    async def stream() -> AsyncIterator[bytes]:
        yield CONTENT

    return Audio("r" * 32, len(CONTENT), 30_000, stream, url=url)


def make_request(provider: AitronosProvider, **options: Any) -> PaidRequest:
    """Make the paid request of one attempt."""
    return provider.make_request(ATTEMPT_ID, make_audio(), options)


def submit(emulator: EmulatorServer, **options: Any) -> Submission:
    """Submit one job."""
    return ask(emulator.base_url, lambda p: p.submit(make_request(p, **options)))


def accept(emulator: EmulatorServer, **options: Any) -> str:
    """Submit one job that is accepted, and return its id."""
    told = submit(emulator, **options)
    assert told.verdict is Verdict.ACCEPTED, told
    assert told.provider_job_id is not None
    return told.provider_job_id


def make_attempt(emulator: EmulatorServer, **fields: Any) -> Attempt:
    """Make the attempt that ``submit`` sends, of now on the emulator's clock."""
    at = datetime.fromtimestamp(emulator.control("clock")["now"], tz=UTC)
    told = {"sent_at": at, "url_expires_at": at + timedelta(hours=2), **fields}
    return Attempt(ATTEMPT_ID, "j", "r", "aitronos", 1, AttemptState.AMBIGUOUS, **told)


# -- submit ------------------------------------------------------------------------------------


def test_a_job_is_charged_once_when_it_is_accepted(emulator: EmulatorServer) -> None:
    """An accepted job has an id, a line on the invoice in synapses, and the price by list."""
    job_id = accept(emulator)
    (line,) = emulator.invoice()
    assert (line["provider_job_id"], line["attempt_token"]) == (job_id, ATTEMPT_ID)
    price = make_provider("http://x.invalid").price({}, 30_000)
    assert price == Cost(30_000_000, "SYNAPSES", 30_000)
    assert (line["amount_micros"], line["currency"]) == (price.micros, price.currency)


@pytest.mark.parametrize("auth", ["api_key", "bearer"])
def test_both_ways_to_show_the_key(emulator: EmulatorServer, auth: str) -> None:
    """The key goes as ``X-API-Key``, or as a session's token."""
    emulator.configure(api_keys={KEY: "account"})
    told = ask(emulator.base_url, lambda p: p.submit(make_request(p)), auth=auth)
    assert told.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("rule", "verdict", "cause", "gate"),
    [
        ({"action": "status", "status": 401}, Verdict.NOT_SENT, "gate_auth", "auth"),
        ({"action": "status", "status": 402}, Verdict.NOT_SENT, "gate_funds", "funds"),
        ({"action": "status", "status": 403}, Verdict.NOT_SENT, "gate_auth", "auth"),
        ({"action": "status", "status": 422}, Verdict.REJECTED, "request_rejected", None),
        ({"action": "rate_limit", "burst": 0}, Verdict.NOT_SENT, "rate_limited", None),
        ({"action": "status", "status": 409}, Verdict.AMBIGUOUS, "http_409", None),
        ({"action": "status", "status": 500}, Verdict.AMBIGUOUS, "http_500", None),
        ({"action": "status", "status": 501}, Verdict.AMBIGUOUS, "http_501", None),
        ({"action": "status", "status": 502}, Verdict.AMBIGUOUS, "http_502", None),
        ({"action": "redirect"}, Verdict.AMBIGUOUS, "http_307", None),
        ({"action": "html"}, Verdict.AMBIGUOUS, "accepted_without_id", None),
        ({"action": "hang"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drip"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "truncate"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_after"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_before"}, Verdict.AMBIGUOUS, "no_answer", None),
    ],
    ids=lambda v: v.get("status", v["action"]) if isinstance(v, dict) else "",
)
def test_what_an_answer_to_the_paid_request_proves(
    emulator: EmulatorServer, rule: dict[str, Any], verdict: Verdict, cause: str, gate: str | None
) -> None:
    """Only named refusals free the attempt; everything else leaves it open, and is sent once."""
    emulator.set_faults({**rule, "operation": "submit"})
    told = submit(emulator)
    assert (told.verdict, told.cause, told.gate) == (verdict, cause, gate)
    assert emulator.request_counts() == {"submit": 1}
    assert KEY not in repr(told)
    assert "Signature" not in repr(told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"success": true, "data": {}}',
        b'{"success": false, "data": {"transcription_id": "trans_1"}}',
        b'{"success": true, "data": {"transcription_id": "trans_../../x"}}',
        b'{"success": true, "data": {"transcription_id": 7}}',
        b'{"text": "synchronous", "segments": []}',
    ],
    ids=range(7),
)
def test_a_success_without_a_good_id_is_ambiguous(body: bytes) -> None:
    """A 2xx that names no job of ours may have been charged: it stays open."""
    told = ask_canned(201, body, lambda p: p.submit(make_request(p)))
    assert (told.verdict, told.cause) == (Verdict.AMBIGUOUS, "accepted_without_id")


def test_nothing_listening_proves_that_nothing_was_sent() -> None:
    """Without a connection the attempt may be sent again."""
    told = ask("http://127.0.0.1:9", lambda p: p.submit(make_request(p)))
    assert told.verdict is Verdict.NOT_SENT


def test_a_balance_that_is_too_small_closes_the_gate(emulator: EmulatorServer) -> None:
    """INSUFFICIENT_SYNAPSES is a matter of funds, and nothing is charged."""
    emulator.configure(balance_synapses=29)
    told = submit(emulator)
    assert (told.gate, told.verdict) == ("funds", Verdict.NOT_SENT)
    assert told.detail is not None
    assert "INSUFFICIENT_SYNAPSES" in told.detail
    assert emulator.invoice() == []


# -- options -----------------------------------------------------------------------------------


def test_options_become_sections_of_the_body() -> None:
    """Every option stands where the page has it, and what nobody asked for is left out."""
    provider = make_provider("http://x.invalid")
    options = {
        "language": "de",
        "diarize": True,
        "speakers_expected": 2,
        "redact_pii": ["email"],
        "extra": {"intelligence_features": {"summarization_enabled": True}},
    }
    assert json.loads(make_request(provider, **options).body) == {
        "organization_id": "org_1",
        "transcription_options": {"language": "de", "audio_url": URL},
        "speaker_analysis": {"diarization_enabled": True, "speakers_expected_count": 2},
        "privacy_settings": {"pii_redaction_enabled": True, "pii_policies": ["email"]},
        "intelligence_features": {"summarization_enabled": True},
    }
    assert make_fields({"diarize": False, "language": "auto"}) == {
        "transcription_options": {"language": "en"}
    }


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"diarize": True, "speakers_expected": 10}, 0),
        ({"diarize": True, "speakers_expected": 11}, 1),
        ({"speakers_expected": 2}, 1),
        ({"extra": {"organization_id": "org_2"}}, 1),
        ({"extra": {"transcription_options": {"audio_url": "x"}}}, 1),
        ({"extra": {"webhook": {"url": "https://x.test"}}}, 0),
    ],
)
def test_what_cannot_be_honoured_is_told(options: dict[str, Any], count: int) -> None:
    """Values out of range, and fields that are not for a route to set, are problems."""
    assert len(find_problems(options)) == count


def test_what_no_answer_carries_is_no_option() -> None:
    """Analyses that can be ordered but come back in no documented answer are not offered."""
    offered = REGISTRY["aitronos"].options
    assert offered.isdisjoint({"sentiment", "entities", "highlights", "summary", "word_timestamps"})


def test_a_price_is_in_synapses_or_refused() -> None:
    """An agreed price replaces the list's; one in money is a mistake."""
    secrets = {"aitronos_api_key": KEY, "aitronos_organization_id": "org_1"}
    half = AitronosSettings(price_per_hour=Money(micros=1_800_000_000, currency="SYNAPSES"))
    price = open_provider(half, secrets).price({}, 3_000)
    assert price == Cost(2_000_000, "SYNAPSES", 3_000)
    with pytest.raises(ConfigurationError):
        open_provider(AitronosSettings(price_per_hour=Money(micros=1, currency="USD")), secrets)


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
