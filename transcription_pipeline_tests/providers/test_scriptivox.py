"""Scriptivox's client through a socket: what every answer means, and what leaves the house."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import stamina

from transcription_pipeline.composition import REGISTRY
from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    JobUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    UnexpectedResponse,
)
from transcription_pipeline.providers.base import (
    Audio,
    AudioDelivery,
    Cost,
    PaidRequest,
    Phase,
    Submission,
    Verdict,
)
from transcription_pipeline.providers.scriptivox import ScriptivoxProvider
from transcription_pipeline.providers.scriptivox_options import find_problems, make_fields
from transcription_pipeline.providers.transport import Patience

T = TypeVar("T")
JOB_S = 60.0
KEY = "sk_live_canary"
HASTY = Patience(connect_s=0.5, read_s=0.4, deadline_s=0.8, retries=2, retry_wait_s=0.0)
FACTS = AudioFacts("wav", "pcm_s16le", 8_000, 1, 30_000)
CONTENT = b"RIFF" + bytes(100_000)
ATTEMPT_ID = "a" * 32
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator, without limits per minute."""
    with EmulatorServer(
        "scriptivox", job_s=JOB_S, audio_s=30.0, word_count=20, limit_factor=0.0
    ) as server:
        yield server


@pytest.fixture
def emulator(server: EmulatorServer) -> EmulatorServer:
    """The emulator without jobs, charges or faults; its clock moves only when a test moves it."""
    server.reset()
    server.control("clock", {"is_frozen": True})
    server.configure(processing_timeout_s=2_700.0)
    return server


def talk(
    emulator: EmulatorServer,
    conversation: Callable[[ScriptivoxProvider], Awaitable[T]],
    **arguments: Any,
) -> T:
    """Have one conversation with a client that gives up soon."""

    async def run() -> T:
        settings = {"submits_per_s": 1e6, "looks_per_s": 1e6, "lists_per_s": 1e6, "patience": HASTY}
        settings |= {"base_url": emulator.base_url, "api_key": KEY}
        client = ScriptivoxProvider(**{**settings, **arguments})
        try:
            return await conversation(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


def fail(
    emulator: EmulatorServer, conversation: Callable[[ScriptivoxProvider], Awaitable[Any]]
) -> ProviderError:
    """Have a conversation that must end in an error, which tells neither key nor address."""
    with pytest.raises(ProviderError) as caught:
        talk(emulator, conversation)
    assert KEY not in str(caught.value)
    assert "http://" not in str(caught.value)
    return caught.value


def make_audio(url: str | None = "https://audio.test/a.wav?sig=1", **changes: Any) -> Audio:
    """Describe some audio; its stream can be opened again and again."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 16_384):
            yield CONTENT[start : start + 16_384]

    values: dict[str, Any] = {"facts": FACTS, "url": url, **changes}
    return Audio("b" * 32, len(CONTENT), 30_000, stream, **values)


def make_request(audio: Audio | None = None, **options: Any) -> PaidRequest:
    """Build the paid request for some audio."""
    client = ScriptivoxProvider(api_key=KEY)
    return client.make_request(ATTEMPT_ID, audio or make_audio(), options)


def submit(emulator: EmulatorServer, request: PaidRequest | None = None) -> Submission:
    """Send one paid request."""
    return talk(emulator, lambda client: client.submit(request or make_request()))


def submit_job(emulator: EmulatorServer, **options: Any) -> str:
    """Send one paid request that is accepted, and return the job's id."""
    told = submit(emulator, make_request(**options))
    assert told.verdict is Verdict.ACCEPTED
    assert told.provider_job_id is not None
    return told.provider_job_id


def reconcile(
    emulator: EmulatorServer, request: bytes | None, *, after: timedelta = timedelta(minutes=1)
) -> Submission:
    """Ask what became of an attempt."""
    attempt = Attempt(
        ATTEMPT_ID, "job", "recording", "scriptivox", 1, AttemptState.AMBIGUOUS, sent_at=AT
    )
    return talk(emulator, lambda client: client.reconcile(attempt, at=AT + after, request=request))


def test_a_job_from_submit_to_answer(emulator: EmulatorServer) -> None:
    """Accepted, running, completed: each look says so, and the answer comes byte for byte."""
    job = submit_job(emulator, diarize=True, speakers_expected=2, language="en")
    seen = talk(emulator, lambda client: client.observe(job))
    assert (seen.phase, seen.status, seen.body) == (Phase.RUNNING, "processing", None)
    emulator.advance(JOB_S)
    seen = talk(emulator, lambda client: client.observe(job))
    assert (seen.phase, seen.status) == (Phase.COMPLETED, "completed")
    assert seen.completed_at is not None
    assert seen.body == talk(emulator, lambda client: client.collect(job))
    assert b'"speaker_count":2' in (seen.body or b"")


def test_the_key_is_the_attempt_and_a_replay_is_the_same_job(emulator: EmulatorServer) -> None:
    """The same request twice is one job, one charge, and the answer says that it was a replay."""
    job = submit_job(emulator)
    told = submit(emulator)
    assert (told.provider_job_id, told.cause) == (job, "idempotent_replay")
    emulator.advance(JOB_S)
    assert [line["attempt_token"] for line in emulator.invoice()] == [ATTEMPT_ID]


JUDGED: dict[str, tuple[dict[str, Any], Verdict, str]] = {
    "400": ({"status": 400}, Verdict.REJECTED, "request_rejected"),
    "401": ({"status": 401}, Verdict.NOT_SENT, "gate_auth"),
    "402": ({"status": 402}, Verdict.NOT_SENT, "gate_funds"),
    "403": ({"status": 403}, Verdict.AMBIGUOUS, "internal_error"),
    "404": ({"status": 404}, Verdict.NOT_SENT, "upload_not_found"),
    "409": ({"status": 409}, Verdict.AMBIGUOUS, "conflict"),
    "413": ({"status": 413}, Verdict.REJECTED, "endpoint_refused"),
    "415": ({"status": 415}, Verdict.REJECTED, "endpoint_refused"),
    "422": ({"status": 422}, Verdict.AMBIGUOUS, "idempotency_key_conflict"),
    "429": ({"status": 429}, Verdict.NOT_SENT, "rate_limited"),
    "500": ({"status": 500}, Verdict.AMBIGUOUS, "internal_error"),
    "502": ({"status": 502}, Verdict.AMBIGUOUS, "http_502"),
    "400 without the envelope": ({"status": 400, "body": "no"}, Verdict.AMBIGUOUS, "http_400"),
    "404 of a wrong address": ({"status": 404, "body": "no"}, Verdict.AMBIGUOUS, "http_404"),
    "a web page": ({"action": "html"}, Verdict.AMBIGUOUS, "accepted_without_id"),
    "no id": ({"status": 200, "body": {}}, Verdict.AMBIGUOUS, "accepted_without_id"),
    "an odd id": (
        {"status": 200, "body": {"id": "../1"}},
        Verdict.AMBIGUOUS,
        "accepted_without_id",
    ),
    "a redirect": ({"action": "redirect"}, Verdict.AMBIGUOUS, "http_307"),
    "silence": ({"action": "hang", "seconds": 2}, Verdict.AMBIGUOUS, "no_answer"),
    "cut": ({"action": "truncate"}, Verdict.AMBIGUOUS, "no_answer"),
    "dripping": ({"action": "drip"}, Verdict.AMBIGUOUS, "no_answer"),
    "reset": ({"action": "reset"}, Verdict.AMBIGUOUS, "no_answer"),
    "garbage": ({"action": "garbage"}, Verdict.AMBIGUOUS, "no_answer"),
    "dropped": ({"action": "drop_after"}, Verdict.AMBIGUOUS, "no_answer"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_what_an_answer_to_the_paid_request_proves(emulator: EmulatorServer, name: str) -> None:
    """Only what is documented to be a refusal is one; everything unnamed is a doubt."""
    rule, verdict, cause = JUDGED[name]
    emulator.set_faults({"action": "status", "operation": "submit", **rule})
    told = submit(emulator)
    assert (told.verdict, told.cause) == (verdict, cause)
    assert emulator.request_counts() == {"submit": 1}


@pytest.mark.parametrize(
    ("code", "cause"), [("SOMETHING_NEW", "something_new"), ("x; DROP", "http_400")]
)
def test_a_code_that_no_page_names_is_a_doubt(
    emulator: EmulatorServer, code: str, cause: str
) -> None:
    """Whatever is unknown may have been taken; what is no code is not repeated, nor is an address."""
    body = {"error": {"code": code, "message": "see https://a.invalid/?sig=1"}}
    emulator.set_faults({"action": "status", "status": 400, "operation": "submit", "body": body})
    told = submit(emulator)
    assert (told.verdict, told.cause) == (Verdict.AMBIGUOUS, cause)
    assert "sig" not in (told.detail or "")


@pytest.mark.parametrize(
    ("headers", "wait_s"), [({"Retry-After": "12"}, 12.0), ({}, 1.0), ({"Retry-After": "x"}, 1.0)]
)
def test_too_many_requests_say_how_long(
    emulator: EmulatorServer, headers: dict[str, str], wait_s: float
) -> None:
    """429 was not taken; the service's own time is believed where it gives one."""
    rule = {"action": "status", "status": 429, "operation": "submit", "headers": headers}
    emulator.set_faults(rule)
    assert submit(emulator).retry_after_s == wait_s


def test_an_unreachable_service_got_nothing(emulator: EmulatorServer) -> None:
    """Where no connection comes about the request was not sent."""
    told = talk(
        emulator, lambda client: client.submit(make_request()), base_url="http://127.0.0.1:9"
    )
    assert told.verdict is Verdict.NOT_SENT


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"action": "status", "status": 401}, AuthenticationFailed),
        ({"action": "status", "status": 429}, RateLimited),
        ({"action": "status", "status": 500}, ProviderUnavailable),
        ({"action": "status", "status": 503}, ProviderUnavailable),
        ({"action": "html"}, UnexpectedResponse),
        ({"action": "redirect"}, UnexpectedResponse),
        ({"action": "hang", "seconds": 2}, ProviderUnavailable),
        ({"action": "truncate"}, ProviderUnavailable),
        ({"action": "status", "status": 200, "body": []}, UnexpectedResponse),
        ({"action": "status", "status": 200, "body": {"id": 1, "status": "x"}}, UnexpectedResponse),
        (
            {"action": "status", "status": 200, "body": {"id": "other", "status": "completed"}},
            UnexpectedResponse,
        ),
    ],
)
def test_a_look_that_fails_is_an_error_of_its_kind(
    emulator: EmulatorServer, rule: dict[str, Any], kind: type[ProviderError]
) -> None:
    """A failed look says nothing of the job: transient kinds are looked at again."""
    job = submit_job(emulator)
    emulator.set_faults({"operation": "get", **rule})
    assert type(fail(emulator, lambda client: client.observe(job))) is kind


def test_an_unknown_job_is_an_observation(emulator: EmulatorServer) -> None:
    """404 with the documented code is a fact about the job; another 404 is a wrong address."""
    seen = talk(emulator, lambda client: client.observe("nobody"))
    assert seen.phase is Phase.UNKNOWN_JOB
    assert type(fail(emulator, lambda client: client.collect("nobody"))) is JobUnknown
    body = {"error": {"code": "NOT_FOUND", "message": "no such path"}}
    emulator.set_faults({"operation": "get", "action": "status", "status": 404, "body": body})
    assert fail(emulator, lambda client: client.observe("nobody")).status_code == 404


@pytest.mark.parametrize("method", ["observe", "collect", "delete", "cancel"])
@pytest.mark.parametrize("job_id", ["", "../balance", "a/b", "a?b", "x" * 129, "é"])
def test_an_odd_id_never_enters_a_path(emulator: EmulatorServer, method: str, job_id: str) -> None:
    """What is no id is refused before anything is sent."""
    fail(emulator, lambda client: getattr(client, method)(job_id))
    assert emulator.request_counts() == {}


def test_an_unknown_status_is_still_running(emulator: EmulatorServer) -> None:
    """A word that no page knows moves nothing."""
    rule = {"operation": "submit", "action": "unknown_status", "job_status": "polishing"}
    emulator.set_faults(rule)
    job = submit_job(emulator)
    seen = talk(emulator, lambda client: client.observe(job))
    assert (seen.phase, seen.status) == (Phase.RUNNING, "polishing")


@pytest.mark.parametrize("error", [None, "text", {}, {"code": 5}, {"code": ["CANCELLED"]}])
def test_a_failure_without_a_code_is_a_failure(emulator: EmulatorServer, error: Any) -> None:
    """Whatever stands where the reason should be, the job failed, and is not tried again."""
    body = {"id": "j1", "status": "failed", "error": error}
    emulator.set_faults({"operation": "get", "action": "status", "status": 200, "body": body})
    seen = talk(emulator, lambda client: client.observe("j1"))
    assert (seen.phase, seen.cause) == (Phase.FAILED, "provider_error")
    assert not seen.is_retryable


def test_the_list_shows_who_is_done_and_who_needs_a_look(emulator: EmulatorServer) -> None:
    """Running and completed jobs are seen; a failed one, whose reason is not listed, is absent."""
    emulator.set_faults(
        {"operation": "submit", "nth": 1, "action": "job_error", "error": "PROCESSING_ERROR"}
    )
    failed, done = submit_job(emulator), None
    for number in range(2):
        request = make_request(make_audio(f"https://audio.test/{number}.wav"))
        request = PaidRequest(f"{number}" * 32, request.body, request.audio)
        done = submit(emulator, request).provider_job_id
    assert done is not None
    survey = talk(emulator, lambda client: client.survey({failed, done, "elsewhere"}))
    assert {seen.phase for seen in survey.seen.values()} == {Phase.RUNNING}
    emulator.advance(JOB_S)
    survey = talk(emulator, lambda client: client.survey({failed, done, "elsewhere"}))
    assert survey.seen.keys() == {done}
    assert survey.seen[done].phase is Phase.COMPLETED
    assert survey.seen[done].body is None
    assert survey.absent == {failed}


def test_an_upload_is_pinned_streamed_and_without_our_key(emulator: EmulatorServer) -> None:
    """The bytes go to the named address with the demanded type and no key (it refuses others)."""
    audio = talk(emulator, lambda client: client.upload(make_audio(url=None)))
    assert audio.url is None
    assert audio.upload_id is not None
    request = make_request(audio)
    assert b"upload_id" in request.body
    told = submit(emulator, request)
    assert told.verdict is Verdict.ACCEPTED
    assert submit(emulator, request).provider_job_id == told.provider_job_id
    assert emulator.request_counts() == {"upload": 1, "put": 1, "submit": 2}


@pytest.mark.parametrize(
    "rule",
    [
        {"operation": "put", "action": "status", "status": 403},
        {"operation": "put", "action": "status", "status": 500},
        {"operation": "put", "action": "redirect"},
        {"operation": "put", "action": "reset", "act": False},
        {"operation": "upload", "action": "status", "status": 503},
    ],
)
def test_an_upload_that_fails_may_be_tried_again(
    emulator: EmulatorServer, rule: dict[str, Any]
) -> None:
    """A dead or refusing address is no matter of our key: it is transient, never "401"."""
    emulator.set_faults(rule)
    error = fail(emulator, lambda client: client.upload(make_audio(url=None)))
    assert type(error) is ProviderUnavailable


@pytest.mark.parametrize(
    "place",
    [
        {"upload_url": "http://storage.example/x"},
        {"upload_url": "https://169.254.169.254/x"},
        {"upload_url": "file:///etc/passwd"},
        {"upload_id": "../x"},
        {"headers": {"Content-Type": "audio/wav\r\nX-Other: 1"}},
        {"method": "POST"},
        {"headers": 5},
    ],
)
def test_an_upload_goes_to_no_address_of_another_kind(
    emulator: EmulatorServer, place: dict[str, Any]
) -> None:
    """Whatever the service names, no byte leaves for an address inside, or without TLS."""
    body = {"upload_id": "u1", "upload_url": "https://s.test/x", "method": "PUT", "headers": {}}
    emulator.set_faults(
        {"operation": "upload", "action": "status", "status": 200, "body": body | place}
    )
    error = fail(emulator, lambda client: client.upload(make_audio(url=None)))
    assert type(error) is UnexpectedResponse
    assert "put" not in emulator.request_counts()


def test_which_audio_goes_which_way(emulator: EmulatorServer) -> None:
    """A URL of 2,048 characters is handed over, a longer one is not."""
    start = "https://audio.test/"
    fits, is_too_long = start.ljust(2_048, "a"), start.ljust(2_049, "a")
    kept = talk(emulator, lambda client: client.upload(make_audio(fits)))
    assert (kept.url, kept.upload_id) == (fits, None)
    moved = talk(emulator, lambda client: client.upload(make_audio(is_too_long)))
    assert moved.url is None
    assert moved.upload_id is not None
    upload_only = ScriptivoxProvider(api_key=KEY, delivery=AudioDelivery.UPLOAD)
    assert upload_only.capabilities.deliveries == (AudioDelivery.UPLOAD,)


@pytest.mark.parametrize("url", [None, "https://audio.test/a.amr"])
def test_a_format_they_do_not_take_is_refused_before_anything_is_sent(
    emulator: EmulatorServer, url: str | None
) -> None:
    """Not one of the 25 formats: rejected by name, without a request."""
    odd = make_audio(url, facts=AudioFacts("amr", "amr_nb", 8_000, 1, 30_000))
    audio = talk(emulator, lambda client: client.upload(odd))
    told = submit(emulator, make_request(audio))
    assert (told.verdict, told.cause) == (Verdict.REJECTED, "format_not_supported")
    assert "amr" in (told.detail or "")
    assert emulator.request_counts() == {}


def test_replay_finds_the_job(emulator: EmulatorServer) -> None:
    """The same bytes under the same key name the job that was made, and make no other."""
    request = make_request()
    emulator.set_faults({"operation": "submit", "action": "drop_after"})
    assert submit(emulator, request).verdict is Verdict.AMBIGUOUS
    emulator.set_faults()
    told = reconcile(emulator, request.body)
    assert (told.verdict, told.cause) == (Verdict.ACCEPTED, "idempotent_replay")
    emulator.advance(JOB_S)
    assert [line["provider_job_id"] for line in emulator.invoice()] == [told.provider_job_id]


def test_replay_makes_the_job_that_never_arrived(emulator: EmulatorServer) -> None:
    """Where the first request was lost the second is the first, and says so."""
    told = reconcile(emulator, make_request().body)
    assert (told.verdict, told.cause) == (Verdict.ACCEPTED, "accepted_on_replay")
    emulator.advance(JOB_S)
    assert len(emulator.invoice()) == 1


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"status": 400}, Verdict.NEVER_ARRIVED),
        ({"status": 401}, Verdict.AMBIGUOUS),
        ({"status": 402}, Verdict.AMBIGUOUS),
        ({"status": 429}, Verdict.AMBIGUOUS),
        ({"status": 404}, Verdict.CANNOT_KNOW),
        ({"status": 404, "body": {"error": {"code": "NOT_FOUND"}}}, Verdict.AMBIGUOUS),
        ({"status": 413}, Verdict.AMBIGUOUS),
        ({"status": 409}, Verdict.AMBIGUOUS),
        ({"status": 422}, Verdict.CANNOT_KNOW),
        ({"status": 500}, Verdict.AMBIGUOUS),
        ({"action": "drop_after"}, Verdict.AMBIGUOUS),
        ({"action": "html"}, Verdict.AMBIGUOUS),
    ],
)
def test_what_a_replay_proves(
    emulator: EmulatorServer, rule: dict[str, Any], verdict: Verdict
) -> None:
    """A replay never frees the attempt unless the request itself is what is refused."""
    emulator.set_faults({"action": "status", "operation": "submit", **rule})
    told = reconcile(emulator, make_request().body)
    assert told.verdict is verdict
    if verdict is Verdict.AMBIGUOUS and "status" in rule and rule["status"] != 500:
        assert told.retry_after_s is None or told.retry_after_s >= 30


@pytest.mark.parametrize(
    ("request_body", "hours", "cause"),
    [(b"{}", 24, "too_late_to_replay"), (None, 0, "request_not_kept")],
)
def test_without_the_bytes_or_the_time_nothing_is_sent(
    emulator: EmulatorServer, request_body: bytes | None, hours: int, cause: str
) -> None:
    """A second sending could then be a second job: a person has to tell, with what the list shows."""
    told = reconcile(emulator, request_body, after=timedelta(hours=hours))
    assert (told.verdict, told.cause) == (Verdict.CANNOT_KNOW, cause)
    assert told.detail == "0 jobs made around then"
    assert emulator.request_counts() == {"list": 1}


def test_a_list_that_cannot_be_read_changes_no_verdict(emulator: EmulatorServer) -> None:
    """What it shows is only told to the person who decides."""
    emulator.set_faults({"operation": "list", "action": "html"})
    told = reconcile(emulator, None)
    assert (told.verdict, told.cause) == (Verdict.CANNOT_KNOW, "request_not_kept")
    assert "the list could not be read" in (told.detail or "")


def test_cancel_gives_the_reservation_back(emulator: EmulatorServer) -> None:
    """A job in work is stopped for its price, again for the same, and a finished one not at all."""
    job = submit_job(emulator)
    assert talk(emulator, lambda client: client.cancel(job)) == Cost(1_667, "USD", 0)
    assert talk(emulator, lambda client: client.cancel(job)) == Cost(1_667, "USD", 0)
    seen = talk(emulator, lambda client: client.observe(job))
    assert (seen.phase, seen.cause) == (Phase.FAILED, "cancelled_at_provider")
    done = submit(emulator, PaidRequest("c" * 32, make_request().body, make_audio()))
    emulator.advance(JOB_S)
    assert talk(emulator, lambda client: client.cancel(done.provider_job_id or "")) is None
    assert len(emulator.invoice()) == 1


def test_delete_is_confirmed_and_final(emulator: EmulatorServer) -> None:
    """Not while in work; then confirmed, as often as asked; and the job is unknown afterwards."""
    job = submit_job(emulator)
    assert talk(emulator, lambda client: client.delete(job)) is False
    emulator.advance(JOB_S)
    assert talk(emulator, lambda client: client.delete(job)) is True
    assert talk(emulator, lambda client: client.delete(job)) is True
    assert talk(emulator, lambda client: client.observe(job)).phase is Phase.UNKNOWN_JOB
    assert talk(emulator, lambda client: client.delete("nobody")) is False


def test_the_balance_is_exact_cents(emulator: EmulatorServer) -> None:
    """Reserved while in work, spent when completed; fractions of a cent are kept."""
    emulator.configure(balance_cents=500.0)
    submit_job(emulator)
    held = talk(emulator, lambda client: client.check())
    assert held.found == "the key is accepted, 5.00 USD available, 0.00 USD reserved"
    assert held.available == Cost(4_998_333, "USD", 0)
    emulator.advance(JOB_S)
    assert talk(emulator, lambda client: client.check()).available == held.available
    emulator.configure(balance_cents=0.0)
    broke = talk(emulator, lambda client: client.check())
    emulator.configure(balance_cents=1_000_000.0)
    assert not broke.is_well
    assert "top the account up" in broke.found


@pytest.mark.parametrize(("kind", "start"), [("srt", "1\n00:"), ("vtt", "WEBVTT"), ("text", "")])
def test_exports_are_the_service_s_own(emulator: EmulatorServer, kind: Any, start: str) -> None:
    """Subtitles and text come as they are, in captions of a normal length."""
    job = submit_job(emulator)
    emulator.advance(JOB_S)
    text = talk(emulator, lambda client: client.export(job, kind))
    assert text.startswith(start)
    assert max(len(line.split()) for line in text.splitlines()) > 4


def test_the_fields_of_a_request() -> None:
    """Every common option has its field; align is always said; extra wins."""
    assert make_fields({}) == {"diarize": False, "align": True}
    assert make_fields({"language": "auto", "word_timestamps": False})["align"] is False
    told = {"language": "en", "diarize": True, "speakers_expected": 2, "extra": {"language": "de"}}
    fields = {"language": "de", "diarize": True, "speaker_count": 2, "align": True}
    assert make_fields(told) == fields
    assert find_problems(told) == []
    assert make_request(**told).body.startswith(b'{"url":"https://audio.test/')


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"language": "en-US"}, "language"),
        ({"language": "jv"}, "language"),
        ({"extra": {"language": ["en"]}}, "language"),
        ({"diarize": True, "speakers_expected": 0}, "between 1 and 50"),
        ({"diarize": True, "extra": {"speaker_count": True}}, "between 1 and 50"),
        ({"speakers_expected": 2}, "needs diarize"),
        ({"diarize": True, "word_timestamps": False}, "word_timestamps"),
        ({"extra": {"upload_id": "x"}}, "extra.upload_id"),
    ],
)
def test_what_it_cannot_honour_has_a_name(options: dict[str, Any], named: str) -> None:
    """Each problem is one sentence that names the option, for the configuration to show."""
    problems = REGISTRY["scriptivox"].find_problems(options)
    assert len(problems) == 1
    assert named in problems[0]


@pytest.mark.parametrize(
    ("duration_ms", "micros"), [(120_000, 6_667), (3_600_000, 200_000), (3_000, 167), (1, 56)]
)
def test_the_price_list(duration_ms: int, micros: int) -> None:
    """Twenty cents an hour, by the second begun."""
    cost = ScriptivoxProvider(api_key=KEY).price({}, duration_ms)
    assert cost is not None
    assert (cost.micros, cost.currency) == (micros, "USD")
