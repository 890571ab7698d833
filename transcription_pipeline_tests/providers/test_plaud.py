"""Plaud's client through a socket: what every answer means, and what leaves the house."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.composition import REGISTRY, build_routes
from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioFacts
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
from transcription_pipeline.provider_settings import Money, PlaudSettings
from transcription_pipeline.providers.base import Cost, PaidRequest, Phase, Submission, Verdict
from transcription_pipeline.providers.plaud import PlaudProvider, open_provider
from transcription_pipeline.providers.plaud_options import (
    MAX_DIARIZED_MS,
    find_filetype,
    find_problems,
    make_params,
)
from transcription_pipeline.settings import Settings
from transcription_pipeline_tests.providers.plaud_world import (
    ATTEMPT_ID,
    DOWNLOAD_URL,
    JOB_ID,
    SECRETS,
    Plaud,
    Said,
    assert_no_secret,
    make_audio,
    make_request,
    no_waiting,
    talk,
)

__all__ = ["no_waiting"]
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMED_SECRETS = {f"plaud_{name}": value for name, value in SECRETS.items()}


def submit(plaud: Plaud, **options: Any) -> Submission:
    """Send one paid request."""
    return talk(plaud, lambda client: client.submit(make_request(client, **options)))


def fail(plaud: Plaud, what: Callable[[PlaudProvider], Awaitable[Any]]) -> ProviderError:
    """Have a conversation that must end in an error, which tells no secret."""
    with pytest.raises(ProviderError) as caught:
        talk(plaud, what)
    assert_no_secret(str(caught.value))
    return caught.value


def see(status: str, **fields: Any) -> Plaud:
    """Make a Plaud whose jobs are at this status."""
    return Plaud(
        script={"get": [Said(200, {"transcription_id": JOB_ID, "status": status, **fields})] * 2}
    )


def test_the_paid_request() -> None:
    """The documented example, under the two headers of a key and no token, with the slash."""
    plaud = Plaud()
    told = submit(plaud, diarize=True, language="ja", model="plaud-omni-3", keyterms=["a", "b c"])
    assert (told.verdict, told.provider_job_id) == (Verdict.ACCEPTED, JOB_ID)
    (seen,) = plaud.seen
    assert seen.line == "POST /developer/api/open/partner/ai/transcriptions/ HTTP/1.1"
    assert seen.headers["x-client-id"] == SECRETS["client_id"]
    assert seen.headers["x-client-api-key"] == SECRETS["api_key"]
    assert seen.headers["content-type"] == "application/json"
    assert "authorization" not in seen.headers
    assert seen.json == {
        "file_url": DOWNLOAD_URL,
        "params": {
            "transcribe": {"language": "ja", "model": "plaud-omni-3"},
            "vad": {"decode_silence": False},
            "diarization": {"enabled": True, "return_embedding": False},
            "hotwords": "a,b c",
        },
    }


REFUSAL = {"code": 1, "message": "see https://a.invalid/?sig=url-canary"}
JUDGED: dict[str, tuple[Said, Verdict, str]] = {
    "400": (Said(400, REFUSAL), Verdict.REJECTED, "request_rejected"),
    "401": (Said(401, REFUSAL), Verdict.NOT_SENT, "gate_auth"),
    "402": (Said(402, REFUSAL), Verdict.NOT_SENT, "gate_funds"),
    "403": (Said(403, REFUSAL), Verdict.NOT_SENT, "gate_auth"),
    "404": (Said(404, b""), Verdict.REJECTED, "request_rejected"),
    "408": (Said(408, REFUSAL), Verdict.AMBIGUOUS, "http_408"),
    "409": (Said(409, REFUSAL), Verdict.AMBIGUOUS, "http_409"),
    "413": (Said(413, b""), Verdict.REJECTED, "request_rejected"),
    "422": (Said(422, {"detail": []}), Verdict.REJECTED, "request_rejected"),
    "429": (Said(429, REFUSAL), Verdict.NOT_SENT, "rate_limited"),
    "500": (Said(500, REFUSAL), Verdict.AMBIGUOUS, "http_500"),
    "503": (Said(503, b"<html>"), Verdict.AMBIGUOUS, "http_503"),
    "a redirect": (Said(307, b"", {"Location": "/x"}), Verdict.AMBIGUOUS, "http_307"),
    "a web page": (Said(200, b"<html>"), Verdict.AMBIGUOUS, "accepted_without_id"),
    "no id": (Said(200, {"status": "PENDING"}), Verdict.AMBIGUOUS, "accepted_without_id"),
    "an odd id": (
        Said(200, {"transcription_id": "../1"}),
        Verdict.AMBIGUOUS,
        "accepted_without_id",
    ),
    "hung up": (Said(0), Verdict.AMBIGUOUS, "no_answer"),
}


@pytest.mark.parametrize("name", JUDGED)
def test_what_an_answer_to_the_paid_request_proves(name: str) -> None:
    """Only what HTTP calls a refusal is one; everything else is a doubt, and nothing is sent twice."""
    said, verdict, cause = JUDGED[name]
    plaud = Plaud(script={"submit": [said]})
    told = submit(plaud)
    assert (told.verdict, told.cause) == (verdict, cause)
    assert told.gate == (cause.removeprefix("gate_") if cause.startswith("gate_") else None)
    assert plaud.counts() == {"submit": 1}
    assert_no_secret(told.detail or "")
    assert ("file file_1" in (told.detail or "")) is (verdict is Verdict.AMBIGUOUS)


@pytest.mark.parametrize(
    ("headers", "wait_s"), [({"Retry-After": "12"}, 12.0), ({}, 1.0), ({"Retry-After": "x"}, 1.0)]
)
def test_too_many_requests_say_how_long(headers: dict[str, str], wait_s: float) -> None:
    """429 was not taken; the service's own time is believed where it gives one."""
    assert submit(Plaud(script={"submit": [Said(429, {}, headers)]})).retry_after_s == wait_s


def test_an_unreachable_service_got_nothing() -> None:
    """Where no connection comes about the request was not sent."""
    told = talk(
        Plaud(),
        lambda client: client.submit(make_request(client)),
        base_url="http://127.0.0.1:9",
    )
    assert told.verdict is Verdict.NOT_SENT


@pytest.mark.parametrize(
    ("options", "duration_ms", "cause"),
    [
        ({"diarize": True}, MAX_DIARIZED_MS + 1, "too_long"),
        ({"model": "whisper-9"}, 1, "option_not_supported"),
        ({"extra": {"nope": 1}}, 1, "option_not_supported"),
    ],
)
def test_what_is_known_to_be_refused_is_not_sent(
    options: dict[str, Any], duration_ms: int, cause: str
) -> None:
    """Too long with speakers, or options it has not: rejected here, before any money."""
    plaud = Plaud()

    async def converse(client: PlaudProvider) -> Submission:
        audio = make_audio(url=DOWNLOAD_URL, duration_ms=duration_ms)
        return await client.submit(client.make_request(ATTEMPT_ID, audio, options))

    told = talk(plaud, converse)
    assert (told.verdict, told.cause) == (Verdict.REJECTED, cause)
    assert plaud.seen == []


def test_six_hours_are_for_speakers_alone() -> None:
    """Without diarize the limit is a day, which the engine checks."""
    request = PaidRequest(ATTEMPT_ID, b"{}", make_audio(duration_ms=MAX_DIARIZED_MS + 1), {})
    told = talk(Plaud(), lambda client: client.submit(request))
    assert told.verdict is Verdict.ACCEPTED
    assert PlaudProvider(**SECRETS).capabilities.max_duration_ms == 24 * 3_600_000


@pytest.mark.parametrize("status", ["PENDING", "RECEIVED", "STARTED", "PROGRESS", "success", "NEW"])
def test_what_is_not_over_is_running(status: str) -> None:
    """The four documented words, a word in another case, and a new one move nothing."""
    plaud = see(status, data={})
    seen = talk(plaud, lambda client: client.observe(JOB_ID))
    assert (seen.phase, seen.status, seen.body) == (Phase.RUNNING, status, None)
    assert plaud.seen[0].line.split()[1].endswith(f"/ai/transcriptions/{JOB_ID}")
    assert plaud.seen[0].headers["x-client-api-key"] == SECRETS["api_key"]
    assert "authorization" not in plaud.seen[0].headers


def test_a_finished_job_brings_its_answer() -> None:
    """SUCCESS comes with its bytes, exactly as received, from a look and from a second one."""
    body = b'{"transcription_id": "task_exec_1",  "status": "SUCCESS", "data": {"text": "Hi."}}'
    plaud = Plaud(script={"get": [Said(200, body)] * 2})
    seen = talk(plaud, lambda client: client.observe(JOB_ID))
    assert (seen.phase, seen.body) == (Phase.COMPLETED, body)
    assert b"Hi." not in repr(seen).encode()
    assert talk(plaud, lambda client: client.collect(JOB_ID)) == body


@pytest.mark.parametrize(
    ("status", "cause"), [("FAILURE", "provider_error"), ("REVOKED", "cancelled_at_provider")]
)
@pytest.mark.parametrize("data", [None, {}, {"error": "x"}])
def test_a_failed_job_is_not_tried_again(status: str, cause: str, data: Any) -> None:
    """Both ends are failures; whether they cost something is not documented."""
    seen = talk(see(status, data=data, message="why"), lambda client: client.observe(JOB_ID))
    assert (seen.phase, seen.cause) == (Phase.FAILED, cause)
    assert not seen.is_retryable


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Said(401, {}), AuthenticationFailed),
        (Said(403, {}), AuthenticationFailed),
        (Said(400, {}), RequestRejected),
        (Said(429, {}), RateLimited),
        (Said(500, {}), ProviderUnavailable),
        (Said(503, {}), ProviderUnavailable),
        (Said(0), ProviderUnavailable),
        (Said(307, {}), UnexpectedResponse),
        (Said(200, b"<html>"), UnexpectedResponse),
        (Said(200, []), UnexpectedResponse),
        (Said(200, {"transcription_id": JOB_ID, "status": 1}), UnexpectedResponse),
        (Said(200, {"transcription_id": "other", "status": "SUCCESS"}), UnexpectedResponse),
    ],
)
def test_a_look_that_fails_is_an_error_of_its_kind(said: Said, kind: type[ProviderError]) -> None:
    """A failed look says nothing of the job."""
    plaud = Plaud(script={"get": [said] * 6})  # GETs are sent again by the transport, too
    assert type(fail(plaud, lambda client: client.observe(JOB_ID))) is kind


def test_an_unknown_job_is_an_observation() -> None:
    """404, with or without a body, is a fact about the job."""
    plaud = Plaud(script={"get": [Said(404, b"")] * 2})
    seen = talk(plaud, lambda client: client.observe(JOB_ID))
    assert seen.phase is Phase.UNKNOWN_JOB
    assert type(fail(plaud, lambda client: client.collect(JOB_ID))) is JobUnknown


def test_an_unfinished_job_has_nothing_to_collect() -> None:
    """A job that is running after all is no answer."""
    assert type(fail(Plaud(), lambda client: client.collect(JOB_ID))) is UnexpectedResponse


@pytest.mark.parametrize("method", ["observe", "collect"])
@pytest.mark.parametrize("job_id", ["", "../x", "a/b", "a?b", "x" * 129, "é", "a\n"])
def test_an_odd_id_never_enters_a_path(method: str, job_id: str) -> None:
    """What is no id is refused before anything is sent."""
    plaud = Plaud()
    fail(plaud, lambda client: getattr(client, method)(job_id))
    assert plaud.seen == []


def test_nobody_can_know_what_became_of_a_lost_answer() -> None:
    """There is nothing to ask, ever: the attempt is held with its time and what to do."""
    attempt = Attempt(
        ATTEMPT_ID, "job", "recording", "plaud", 1, AttemptState.AMBIGUOUS, sent_at=AT
    )
    plaud = Plaud()
    for after in (timedelta(0), timedelta(days=30)):
        told = talk(plaud, lambda client, at=AT + after: client.reconcile(attempt, at=at))
        assert (told.verdict, told.cause) == (Verdict.CANNOT_KNOW, "maybe_charged_ask_plaud")
        assert "2026-11-21 12:00:00 UTC" in (told.detail or "")
    assert plaud.seen == []


def test_there_is_no_list_and_no_deletion() -> None:
    """What Plaud does not offer sends nothing and claims nothing."""
    plaud = Plaud()

    async def converse(client: PlaudProvider) -> None:
        survey = await client.survey({JOB_ID})
        assert (survey.seen, survey.absent) == ({}, frozenset())
        assert await client.delete(JOB_ID) is False
        assert not client.capabilities.has_list

    talk(plaud, converse)
    assert plaud.seen == []


def test_looks_and_submits_share_one_rate() -> None:
    """Twelve requests at ten a second, nine and a half of them at once, take two tenths."""
    plaud = Plaud()

    async def converse(client: PlaudProvider) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(10):
            await client.observe(JOB_ID)
        await client.wait_turn()
        await client.wait_turn()
        return loop.time() - begun

    assert talk(plaud, converse, requests_per_s=10.0) >= 0.2


def test_prices_are_by_list_or_by_account() -> None:
    """USD 0.28 an hour, per second begun, in whole micros."""
    client = PlaudProvider(**SECRETS)
    assert client.price({}, 3_600_000) == Cost(280_000, "USD", 3_600_000)
    assert client.price({"diarize": True}, 1_500) == Cost(156, "USD", 2_000)
    assert client.price({}, 0) == Cost(0, "USD", 0)
    account = PlaudSettings(price_per_hour=Money(micros=100_000, currency="USD"))
    assert open_provider(account, NAMED_SECRETS).price({}, 36_000) == Cost(1_000, "USD", 36_000)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"language": "klingon-"}, "language"),
        ({"language": 7}, "language"),
        ({"model": "whisper"}, "azure-fast-transcribe"),
        ({"keyterms": ["a,b"]}, "keyterms"),
        ({"keyterms": [" "]}, "keyterms"),
        ({"extra": {"speakers": 2}}, "extra.speakers"),
        ({"extra": {"decode_silence": 1}}, "extra.decode_silence must be true or false"),
        ({"extra": {"detection_level": "word"}}, "segment or chapter"),
        ({"extra": {"detection_level": ["segment"]}}, "segment or chapter"),
        ({"extra": {"return_embedding": True}}, "needs diarize"),
        ({"extra": {"file_url": "https://x.test"}}, "extra.file_url"),
    ],
)
def test_options_it_cannot_honour_are_named(options: Mapping[str, Any], word: str) -> None:
    """Each problem says which option, and what it may be."""
    (problem,) = find_problems(options)
    assert word in problem


@pytest.mark.parametrize("language", ["auto", "en", "zh", "pt-BR", "zh-Hant-TW"])
def test_languages_are_bcp_47(language: str) -> None:
    """A tag goes as it was written."""
    options = {
        "language": language,
        "extra": {"decode_silence": True, "detection_level": "chapter"},
    }
    assert find_problems(options) == []
    params = make_params(options, model="plaud-fast-whisper")
    assert params["transcribe"] == {
        "language": language,
        "model": "plaud-fast-whisper",
        "detection_level": "chapter",
    }
    assert params["vad"] == {"decode_silence": True}


@pytest.mark.parametrize(
    "option",
    ["speakers_expected = 2", "multichannel = true", 'redact_pii = ["names"]', "sentiment = true"],
)
def test_common_options_it_has_no_field_for_are_configuration_errors(
    tmp_path: Path, option: str
) -> None:
    """The message names route, provider and option."""
    path = tmp_path / "transcription.toml"
    path.write_text(f'[[routes]]\nproviders = ["plaud"]\n{option}\n')
    with pytest.raises(ConfigurationError) as caught:
        build_routes(Settings.load(path))
    assert f"routes.0: plaud cannot honour {option.split()[0]}" in str(caught.value)


@pytest.mark.parametrize(
    ("container", "codec", "filetype"),
    [
        ("mp3", "mp3", "mp3"),
        ("mp3", "mp2", None),
        ("m4a", "aac", "m4a"),
        ("mp4", "aac", "m4a"),
        ("m4a", "alac", None),
        ("wav", "pcm_s16le", None),
        ("ogg", "opus", None),
        ("webm", "opus", None),
        ("flac", "flac", None),
    ],
)
def test_what_is_uploaded_as_it_is(container: str, codec: str, filetype: str | None) -> None:
    """Container and codec decide together; opus is not trusted."""
    assert find_filetype(AudioFacts(container, codec, 16_000, 1, 1_000)) == filetype


@pytest.mark.parametrize("region", ["eu", "sg"])
def test_regions_that_do_not_exist_yet_are_configuration_errors(
    tmp_path: Path, region: str
) -> None:
    """The vendor's own words; an address of one's own is another matter."""
    path = tmp_path / "transcription.toml"
    path.write_text(f'[providers.plaud]\nregion = "{region}"\n')
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(path)
    assert "providers.plaud" in str(caught.value)
    assert f'region {region} is "Coming soon"' in str(caught.value)
    path.write_text(f'[providers.plaud]\nregion = "{region}"\nbase_url = "http://127.0.0.1:1"\n')
    assert Settings.load(path).providers.plaud.region == region


@pytest.mark.parametrize("user_id", ["12345", "x" * 121])
def test_a_user_id_has_six_to_a_hundred_and_twenty_characters(user_id: str) -> None:
    """Another one is a configuration error, which does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        open_provider(PlaudSettings(), {**NAMED_SECRETS, "plaud_user_id": user_id})
    assert "PLAUD_USER_ID" in str(caught.value)
    assert user_id not in str(caught.value)


def test_it_is_in_the_registry() -> None:
    """Settings and secrets under their own names make a client."""
    entry = REGISTRY["plaud"]
    account = PlaudSettings(region="jp", deadline_s=3_600, model="plaud-omni-3")
    client = entry.open(account, NAMED_SECRETS)
    assert entry.secrets == tuple(NAMED_SECRETS)
    assert (client.region, client.capabilities.deadline_s) == ("jp", 3_600)
    body = client.make_request(ATTEMPT_ID, make_audio(url=DOWNLOAD_URL), {}).body
    assert b"plaud-omni-3" in body
