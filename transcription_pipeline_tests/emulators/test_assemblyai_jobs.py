"""Behind the wire: the queue, the money, the audio, the webhook, and what a restart keeps."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

from transcription_pipeline.emulators.server import EmulatorServer, make_service
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline_tests.emulators.conftest import JOB_S, Shelf
from transcription_pipeline_tests.emulators.wire_client import WireClient

PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def make_wav(duration_ms: int) -> bytes:
    """Make silence of a length."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(16 * duration_ms))
    return content.getvalue()


def wait_until_ended(client: WireClient, transcript_id: str) -> dict[str, object]:
    """Ask until the job is over; real work (fetching, recognising) takes real time."""
    for _ in range(600):
        answer: dict[str, object] = client.get(transcript_id)
        if answer["status"] in ("completed", "error"):
            return answer
        time.sleep(0.05)
    raise AssertionError("the job did not end")


def test_jobs_beyond_the_slots_wait_in_order(emulator: EmulatorServer, client: WireClient) -> None:
    """Over the limit a submit is queued and throttled, and starts when an older job ends."""
    emulator.configure(concurrency=2)
    jobs = [client.submit() for _ in range(5)]
    assert [job["status"] for job in jobs] == ["processing"] * 2 + ["queued"] * 3
    assert [job["throttled"] for job in jobs] == [False] * 2 + [True] * 3
    emulator.advance(JOB_S)
    now = [client.get(job["id"]) for job in jobs]
    assert [job["status"] for job in now] == ["completed"] * 2 + ["processing"] * 2 + ["queued"]
    assert now[2]["throttled"] is False
    assert now[4]["throttled"] is True


def test_a_leap_of_the_clock_gives_the_history_of_waiting(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Jobs that start because others ended start at that end, even when the clock leaps over it."""
    emulator.configure(concurrency=1)
    start = emulator.control("clock")["now"]
    for _ in range(3):
        client.submit()
    emulator.advance(3_600)
    ended = [line["at"] - start for line in emulator.invoice()]
    assert ended == pytest.approx([JOB_S, 2 * JOB_S, 3 * JOB_S])


def test_a_negative_balance_can_leave_one_job_at_a_time(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The other documented meaning of a negative balance: nothing fails, everything queues."""
    emulator.configure(balance="slow")
    assert [client.submit()["status"] for _ in range(3)] == ["processing", "queued", "queued"]


def test_one_line_per_completed_job_and_none_for_failed_ones(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Charges follow completion, carry the attempt token, and add up model and add-ons."""
    emulator.configure(audio_s=3_600.0)
    emulator.set_faults({"operation": "submit", "nth": 2, "action": "job_error", "error": "no"})
    good = client.submit(
        "https://audio.test/a.mp3?x-tp-attempt=one",
        speech_models=["universal-2"],
        speaker_labels=True,
    )
    bad = client.submit("https://audio.test/b.mp3?x-tp-attempt=two")
    plain = client.submit(webhook_url="https://hook.test/?x-tp-attempt=three")
    assert emulator.invoice() == []
    emulator.advance(JOB_S)
    assert client.get(bad["id"])["error"] == "no"
    lines = emulator.invoice()
    assert [line["provider_job_id"] for line in lines] == [good["id"], plain["id"]]
    assert [line["attempt_token"] for line in lines] == ["one", "three"]
    assert [line["amount_micros"] for line in lines] == [170_000, 210_000]
    assert lines[0]["items"] == {"universal-2": 150_000, "speaker_labels": 20_000}
    client.get(good["id"])
    assert emulator.control("invoice")["total_micros"] == 380_000


def test_two_equal_submits_are_two_jobs_and_two_charges(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The service knows no idempotency, and neither does its emulator."""
    assert client.submit()["id"] != client.submit()["id"]
    emulator.advance(JOB_S)
    assert len(emulator.invoice()) == 2


def test_too_short_and_too_long_audio_fail_the_job(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The limits of 160 ms and 10 h are job errors, not HTTP errors."""
    short = client.submit("https://audio.test/a.mp3?x-tp-audio-s=0.1")
    long = client.submit("https://audio.test/a.mp3?x-tp-audio-s=36001")
    emulator.advance(JOB_S)
    assert client.get(short["id"])["error"] == "Audio duration is too short."
    assert client.get(long["id"])["error"] == "Audio duration is too long"
    assert emulator.invoice() == []


def test_thresholds_fail_the_whole_job(emulator: EmulatorServer, client: WireClient) -> None:
    """Below a wanted language confidence or share of speech there is no text at all."""
    language = client.submit(language_confidence_threshold=0.999)
    speech = client.submit(speech_threshold=1.0)
    emulator.advance(JOB_S)
    answer = client.get(language["id"])
    assert (answer["text"], answer["words"]) == (None, None)
    assert answer["error"] == (
        "detected language 'en', confidence 0.9959, is below the requested confidence threshold "
        "value of '0.999'"
    )
    error = client.get(speech["id"])["error"]
    assert error.endswith("is below the requested speech threshold value 1.0")


def test_the_audio_is_fetched_when_the_job_starts(
    emulator: EmulatorServer, client: WireClient, shelf: Shelf
) -> None:
    """A queued job fetches nothing yet, and the URL arrives byte for byte as it was submitted."""
    emulator.configure(fetch_audio=True, concurrency=1)
    emulator.control("clock", {"is_frozen": False})
    shelf.files["/a%20b/c%2Fd.wav"] = (200, make_wav(2_500))
    signed = "/a%20b/c%2Fd.wav?X-Amz-Signature=a%2Bb%7E&x-tp-attempt=%C3%A9"
    emulator.set_faults({"operation": "submit", "nth": 1, "action": "stuck"})
    client.submit(shelf.url("/other.wav"))
    waiting = client.submit(shelf.url(signed))
    assert waiting["status"] == "queued"
    assert shelf.asked == []
    emulator.configure(concurrency=2, job_s=0.0)
    done = wait_until_ended(client, waiting["id"])
    assert shelf.asked == [signed]
    assert (done["status"], done["audio_duration"]) == ("completed", 3)
    assert emulator.invoice()[0]["attempt_token"] == "é"


@pytest.mark.parametrize(
    ("status", "content", "sentence"),
    [
        (404, b"", "Download error, unable to download {url}. Please make sure the file exists"),
        (403, b"", "Download error to {url}, 403 Client Error: Forbidden for url: {url}"),
        (200, PAGE, "File does not appear to contain audio. File type is text/html (HTML document"),
        (200, b"hello", "File does not appear to contain audio. File type is text/plain"),
        (200, b"", "File does not appear to contain audio."),
        (200, make_wav(100), "Audio duration is too short."),
    ],
)
def test_audio_that_cannot_be_had_or_heard_fails_the_job(
    emulator: EmulatorServer,
    client: WireClient,
    shelf: Shelf,
    status: int,
    content: bytes,
    sentence: str,
) -> None:
    """What is behind the URL decides, in the words of the vendor's error page, and costs nothing."""
    emulator.configure(fetch_audio=True, job_s=0.0)
    emulator.control("clock", {"is_frozen": False})
    shelf.files["/a.mp3"] = (status, content)
    url = shelf.url("/a.mp3?X-Amz-Expires=1")
    done = wait_until_ended(client, client.submit(url)["id"])
    assert done["status"] == "error"
    assert str(done["error"]).startswith(sentence.format(url=url))
    assert emulator.invoice() == []


def test_an_unreachable_url_fails_the_job(
    emulator: EmulatorServer, client: WireClient, shelf: Shelf
) -> None:
    """Nobody listening is a download error too."""
    emulator.configure(fetch_audio=True)
    emulator.control("clock", {"is_frozen": False})
    done = wait_until_ended(client, client.submit("http://127.0.0.1:1/a.mp3")["id"])
    assert str(done["error"]).startswith("Download error, unable to download http://127.0.0.1:1/")


@pytest.mark.slow
def test_a_real_recording_is_really_recognised(tmp_path: Path) -> None:
    """With speech = recognised the words come from the audio, and outlive a restart."""
    state = tmp_path / "state.jsonl"
    sample = Path(__file__).parents[2] / "samples" / "appointment.flac"
    with EmulatorServer(state=state, speech="recognised", job_s=0.0) as server:
        client = WireClient(server.base_url)
        url = client.ask("POST", "/v2/upload", sample.read_bytes()).json["upload_url"]
        job = client.submit(url, speaker_labels=True, multichannel=True)
        done = wait_until_ended(client, job["id"])
    assert done["status"] == "completed", done["error"]
    assert "doctor" in str(done["text"]).lower()
    utterances = done["utterances"]
    assert isinstance(utterances, list)
    assert [turn["speaker"] for turn in utterances] == ["1A", "2A"]
    assert done["audio_duration"] == 6
    with EmulatorServer(state=state) as server:
        assert WireClient(server.base_url).get(job["id"]) == done
        assert len(server.invoice()) == 1


@pytest.mark.slow
def test_silence_is_a_completed_transcript_without_words(tmp_path: Path) -> None:
    """Nothing said is no failure: empty text, no words, and every export can be made of it."""
    with EmulatorServer(speech="recognised", job_s=0.0) as server:
        client = WireClient(server.base_url)
        url = client.ask("POST", "/v2/upload", make_wav(1_000)).json["upload_url"]
        job = client.submit(url, speaker_labels=True)["id"]
        done = wait_until_ended(client, job)
        assert (done["text"], done["words"], done["utterances"]) == ("", [], [])
        assert done["confidence"] is None
        assert client.ask("GET", f"/v2/transcript/{job}/sentences").json["sentences"] == []
        assert client.ask("GET", f"/v2/transcript/{job}/srt").body == b""
        assert server.invoice()[0]["audio_ms"] == 1_000


def test_a_webhook_is_told_the_id_and_status_only(
    emulator: EmulatorServer, client: WireClient, shelf: Shelf
) -> None:
    """The POST names the transcript and its status, carries the header, and its code is kept."""
    job = client.submit(
        webhook_url=shelf.url("/hook?attempt=1"),
        webhook_auth_header_name="x-hook",
        webhook_auth_header_value="hush-hush",
    )
    emulator.advance(JOB_S)
    assert shelf.posted_one.acquire(timeout=30)
    path, headers, body = shelf.posted[0]
    assert path == "/hook?attempt=1"
    assert headers["x-hook"] == "hush-hush"
    assert json.loads(body) == {"transcript_id": job["id"], "status": "completed"}
    for _ in range(100):
        if client.get(job["id"])["webhook_status_code"] == 200:
            break
        time.sleep(0.02)
    assert client.get(job["id"])["webhook_status_code"] == 200


@pytest.mark.parametrize(("statuses", "expected"), [([500, 503, 200], 3), ([403, 200], 1)])
def test_a_webhook_is_repeated_every_ten_seconds_but_not_after_a_4xx(
    emulator: EmulatorServer,
    client: WireClient,
    shelf: Shelf,
    statuses: list[int],
    expected: int,
) -> None:
    """A failing webhook is called again, a refusing one is not."""
    shelf.post_statuses[:] = statuses
    last = statuses[expected - 1]
    job = client.submit(webhook_url=shelf.url("/hook"))
    emulator.advance(JOB_S)
    for _ in range(200):
        if client.get(job["id"])["webhook_status_code"] == last:
            break
        time.sleep(0.01)
        emulator.advance(10)
    emulator.advance(100)
    assert client.get(job["id"])["webhook_status_code"] == last
    assert len(shelf.posted) == expected


def test_a_restart_keeps_jobs_charges_and_clock(tmp_path: Path) -> None:
    """After a stop everything is there; a job that was being worked on starts again, billed once."""
    state = tmp_path / "state.jsonl"
    with EmulatorServer(state=state, job_s=0.0, audio_s=30.0) as first:
        client = WireClient(first.base_url)
        done = client.submit("https://audio.test/a.mp3?x-tp-attempt=one")["id"]
        text = client.get(done)["text"]
        gone = client.submit()["id"]
        client.ask("DELETE", f"/v2/transcript/{gone}")
        first.advance(3_600)
        first.configure(job_s=60.0)
        running = client.submit()["id"]
        before = first.control("clock")["now"]
        lines = first.invoice()
    with state.open("ab") as journal:
        journal.write(b'{"event":"fin')  # a line cut short by a kill
    with EmulatorServer(state=state, job_s=0.0, audio_s=30.0) as second:
        client = WireClient(second.base_url)
        assert second.control("clock")["now"] >= before
        assert client.get(done)["text"] == text
        assert client.get(gone)["text"] == "Deleted by user."
        assert client.get(running)["status"] == "completed"
        assert second.invoice()[:2] == lines
        assert len(second.invoice()) == 3
    with EmulatorServer(state=state, job_s=60.0, concurrency=1) as third:
        assert len(third.invoice()) == 3
        client = WireClient(third.base_url)
        first_job, second_job = client.submit()["id"], client.submit()["id"]
    with EmulatorServer(state=state, job_s=60.0, concurrency=1) as fourth:
        client = WireClient(fourth.base_url)
        assert client.get(first_job)["status"] == "processing"
        assert client.get(second_job)["status"] == "queued"
        assert client.get(second_job)["throttled"] is True


def test_a_killed_process_forgets_nothing_it_answered(tmp_path: Path) -> None:
    """``serve`` prints one JSON line, survives SIGKILL by its journal, and ends well on SIGTERM."""
    program = (
        "from pathlib import Path\n"
        "from transcription_pipeline.emulators.server import serve\n"
        f"serve('assemblyai', json_output=True, state=Path({str(tmp_path / 'state')!r}),"
        " settings={'job_s': 0.0, 'audio_s': 30.0})"
    )

    def start() -> tuple[subprocess.Popen[str], dict[str, object]]:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready
        return process, json.loads(process.stdout.readline())

    first, place = start()
    assert place == {
        "provider": "assemblyai",
        "base_url": place["base_url"],
        "pid": first.pid,
    }
    client = WireClient(str(place["base_url"]))
    job = client.submit()["id"]
    assert client.get(job)["status"] == "completed"
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait(10) == -signal.SIGKILL
    second, place = start()
    client = WireClient(str(place["base_url"]))
    assert client.get(job)["status"] == "completed"
    assert client.ask("GET", "/_control/invoice").json["line_count"] == 1
    second.terminate()
    assert second.wait(10) == 0
    for process in (first, second):
        assert process.stdout is not None
        assert process.stdout.read() == ""
        process.stdout.close()


def test_the_control_interface_refuses_nonsense(emulator: EmulatorServer) -> None:
    """Unknown settings, actions and clock changes are refused by name, and change nothing."""
    before = emulator.control("settings")
    for path, body in (
        ("settings", {"concurency": 1}),
        ("settings", {"concurrency": "many"}),
        ("faults", [{"action": "explode"}]),
        ("clock", {"advance": 1}),
    ):
        with pytest.raises(ValueError, match=r"\$|unknown|Expected|Invalid|invalid"):
            emulator.control(path, body)
    assert emulator.control("settings") == before


def test_unknown_emulators_and_settings_are_configuration_errors() -> None:
    """A misspelt provider or setting is named before anything starts."""
    with pytest.raises(ConfigurationError, match="no emulator for 'assembly'"):
        make_service("assembly")
    with pytest.raises(ConfigurationError, match="concurency"):
        make_service("assemblyai", settings={"concurency": 1})
