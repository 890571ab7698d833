"""Every way to misbehave, as a raw client sees it, and whether the service had acted."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.wire_client import WireClient

SUBMIT = {"audio_url": "https://audio.test/a.mp3"}


def _submit_with(emulator: EmulatorServer, rule: dict[str, Any], timeout_s: float = 10) -> Any:
    """Set one rule for the first submit, and submit."""
    emulator.set_faults({"operation": "submit", "nth": 1} | rule)
    return WireClient(emulator.base_url, timeout_s=timeout_s).ask("POST", "/v2/transcript", SUBMIT)


def _job_count(emulator: EmulatorServer) -> int:
    emulator.set_faults()
    return len(WireClient(emulator.base_url).list()["transcripts"])


@pytest.mark.parametrize("acts", [False, True])
def test_status_answers_with_the_vendors_body(emulator: EmulatorServer, acts: bool) -> None:
    """A status may come with or without the job having been made."""
    answer = _submit_with(emulator, {"action": "status", "status": 500, "act": acts})
    assert answer.status == 500
    assert answer.json["error"].startswith("Internal server error. Please retry your request.")
    assert _job_count(emulator) == acts


def test_status_takes_a_body_and_headers(emulator: EmulatorServer) -> None:
    """Any answer can be scripted, such as a 429 with a date, or gzip that is none."""
    answer = _submit_with(
        emulator,
        {
            "action": "status",
            "status": 429,
            "body": {"error": "slow down"},
            "headers": {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"},
        },
    )
    assert (answer.status, answer.json) == (429, {"error": "slow down"})
    assert answer.headers["retry-after"].startswith("Wed")
    answer = _submit_with(
        emulator,
        {"action": "status", "status": 200, "body": "x", "headers": {"content-encoding": "gzip"}},
    )
    assert (answer.body, answer.headers["content-encoding"]) == (b"x", "gzip")


def test_the_nth_request_and_no_other_is_struck(emulator: EmulatorServer) -> None:
    """``nth`` and ``times`` pick requests of one operation; others pass."""
    client = WireClient(emulator.base_url)
    job = client.submit()["id"]
    emulator.set_faults(
        {"operation": "get", "nth": 2, "times": 2, "action": "status", "status": 503}
    )
    statuses = [client.ask("GET", f"/v2/transcript/{job}").status for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    assert client.ask("GET", "/v2/transcript").status == 200


def test_the_bucket_refills_with_the_clock(emulator: EmulatorServer) -> None:
    """Over the rate there is 429 with whole seconds to wait; afterwards the burst is back."""
    emulator.set_faults({"action": "rate_limit", "requests_per_s": 0.5, "burst": 2})
    client = WireClient(emulator.base_url)
    assert [client.ask("GET", "/v2/transcript").status for _ in range(3)] == [200, 200, 429]
    answer = client.ask("GET", "/v2/transcript")
    assert (answer.headers["retry-after"], answer.json["error"]) == ("2", "Too Many Requests")
    emulator.advance(2)
    assert client.ask("GET", "/v2/transcript").status == 200


def test_random_errors_are_a_share_and_repeatable(emulator: EmulatorServer) -> None:
    """The same seed strikes the same requests, about as many as asked for."""
    client = WireClient(emulator.base_url)
    rule = {"action": "random_status", "status": 503, "share": 0.3, "seed": 7}

    def run() -> list[int]:
        emulator.set_faults(rule)
        return [client.ask("GET", "/v2/transcript").status for _ in range(60)]

    first = run()
    assert first == run()
    assert 8 <= first.count(503) <= 30


@pytest.mark.parametrize(("action", "acts"), [("drop_before", False), ("drop_after", True)])
def test_a_dropped_connection_ends_without_an_answer(
    emulator: EmulatorServer, action: str, acts: bool
) -> None:
    """The client sees the same FIN whether or not the job was made."""
    with pytest.raises(http.client.RemoteDisconnected):
        _submit_with(emulator, {"action": action})
    assert _job_count(emulator) == acts


@pytest.mark.parametrize("acts", [False, True])
def test_a_reset_is_a_reset(emulator: EmulatorServer, acts: bool) -> None:
    """The client gets a TCP reset, before or after the job was made."""
    with pytest.raises(ConnectionResetError):
        _submit_with(emulator, {"action": "reset", "act": acts})
    assert _job_count(emulator) == acts


@pytest.mark.parametrize("acts", [False, True])
def test_a_hanging_request_is_silent_until_the_client_gives_up(
    emulator: EmulatorServer, acts: bool
) -> None:
    """Accepted, then silence: by default the job exists, with ``act`` false it does not."""
    with pytest.raises(TimeoutError):
        _submit_with(emulator, {"action": "hang", "act": acts}, timeout_s=0.3)
    assert _job_count(emulator) == acts


def test_a_server_that_never_reads_stalls_an_upload(emulator: EmulatorServer) -> None:
    """A hang that does not act leaves a large body in the pipe, so that writing times out."""
    emulator.set_faults({"operation": "upload", "action": "hang", "act": False})
    client = WireClient(emulator.base_url, timeout_s=0.5)
    with pytest.raises(TimeoutError):
        client.ask("POST", "/v2/upload", bytes(64 * 1024 * 1024))


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("truncate", http.client.IncompleteRead),
        ("garbage", http.client.BadStatusLine),
    ],
)
def test_a_garbled_answer_hides_a_made_job(
    emulator: EmulatorServer, action: str, error: type[Exception]
) -> None:
    """Cut bodies and noise are answers to a request that was carried out."""
    with pytest.raises(error):
        _submit_with(emulator, {"action": action, "keep_bytes": 12})
    assert _job_count(emulator) == 1


def test_half_a_header_is_all_that_comes(emulator: EmulatorServer) -> None:
    """The connection closes in the middle of the headers, after the job was made."""
    emulator.set_faults({"operation": "submit", "action": "half_headers", "keep_bytes": 30})
    body = b'{"audio_url": "https://audio.test/a.mp3"}'
    request = (
        b"POST /v2/transcript HTTP/1.1\r\nhost: emulator\r\nauthorization: test-key\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )
    received = WireClient(emulator.base_url).ask_raw(request)
    assert received.startswith(b"HTTP/1.1 200")
    assert len(received) == 30
    assert _job_count(emulator) == 1


def test_html_and_redirects_are_not_the_api(emulator: EmulatorServer) -> None:
    """A captive page has status 200; a redirect names another host and makes no job."""
    page = _submit_with(emulator, {"action": "html"})
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert page.body.startswith(b"<html>")
    assert _job_count(emulator) == 1
    moved = _submit_with(emulator, {"action": "redirect", "location": "https://b.test/"})
    assert (moved.status, moved.headers["location"]) == (307, "https://b.test/")
    assert _job_count(emulator) == 1


def test_a_dripping_answer_is_whole_in_the_end(emulator: EmulatorServer) -> None:
    """Byte by byte, no single wait is long, but the answer is."""
    emulator.set_faults({"operation": "list", "action": "drip", "seconds": 0.002})
    begin = time.monotonic()
    answer = WireClient(emulator.base_url).ask("GET", "/v2/transcript")
    assert answer.json["transcripts"] == []
    assert time.monotonic() - begin > 0.001 * len(answer.body)


def test_a_delay_comes_before_other_rules(emulator: EmulatorServer) -> None:
    """A delay adds time and leaves the answer to the next rule."""
    emulator.set_faults(
        {"operation": "submit", "action": "delay", "seconds": 0.1},
        {"operation": "submit", "action": "status", "status": 504},
    )
    begin = time.monotonic()
    answer = WireClient(emulator.base_url).ask("POST", "/v2/transcript", SUBMIT)
    assert answer.status == 504
    assert time.monotonic() - begin >= 0.1


def test_a_process_is_killed_after_its_job_was_accepted(emulator: EmulatorServer) -> None:
    """The victim dies between the service's acceptance and its own receipt of the answer."""
    program = (
        "import http.client, os, sys\n"
        f"c = http.client.HTTPConnection('127.0.0.1', {emulator.port})\n"
        "sys.stdout.write('ready'); sys.stdout.flush(); sys.stdin.read(1)\n"
        "c.request('POST', '/v2/transcript', '{\"audio_url\": \"https://audio.test/a\"}',"
        " {'authorization': 'test-key'})\n"
        "c.getresponse().read(); sys.stdout.write('answered')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.read(5) == b"ready"
        emulator.set_faults({"operation": "submit", "action": "kill_pid", "pid": victim.pid})
        output, _ = victim.communicate(b"x", timeout=10)
    assert victim.returncode == -signal.SIGKILL
    assert output == b""
    assert _job_count(emulator) == 1
    assert victim.pid != os.getpid()


def test_kill_pid_needs_a_pid(emulator: EmulatorServer) -> None:
    """A forgotten pid would be 0, and take the whole process group along; it is refused."""
    with pytest.raises(ValueError, match="kill_pid needs the pid of one process"):
        emulator.set_faults({"action": "kill_pid"})


def test_job_fates_belong_to_the_job_that_was_struck(emulator: EmulatorServer) -> None:
    """One submit makes a failing, one a stuck, one an odd job; the next is ordinary."""
    client = WireClient(emulator.base_url)
    emulator.set_faults(
        {"operation": "submit", "nth": 1, "action": "job_error"},
        {"operation": "submit", "nth": 2, "action": "stuck"},
        {"operation": "submit", "nth": 3, "action": "unknown_status", "job_status": "reviewing"},
    )
    jobs = [client.submit()["id"] for _ in range(4)]
    assert [client.get(job)["status"] for job in jobs] == [
        "processing",
        "processing",
        "reviewing",
        "processing",
    ]
    emulator.advance(86_400)
    answers = [client.get(job) for job in jobs]
    assert [answer["status"] for answer in answers] == [
        "error",
        "processing",
        "completed",
        "completed",
    ]
    assert answers[0]["error"] == "Server error, developers have been alerted"
    assert len(emulator.invoice()) == 2


def test_a_single_list_can_lag(emulator: EmulatorServer) -> None:
    """The first list after a submit may not know of it; the second does."""
    client = WireClient(emulator.base_url)
    client.submit()
    emulator.set_faults({"operation": "list", "nth": 1, "action": "list_lag", "seconds": 60})
    assert client.list()["transcripts"] == []
    assert len(client.list()["transcripts"]) == 1


def test_requests_are_counted_and_logged(emulator: EmulatorServer) -> None:
    """Counts tell operations apart, the log tells what each got, and control calls are in neither."""
    client = WireClient(emulator.base_url)
    emulator.set_faults({"operation": "submit", "nth": 2, "action": "drop_after"})
    client.submit()
    with pytest.raises(http.client.RemoteDisconnected):
        client.submit()
    client.ask("GET", "/v2/transcript/nobody")
    assert emulator.request_counts() == {"submit": 2, "get": 1}
    log = [
        (entry["operation"], entry["status"], entry["fault"]) for entry in emulator.request_log()
    ]
    assert log == [("submit", 200, None), ("submit", None, "drop_after"), ("get", 400, None)]
    assert emulator.control("requests")["statuses"]["submit:none"] == 1


def test_answers_are_dated_by_the_emulators_clock(emulator: EmulatorServer) -> None:
    """A skewed service shows its own date."""
    emulator.advance(400 * 86_400)
    date = WireClient(emulator.base_url).ask("GET", "/v2/transcript").headers["date"]
    year = emulator.control("clock")["now_utc"][:4]
    assert year in date
