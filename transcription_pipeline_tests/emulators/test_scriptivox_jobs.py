"""The emulated Scriptivox behind the wire: keys that repeat, money, audio, watchdogs, a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import Shelf
from transcription_pipeline_tests.emulators.scriptivox_wire import (
    JOB_S,
    URL,
    ScriptivoxWire,
    code_of,
)
from transcription_pipeline_tests.emulators.test_assemblyai_jobs import PAGE, make_wav


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator, without limits per minute."""
    with EmulatorServer(
        "scriptivox", job_s=JOB_S, audio_s=30.0, word_count=30, limit_factor=0.0
    ) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """Its settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator without jobs or charges; its clock moves only when a test moves it."""
    server.reset()
    server.configure(**settings)
    server.control("clock", {"is_frozen": True})
    return server


@pytest.fixture
def client(emulator: EmulatorServer) -> ScriptivoxWire:
    """A client with a key."""
    return ScriptivoxWire(emulator.base_url)


def wait_until_ended(client: ScriptivoxWire, job: str) -> Any:
    """Ask until the job is over; real fetching takes real time."""
    for _ in range(150):  # fewer than may look per minute
        answer = client.look(job)
        if answer["status"] in ("completed", "failed"):
            return answer
        time.sleep(0.2)
    raise AssertionError("the job did not end")


def test_a_repeated_key_is_the_same_job(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """While in work, when completed and when deleted: the first id, marked, and one charge."""
    first = client.start(key="k", diarize=True)
    assert "idempotent-replay" not in first.headers
    for step in (0, JOB_S, JOB_S):
        emulator.advance(step)
        again = client.start(key="k", diarize=True)
        assert again.json == first.json
        assert again.headers["idempotent-replay"] == "true"
    assert len(emulator.invoice()) == 1
    assert client.start(key="other", diarize=True).json["id"] != first.json["id"]


def test_a_key_with_another_body_is_a_conflict(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """A fresh signature is another body; whether bytes or values are compared is a choice."""
    client.start(key="k")
    answer = client.start(URL + "?X-Amz-Signature=2", key="k")
    assert code_of(answer) == (422, "IDEMPOTENCY_KEY_CONFLICT")
    spaced = b'{ "url": "%s" }' % URL.encode()
    headers = {"idempotency-key": "k"}
    assert client.post("/transcribe", spaced, **headers).status == 422
    emulator.configure(idempotency_compares="json")
    client.start(key="j")
    assert client.post("/transcribe", spaced, **{"idempotency-key": "j"}).status == 200


def test_a_key_is_locked_for_a_while_and_forgotten_after_a_day(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """In flight it is 409; after its life the same request is a second, paid job."""
    emulator.configure(idempotency_locked_s=10.0)
    first = client.start_job(key="k")
    assert code_of(client.start(key="k")) == (409, "IDEMPOTENCY_KEY_LOCKED")
    emulator.advance(10)
    assert client.start_job(key="k") == first
    emulator.advance(24 * 3_600)
    assert client.start_job(key="k") != first
    emulator.advance(JOB_S)
    assert len(emulator.invoice()) == 2
    assert code_of(client.start(key="x" * 256)) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("remembers", [False, True])
def test_whether_a_refusal_takes_the_key_is_a_choice(
    emulator: EmulatorServer, client: ScriptivoxWire, remembers: bool
) -> None:
    """The same request after a 402 works once there is money, or is 402 for ever."""
    emulator.configure(balance_cents=0.0, remembers_refusals=remembers)
    assert code_of(client.start(key="k")) == (402, "ZERO_BALANCE")
    emulator.configure(balance_cents=500.0)
    assert client.start(key="k").status == (402 if remembers else 200)


def test_money_is_reserved_debited_and_released(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """From the known length on it is set aside; completion debits it, cancel and failure do not."""
    emulator.configure(balance_cents=100.0, audio_s=3_600.0, download_s=5.0)

    def balance() -> tuple[float, float, float]:
        told = client.ask("GET", "/v1/balance").json
        return told["balance_cents"], told["reserved_cents"], told["available_cents"]

    done = client.start_job("https://audio.test/a.mp3?x-tp-attempt=one")
    assert client.look(done)["status"] == "downloading"
    assert balance() == (100, 0, 100)
    emulator.advance(5)
    assert client.look(done)["cost_cents"] == 20
    assert balance() == (100, 20, 80)
    emulator.advance(JOB_S)
    assert balance() == (80, 0, 80)
    stopped = client.start_job()
    emulator.advance(5)
    told = client.post(f"/transcribe/{stopped}/cancel", None)
    assert told.json["released_cents"] == 20
    assert client.post(f"/transcribe/{stopped}/cancel", None).json == told.json
    assert code_of(client.post(f"/transcribe/{done}/cancel", None)) == (409, "CONFLICT")
    emulator.set_faults({"operation": "submit", "action": "job_error", "error": "BILLING_ERROR"})
    failed = client.start_job()
    emulator.advance(5 + JOB_S)
    assert client.look(failed)["error"]["code"] == "BILLING_ERROR"
    assert balance() == (80, 0, 80)
    (line,) = emulator.invoice()
    assert (line["attempt_token"], line["amount_micros"]) == ("one", 200_000)
    assert (line["provider_job_id"], line["audio_ms"]) == (done, 3_600_000)


def test_too_little_money_is_found_at_the_probe_or_at_the_door(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """Where INSUFFICIENT_BALANCE shows for a URL is not documented, so it is a choice."""
    emulator.configure(balance_cents=1.0, audio_s=3_600.0)
    job = client.start_job()
    answer = client.look(job)
    assert (answer["status"], answer["error"]["code"]) == ("failed", "INSUFFICIENT_BALANCE")
    emulator.configure(funds_checked="submit")
    assert code_of(client.start()) == (402, "INSUFFICIENT_BALANCE")


def test_the_charge_of_an_upload_names_the_key(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """An upload has no URL to carry a token; the key is whose attempt it was."""
    place = client.promise()
    client.put(place, b"audio")
    client.start_job(None, "attempt-1", upload_id=place["upload_id"])
    emulator.advance(JOB_S)
    assert [line["attempt_token"] for line in emulator.invoice()] == ["attempt-1"]


@pytest.mark.parametrize(
    ("seconds", "code"), [(0.9, "INVALID_MEDIA_FORMAT"), (36_001, "DURATION_TOO_LONG")]
)
def test_too_short_and_too_long_audio_fails_unpaid(
    emulator: EmulatorServer, client: ScriptivoxWire, seconds: float, code: str
) -> None:
    """The limits of 1 s and 10 h are failures of the job, not refusals of the request."""
    answer = client.look(client.start_job(f"https://audio.test/a.mp3?x-tp-audio-s={seconds}"))
    assert answer["error"]["code"] == code
    assert emulator.invoice() == []


def test_a_job_passes_through_its_statuses(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """A URL is created, downloading, processing, completed; an upload pending instead."""
    emulator.configure(created_s=5.0, download_s=5.0)
    place = client.promise()
    client.put(place, b"audio")
    jobs = [client.start_job(), client.start_job(None, upload_id=place["upload_id"])]
    seen = []
    for step in (0, 5, 5, JOB_S):
        emulator.advance(step)
        seen.append([client.look(job)["status"] for job in jobs])
    assert seen == [
        ["created", "created"],
        ["downloading", "pending"],
        ["processing", "processing"],
        ["completed", "completed"],
    ]


@pytest.mark.parametrize(
    ("changes", "wait_s", "code"),
    [
        ({"created_s": 1e9}, 1_800, "CREATED_TIMEOUT"),
        ({"download_s": 1e9}, 900, "DOWNLOAD_TIMEOUT"),
        ({"job_s": 1e9}, 2_700, "PROCESSING_TIMEOUT"),
    ],
)
def test_watchdogs_end_what_takes_too_long(
    emulator: EmulatorServer,
    client: ScriptivoxWire,
    changes: dict[str, Any],
    wait_s: float,
    code: str,
) -> None:
    """Created, downloading and processing each have their time; nothing is charged after it."""
    emulator.configure(**changes)
    job = client.start_job()
    emulator.advance(wait_s - 1)
    assert client.look(job)["status"] != "failed"
    emulator.advance(1)
    assert client.look(job)["error"]["code"] == code
    emulator.advance(1e10)
    assert emulator.invoice() == []
    assert client.ask("GET", "/v1/balance").json["reserved_cents"] == 0


def test_delete_needs_an_end_and_may_be_repeated(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """In work it is a conflict; then empty 204s, and the job is neither found nor listed."""
    job = client.start_job()
    assert code_of(client.ask("DELETE", f"/v1/transcribe/{job}")) == (409, "CONFLICT")
    emulator.advance(JOB_S)
    for _ in range(2):
        answer = client.ask("DELETE", f"/v1/transcribe/{job}")
        assert (answer.status, answer.body) == (204, b"")
    assert client.ask("GET", f"/v1/transcribe/{job}").status == 404
    assert client.page()["items"] == []
    assert len(emulator.invoice()) == 1


@pytest.mark.parametrize(
    ("status", "content", "code", "cause"),
    [
        (404, b"", "URL_NOT_ACCESSIBLE", "404"),
        (403, b"", "URL_NOT_ACCESSIBLE", "403"),
        (200, PAGE, "URL_NOT_ACCESSIBLE", "HTML"),
        (200, b"", "URL_NOT_ACCESSIBLE", "empty"),
        (200, b"hello", "INVALID_MEDIA_FORMAT", ""),
        (200, make_wav(900), "INVALID_MEDIA_FORMAT", ""),
    ],
)
def test_audio_that_cannot_be_had_or_heard_fails_the_job(
    emulator: EmulatorServer,
    client: ScriptivoxWire,
    shelf: Shelf,
    status: int,
    content: bytes,
    code: str,
    cause: str,
) -> None:
    """What is behind the URL decides, the message names the cause, and it costs nothing."""
    emulator.configure(fetch_audio=True, job_s=0.0)
    emulator.control("clock", {"is_frozen": False})
    shelf.files["/a.mp3"] = (status, content)
    done = wait_until_ended(client, client.start_job(shelf.url("/a.mp3?X-Amz-Expires=1")))
    assert done["error"]["code"] == code
    assert cause in done["error"]["message"]
    assert emulator.invoice() == []


def test_audio_is_fetched_as_signed_and_when_the_job_starts(
    emulator: EmulatorServer, client: ScriptivoxWire, shelf: Shelf
) -> None:
    """A job that is only created has fetched nothing: its URL may die meanwhile."""
    emulator.configure(fetch_audio=True, created_s=30.0, job_s=0.0)
    signed = "/a%20b.wav?X-Amz-Signature=a%2Bb%7E"
    shelf.files["/a%20b.wav"] = (200, make_wav(2_500))
    job = client.start_job(shelf.url(signed))
    assert shelf.asked == []
    emulator.control("clock", {"advance_s": 30, "is_frozen": False})
    done = wait_until_ended(client, job)
    assert shelf.asked == [signed]
    assert done["audio_duration_seconds"] == 2.5
    assert done["file_size_bytes"] == len(make_wav(2_500))


def test_uploaded_bytes_are_what_is_heard(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """The length of an upload is the length of what was put."""
    emulator.configure(fetch_audio=True, job_s=0.0)
    emulator.control("clock", {"is_frozen": False})
    place = client.promise()
    client.put(place, make_wav(3_000))
    job = client.start_job(None, upload_id=place["upload_id"])
    assert wait_until_ended(client, job)["audio_duration_seconds"] == 3


def test_a_restart_keeps_jobs_keys_uploads_charges_and_clock(tmp_path: Path) -> None:
    """After a stop everything is there; a job in work starts again and is billed once."""
    state, options = tmp_path / "state.jsonl", {"audio_s": 30.0, "word_count": 10}
    with EmulatorServer("scriptivox", state=state, job_s=0.0, **options) as first:
        client = ScriptivoxWire(first.base_url)
        done = client.start_job(key="k1")
        first.advance(1)
        text = client.look(done)["result"]
        gone = client.start_job(key="k2")
        first.advance(1)
        client.ask("DELETE", f"/v1/transcribe/{gone}")
        first.configure(job_s=3_600.0)
        running = client.start_job(key="k3")
        stopped = client.start_job(key="k4")
        client.post(f"/transcribe/{stopped}/cancel", None)
        place = client.promise()
        client.put(place, b"audio")
        first.advance(600)
        lines, before = first.invoice(), first.control("clock")["now"]
        assert len(lines) == 2
    with EmulatorServer("scriptivox", state=state, job_s=0.0, **options) as second:
        second.advance(1)
        client = ScriptivoxWire(second.base_url)
        assert second.control("clock")["now"] >= before
        assert client.look(done)["result"] == text
        assert client.ask("GET", f"/v1/transcribe/{gone}").status == 404
        assert client.look(running)["status"] == "completed"
        assert client.look(stopped)["error"]["code"] == "CANCELLED"
        assert client.start_job(key="k1") == done
        assert client.start(None, upload_id=place["upload_id"]).status == 200
        second.advance(1)
        assert second.invoice()[:2] == lines
        assert len(second.invoice()) == 4


@pytest.mark.slow
def test_a_real_recording_is_really_recognised(tmp_path: Path) -> None:
    """With speech = recognised the words come from the uploaded audio, and outlive a restart."""
    state = tmp_path / "state.jsonl"
    content = (Path(__file__).parents[2] / "samples" / "appointment.flac").read_bytes()
    with EmulatorServer("scriptivox", state=state, speech="recognised", job_s=0.0) as server:
        client = ScriptivoxWire(server.base_url)
        place = client.promise("appointment.flac")
        client.put(place, content)
        job = client.start_job(None, upload_id=place["upload_id"], diarize=True)
        done = wait_until_ended(client, job)
    assert done["status"] == "completed", done
    assert "doctor" in done["result"]["full_transcript"].lower()
    assert done["result"]["speakers"] == ["SPEAKER 1", "SPEAKER 2"]
    with EmulatorServer("scriptivox", state=state) as server:
        assert ScriptivoxWire(server.base_url).look(job) == done
        assert len(server.invoice()) == 1
