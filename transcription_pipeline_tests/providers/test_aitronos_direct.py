"""Aitronos's multipart form through a socket: one paid request, whose answer is kept before it counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from transcription_pipeline.composition import build_routes
from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ConfigurationError,
    JobUnknown,
    NormaliseError,
    StorageUnavailable,
)
from transcription_pipeline.normalise.aitronos import normalise
from transcription_pipeline.provider_settings import AitronosSettings
from transcription_pipeline.providers.aitronos import open_provider
from transcription_pipeline.providers.aitronos_direct import AitronosDirectProvider
from transcription_pipeline.providers.aitronos_options import find_direct_problems, make_headers
from transcription_pipeline.providers.base import Audio, Phase, Submission, Verdict
from transcription_pipeline.settings import Settings
from transcription_pipeline_tests.providers.aitronos_world import (
    ATTEMPT_ID,
    HASTY,
    KEY,
    make_audio,
    no_waiting,
)
from transcription_pipeline_tests.providers.fault_server import FaultServer, answer

__all__ = ["no_waiting"]  # fixtures

T = TypeVar("T")
WORDS = b'{"text": "Hello.", "segments": [], "duration_seconds": 1.0, "x": 1.50 }'


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator of the form, which answers at once."""
    with EmulatorServer(
        "aitronos", form="multipart", job_s=0.0, audio_s=30.0, word_count=40
    ) as server:
        yield server


@pytest.fixture
def emulator(server: EmulatorServer) -> EmulatorServer:
    """The emulator without jobs, charges or faults."""
    server.reset()
    server.configure(balance_synapses=1_000_000, form="multipart")
    return server


def ask(
    base_url: str,
    spool: Path,
    what: Callable[[AitronosDirectProvider], Awaitable[T]],
    answer_s: float = 0.8,
) -> T:
    """Do one thing with a client of its own, as a new process would."""

    async def run() -> T:
        provider = AitronosDirectProvider(
            headers=make_headers(KEY, "api_key"),
            base_url=base_url,
            spool=spool,
            requests_per_s=2_000.0,
            answer_s=answer_s,
            patience=HASTY,
        )
        try:
            return await what(provider)
        finally:
            await provider.aclose()

    return asyncio.run(run())


def submit(base_url: str, spool: Path, audio: Audio | None = None, **options: Any) -> Submission:
    """Send one paid request."""

    async def send(provider: AitronosDirectProvider) -> Submission:
        request = provider.make_request(ATTEMPT_ID, audio or make_audio(None), options)
        return await provider.submit(request)

    return ask(base_url, spool, send)


def _read_all(server: FaultServer) -> str:
    return server.requests[0] + server.bodies[0].decode("latin-1")


def submit_to(spool: Path, status: int, body: bytes) -> tuple[Submission, str]:
    """Send one paid request to a service that answers like this; return what it got as well."""

    async def run() -> tuple[Submission, str]:
        async with FaultServer(answer(status, body)) as server:
            provider = AitronosDirectProvider(
                headers=make_headers(KEY, "api_key"), base_url=server.base_url, spool=spool
            )
            request = provider.make_request(ATTEMPT_ID, make_audio(None), {})
            told = await provider.submit(request)
            await provider.aclose()
            return told, _read_all(server)

    return asyncio.run(run())


def reconcile(base_url: str, spool: Path) -> Submission:
    """Ask what became of the attempt."""
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    attempt = Attempt(ATTEMPT_ID, "j", "r", "aitronos", 1, AttemptState.SENDING, sent_at=at)
    return ask(base_url, spool, lambda p: p.reconcile(attempt, at=at))


def test_the_words_come_with_the_answer_and_stay(emulator: EmulatorServer, tmp_path: Path) -> None:
    """One request and one charge; another process finds the same bytes, and sends nothing."""
    told = submit(emulator.base_url, tmp_path, language="en")
    assert (told.verdict, told.provider_job_id) == (Verdict.ACCEPTED, ATTEMPT_ID)
    (line,) = emulator.invoice()
    assert line["attempt_token"] == ATTEMPT_ID
    seen = ask(emulator.base_url, tmp_path, lambda p: p.observe(ATTEMPT_ID))
    assert seen.phase is Phase.COMPLETED
    body = ask(emulator.base_url, tmp_path, lambda p: p.collect(ATTEMPT_ID))
    transcript = normalise(body)
    assert transcript.text == json.loads(body)["text"]
    assert " ".join(transcript.segments.text) == transcript.text
    assert (transcript.duration_ms, transcript.language) == (30_000, "en")
    assert (transcript.model, transcript.told_cost) == ("fvt-1", None)
    again = submit(emulator.base_url, tmp_path)
    assert (again.verdict, again.cause) == (Verdict.ACCEPTED, "found_in_spool")
    assert reconcile(emulator.base_url, tmp_path).verdict is Verdict.ACCEPTED
    assert emulator.request_counts() == {"submit": 1}
    assert [path.name for path in tmp_path.iterdir()] == [f"{ATTEMPT_ID}.json"]


def test_the_answer_is_kept_byte_for_byte(tmp_path: Path) -> None:
    """Spaces, unknown fields and the spelling of numbers survive."""
    told, _ = submit_to(tmp_path, 200, WORDS)
    assert told.verdict is Verdict.ACCEPTED
    assert (tmp_path / f"{ATTEMPT_ID}.json").read_bytes() == WORDS


def test_no_name_of_the_customer_is_sent(tmp_path: Path) -> None:
    """The file is called after the attempt, and its length is told beforehand."""
    _, sent = submit_to(tmp_path, 200, WORDS)
    assert f'name="audio_file"; filename="{ATTEMPT_ID}.audio"' in sent
    assert "content-length: 100" in sent.lower()


@pytest.mark.parametrize(
    ("rule", "verdict", "cause", "gate"),
    [
        ({"action": "status", "status": 401}, Verdict.NOT_SENT, "gate_auth", "auth"),
        ({"action": "status", "status": 402}, Verdict.NOT_SENT, "gate_funds", "funds"),
        ({"action": "status", "status": 422}, Verdict.REJECTED, "request_rejected", None),
        ({"action": "rate_limit", "burst": 0}, Verdict.NOT_SENT, "rate_limited", None),
        ({"action": "status", "status": 500}, Verdict.AMBIGUOUS, "http_500", None),
        ({"action": "status", "status": 501}, Verdict.AMBIGUOUS, "http_501", None),
        ({"action": "html"}, Verdict.AMBIGUOUS, "accepted_without_transcript", None),
        ({"action": "hang", "seconds": 3}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "truncate"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_after"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_before"}, Verdict.AMBIGUOUS, "no_answer", None),
    ],
    ids=lambda v: v.get("status", v["action"]) if isinstance(v, dict) else "",
)
def test_what_an_answer_proves(
    emulator: EmulatorServer,
    tmp_path: Path,
    rule: dict[str, Any],
    verdict: Verdict,
    cause: str,
    gate: str | None,
) -> None:
    """Only named refusals free the attempt; what is unclear stays unclear, and then with a person."""
    emulator.set_faults({**rule, "operation": "submit"})
    told = submit(emulator.base_url, tmp_path)
    assert (told.verdict, told.cause, told.gate) == (verdict, cause, gate)
    assert KEY not in repr(told)
    emulator.set_faults()
    later = reconcile(emulator.base_url, tmp_path)
    assert later.verdict is Verdict.CANNOT_KNOW
    assert later.cause == "maybe_charged_check_synapse_transactions"
    assert emulator.request_counts() == {"submit": 1}


def test_an_answer_of_the_other_form_is_kept_for_a_person(tmp_path: Path) -> None:
    """A service that takes the request and names a job instead may have charged: nothing is lost."""
    body = b'{"success": true, "data": {"transcription_id": "trans_1"}}'
    told, _ = submit_to(tmp_path, 201, body)
    assert (told.verdict, told.cause) == (Verdict.AMBIGUOUS, "accepted_without_transcript")
    assert (tmp_path / f"{ATTEMPT_ID}.odd").read_bytes() == body
    detail = reconcile("http://127.0.0.1:9", tmp_path).detail
    assert detail is not None
    assert "in the spool" in detail


def test_a_service_of_the_other_form_refuses(emulator: EmulatorServer, tmp_path: Path) -> None:
    """Where JSON is wanted the form is rejected, and costs nothing."""
    emulator.configure(form="json")
    assert submit(emulator.base_url, tmp_path).verdict is Verdict.REJECTED
    assert emulator.invoice() == []


def test_audio_that_stops_arriving_was_never_sent(emulator: EmulatorServer, tmp_path: Path) -> None:
    """The file is whole on this machine before the first byte leaves it."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"RIFF"
        raise StorageUnavailable("the bucket is away", key="a.wav")

    audio = replace(make_audio(None), open_stream=stream)
    told = submit(emulator.base_url, tmp_path, audio)
    assert (told.verdict, told.cause) == (Verdict.NOT_SENT, "audio_not_readable")
    assert emulator.request_counts() == {}
    assert list(tmp_path.iterdir()) == []


def test_nothing_listening_proves_that_nothing_was_sent(tmp_path: Path) -> None:
    """Without a connection the attempt may be sent again."""
    assert submit("http://127.0.0.1:9", tmp_path).verdict is Verdict.NOT_SENT


def test_an_answer_that_cannot_be_kept_is_no_acceptance(tmp_path: Path) -> None:
    """Words that did not reach the disk are in doubt: only a durable answer is a job."""
    (tmp_path / f"{ATTEMPT_ID}.odd").mkdir()  # nothing can be renamed onto a folder
    told, _ = submit_to(tmp_path, 200, b"[]")
    assert (told.verdict, told.cause) == (Verdict.AMBIGUOUS, "answer_not_kept")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"diarize": True}, "diarize"),
        ({"webhook": "https://x.test"}, "webhook"),
        ({"extra": {"privacy_settings": {}}}, "extra"),
        ({"language": 'en"\r\nX: 1'}, "language"),
    ],
)
def test_what_the_form_has_no_field_for_is_refused_before_anything_is_sent(
    emulator: EmulatorServer, tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    """Nothing is dropped in silence, and nothing breaks out of its field."""
    (problem,) = find_direct_problems(options)
    assert problem.startswith(named)
    told = submit(emulator.base_url, tmp_path, **options)
    assert (told.verdict, told.cause) == (Verdict.REJECTED, "option_not_supported")
    assert emulator.request_counts() == {}
    assert find_direct_problems({"language": "auto", "model": "m.1", "diarize": False}) == []


def test_what_is_not_in_the_spool_is_unknown(emulator: EmulatorServer, tmp_path: Path) -> None:
    """A look says so, a collect raises; a deleted answer is gone here, and nowhere else."""
    seen = ask(emulator.base_url, tmp_path, lambda p: p.observe(ATTEMPT_ID))
    assert seen.phase is Phase.UNKNOWN_JOB
    with pytest.raises(JobUnknown):
        ask(emulator.base_url, tmp_path, lambda p: p.collect(ATTEMPT_ID))
    submit(emulator.base_url, tmp_path)
    assert ask(emulator.base_url, tmp_path, lambda p: p.delete(ATTEMPT_ID)) is False
    assert list(tmp_path.iterdir()) == []


def test_the_checkup_asks_the_list(emulator: EmulatorServer, tmp_path: Path) -> None:
    """The form has no free call of its own; a refused key is an error."""
    assert ask(emulator.base_url, tmp_path, lambda p: p.check()).is_well
    emulator.set_faults({"operation": "list", "action": "status", "status": 401})
    with pytest.raises(AuthenticationFailed):
        ask(emulator.base_url, tmp_path, lambda p: p.check())


def test_the_form_is_a_setting(tmp_path: Path) -> None:
    """The asynchronous form unless told otherwise; both have the same price until one is set."""
    secrets = {"aitronos_api_key": KEY, "aitronos_organization_id": "org_1"}
    told = open_provider(AitronosSettings(), secrets)
    direct = open_provider(AitronosSettings(form="multipart", spool=tmp_path), secrets)
    assert not isinstance(told, AitronosDirectProvider)
    assert isinstance(direct, AitronosDirectProvider)
    assert direct.price({}, 1_500) == told.price({}, 1_500)
    assert direct.capabilities.options == {"language", "model"}


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("diarize = true", "aitronos cannot honour diarize"),
        ('webhook = "https://x.test"', "aitronos cannot honour webhook"),
        ("extra.aitronos.speaker_analysis = {}", "aitronos: extra has no field"),
    ],
)
def test_a_route_beyond_the_form_is_a_configuration_error(
    tmp_path: Path, wish: str, told: str
) -> None:
    """What the pages' form honours and this one does not is refused before anything runs."""
    path = tmp_path / "transcription.toml"
    route = f'[[routes]]\nproviders = ["aitronos"]\nlanguage = "en"\n{wish}\n'
    path.write_text(route + '[providers.aitronos]\nform = "multipart"\n')
    with pytest.raises(ConfigurationError) as caught:
        build_routes(Settings.load(path))
    assert f"routes.0: {told}" in str(caught.value)
    path.write_text(
        route.replace(wish, 'model = "m-1"') + '[providers.aitronos]\nform = "multipart"'
    )
    assert build_routes(Settings.load(path))[0].options == {"language": "en", "model": "m-1"}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"text": "a", "segments": []}',
        b'{"text": "a", "duration_seconds": 1e999, "segments": []}',
        b'{"text": "a", "duration_seconds": 2, "segments": [{"text": "a", "start": 1}]}',
        b'{"text": "a", "duration_seconds": 2, "segments": [{"text": "a", "start": 2, "end": 1}]}',
        b'{"text": "a", "duration_seconds": 2, "segments": [{"text": "a", "start": 0, "end": 900}]}',
    ],
    ids=["no object", "no length", "endless", "no end", "ends before it starts", "milliseconds"],
)
def test_an_answer_of_another_shape_is_an_error(body: bytes) -> None:
    """Nothing is guessed: times that do not fit the length may be of another unit."""
    with pytest.raises(NormaliseError):
        normalise(body)


def test_known_formats_keep_their_extension(tmp_path: Path) -> None:
    """What probing found names file and content type."""
    facts = AudioFacts("mp3", "mp3", 8_000, 1, 30_000)

    async def run() -> str:
        async with FaultServer(answer(200, WORDS)) as server:
            provider = AitronosDirectProvider(headers={}, base_url=server.base_url, spool=tmp_path)
            audio = replace(make_audio(None), facts=facts)
            await provider.submit(provider.make_request(ATTEMPT_ID, audio, {"model": "m-1"}))
            await provider.aclose()
            return _read_all(server)

    sent = asyncio.run(run())
    assert f'filename="{ATTEMPT_ID}.mp3"\r\nContent-Type: audio/mpeg' in sent
    assert 'name="model"\r\n\r\nm-1\r\n' in sent
