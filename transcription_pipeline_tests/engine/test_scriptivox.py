"""Scriptivox through the engine: what is paid, what is found again, what is left to a person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.engine import RunReport
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.engine.scene import wait_for_submits
from transcription_pipeline_tests.engine.scenes import ScriptivoxScene, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server

DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator, without limits per minute."""
    with run_emulator("scriptivox") as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def scene(
    server: EmulatorServer, settings: dict[str, object], moto: S3Server, tmp_path: Path
) -> Iterator[ScriptivoxScene]:
    """An empty world around the emulator, which has no jobs, charges or faults."""
    with open_scene(server, settings, moto, tmp_path) as scene:
        yield scene


def reopen(scene: ScriptivoxScene, folder: Path) -> None:
    """Open the ledger as another process would."""
    scene.tools.ledger.close()
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"))


@pytest.mark.parametrize("is_upload", [False, True], ids=["url", "upload"])
def test_every_recording_is_stored_published_and_paid_once(
    scene: ScriptivoxScene, is_upload: bool
) -> None:
    """Twelve recordings go from the bucket to the tables, by URL and by upload."""
    if is_upload:
        scene.use_upload()
    scene.put([f"calls/{number:02}.wav" for number in range(12)])
    report = scene.run()
    assert report.counts["stored"] == 12, report.failures
    assert scene.write().published == 12
    assert set(scene.attempt_states().values()) == {"published"}
    assert scene.emulator.request_counts().get("put", 0) == (12 if is_upload else 0)
    scene.assert_each_is_paid_once()


TAKEN: dict[str, dict[str, Any]] = {
    "500 after acceptance": {"action": "status", "status": 500, "act": True},
    "silence": {"action": "hang", "seconds": 0.2},
    "reset": {"action": "reset", "act": True},
    "closed without an answer": {"action": "drop_after"},
    "half a header": {"action": "half_headers"},
    "truncated": {"action": "truncate"},
    "garbage": {"action": "garbage"},
    "a web page": {"action": "html", "act": True},
    "a redirect": {"action": "redirect", "act": True},
}
"""The service took the job, and its answer does not say so."""
NOT_TAKEN: dict[str, dict[str, Any]] = {
    "503": {"action": "status", "status": 503},
    "closed at once": {"action": "drop_before"},
    "a redirect": {"action": "redirect"},
}
"""The service did not take the job, and nobody can tell from the answer."""


@pytest.mark.parametrize("fault", [*TAKEN.values(), *NOT_TAKEN.values()], ids=[*TAKEN, *NOT_TAKEN])
def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    scene: ScriptivoxScene, fault: dict[str, Any]
) -> None:
    """The same bytes under the same key bring the job's name, or make the job: one charge."""
    scene.put_known(3)
    scene.emulator.set_faults({"operation": "submit", "nth": 2, **fault})
    report = scene.run()
    assert report.counts["ambiguous"] == 1
    assert report.counts["stored"] == 2
    assert scene.run().due == 0  # doubts are looked at when they are due, not before
    scene.pass_time(31)
    assert scene.run().counts["stored"] == 1
    assert {row["attempt_count"] for row in scene.jobs().values()} == {1}
    scene.assert_each_is_paid_once()
    assert scene.emulator.request_counts()["submit"] == 4


def test_an_upload_whose_submit_was_lost_is_not_sent_twice(scene: ScriptivoxScene) -> None:
    """The kept bytes name the upload: neither is the file sent again nor the job made twice."""
    scene.use_upload()
    scene.put(["a.wav"])
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    assert scene.run().counts["ambiguous"] == 1
    scene.pass_time(31)
    assert scene.run().counts["stored"] == 1
    assert scene.emulator.request_counts()["put"] == 1
    scene.assert_each_is_paid_once()


def test_a_key_in_flight_is_waited_for(scene: ScriptivoxScene) -> None:
    """409 while the first request is worked on is no answer yet; the next look brings it."""
    scene.emulator.configure(idempotency_locked_s=45.0)
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.pass_time(31)
    report = scene.run()
    assert [cause for _, _, cause in report.failures] == ["idempotency_key_locked"]
    scene.pass_time(31)
    assert scene.run().counts["stored"] == 1
    scene.assert_each_is_paid_once()


def test_a_key_with_other_bytes_is_left_to_a_person(scene: ScriptivoxScene) -> None:
    """422 proves that a job may exist: the attempt is held, and the jobs of that time are named."""
    scene.put_known(1)
    scene.emulator.set_faults(
        {"operation": "submit", "nth": 1, "action": "drop_after"},
        {"operation": "submit", "nth": 1, "action": "status", "status": 422},
    )
    scene.run()
    scene.pass_time(31)
    assert scene.run().counts["held"] == 1
    row = scene.jobs()["known/000.wav"]
    assert (row["state"], row["cause"]) == ("held", "idempotency_key_conflict")
    assert scene.emulator.invoice()[0]["provider_job_id"] in str(row["detail"])
    scene.pass_time(DAY_S)
    assert scene.run().due == 0
    scene.assert_each_is_paid_once()


def test_a_request_that_nobody_can_unseal_waits_for_its_key(
    scene: ScriptivoxScene, tmp_path: Path
) -> None:
    """Put back, the key opens it and it is replayed; another key never ends the run."""
    scene.put_known(2)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    key_file = tmp_path / "ledger.db.key"
    kept = key_file.read_text()
    key_file.unlink()
    reopen(scene, tmp_path)
    scene.pass_time(31)
    assert [cause for _, _, cause in scene.run().failures] == ["SealedOtherwise"]
    key_file.write_text(kept)
    reopen(scene, tmp_path)
    scene.pass_time(61)
    assert scene.run().counts["stored"] == 1
    scene.assert_each_is_paid_once()


def test_after_a_day_nothing_is_sent_again(scene: ScriptivoxScene) -> None:
    """The key may be forgotten by then, and a second sending be a second job: it is held."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.pass_time(DAY_S)
    assert scene.run().counts["held"] == 1
    assert scene.jobs()["known/000.wav"]["cause"] == "too_late_to_replay"
    assert scene.emulator.request_counts()["submit"] == 1
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize(("status", "reason"), [(401, "auth"), (402, "funds")])
def test_a_closed_gate_costs_a_few_requests_and_no_attempt(
    scene: ScriptivoxScene, status: int, reason: str
) -> None:
    """No credentials, or no money: the jobs wait unsent, and go on when the gate opens."""
    scene.put_known(12)
    scene.emulator.set_faults({"action": "status", "status": status, "operation": "submit"})
    assert scene.run().counts["gated"] == 12
    assert scene.tools.ledger.find_gate("scriptivox", scene.tools.now()) == reason
    assert scene.emulator.request_counts()["submit"] <= 3
    scene.emulator.set_faults()
    scene.pass_time(601)
    assert scene.run().counts["stored"] == 12
    scene.assert_each_is_paid_once()


def test_an_empty_account_pays_for_nothing(scene: ScriptivoxScene) -> None:
    """The service's own 402 for an account without credit closes the gate, too."""
    scene.emulator.configure(balance_cents=0.0)
    scene.put_known(2)
    assert scene.run().counts["gated"] == 2
    assert scene.emulator.invoice() == []


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["with a time", "without"])
def test_too_many_requests_are_patience_not_doubt(
    scene: ScriptivoxScene, headers: dict[str, str]
) -> None:
    """The same attempt is sent again within the run."""
    scene.put_known(2)
    rule = {"action": "status", "status": 429, "operation": "submit", "headers": headers}
    scene.emulator.set_faults(rule | {"times": 1})
    report = scene.run()
    assert report.counts["stored"] == 2
    assert report.counts["not_sent"] == 1
    scene.assert_each_is_paid_once()


def test_a_url_that_is_too_long_becomes_an_upload(scene: ScriptivoxScene) -> None:
    """A signed URL over 2,048 characters is not offered: the bytes are handed over instead."""
    scene.put(["é" * 400 + ".wav", "short.wav"])
    assert scene.run().counts["stored"] == 2
    assert scene.emulator.request_counts()["put"] == 1
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize(
    "options",
    [
        {"language": "en-US"},
        {"speakers_expected": 2},
        {"diarize": True, "speakers_expected": 51},
        {"diarize": True, "word_timestamps": False},
        {"extra": {"scriptivox": {"url": "https://elsewhere.invalid/a.mp3"}}},
    ],
)
def test_what_cannot_be_honoured_fails_before_anything_is_sent(
    scene: ScriptivoxScene, options: dict[str, Any]
) -> None:
    """The job is failed with a cause, no request was made, and the detail names the option."""
    extra = options.pop("extra", {})
    scene.wish(**options)
    routes = tuple(replace(route, extra=extra) for route in scene.tools.routes)
    scene.tools = replace(scene.tools, routes=routes)
    scene.put(["a.wav"])
    scene.run()
    row = scene.jobs()["a.wav"]
    assert (row["state"], row["cause"]) == ("failed", "option_not_supported")
    assert "submit" not in scene.emulator.request_counts()


FREE = {
    "URL_NOT_ACCESSIBLE": "audio_not_downloadable",
    "DOWNLOAD_FAILED": "audio_not_downloadable",
    "DOWNLOAD_TIMEOUT": "audio_not_downloadable",
    "CREATED_TIMEOUT": "provider_timeout",
    "BILLING_ERROR": "provider_billing_error",
    "INTERNAL_ERROR": "provider_server_error",
    "INSUFFICIENT_BALANCE": "insufficient_funds",
}
FINAL = {
    "INVALID_MEDIA_FORMAT": "not_audio",
    "DURATION_TOO_LONG": "too_long",
    "PROCESSING_ERROR": "provider_processing_error",
    "PROCESSING_TIMEOUT": "provider_timeout",
    "CANCELLED": "cancelled_at_provider",
    "SOMETHING_NEW": "provider_error",
}


@pytest.mark.parametrize("code", [*FREE, *FINAL])
def test_a_failed_job_is_tried_again_only_where_that_is_free(
    scene: ScriptivoxScene, code: str
) -> None:
    """Failures that surely cost nothing get a second attempt; all others end the job."""
    scene.put_known(1)
    rule = {"operation": "submit", "nth": 1, "action": "job_error", "error": code}
    scene.emulator.set_faults(rule)
    report = scene.run()
    assert [cause for _, _, cause in report.failures] == [(FREE | FINAL)[code]]
    assert scene.emulator.invoice() == []
    scene.pass_time(120)
    assert scene.run().counts["stored"] == (1 if code in FREE else 0)
    assert scene.jobs()["known/000.wav"]["state"] == ("in_progress" if code in FREE else "failed")


def test_the_watchdog_ends_a_stuck_job(scene: ScriptivoxScene) -> None:
    """After 45 minutes in processing the service itself fails the job."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "stuck"})
    scene.send()
    assert scene.attempt_states() == {"known/000.wav": "accepted"}
    scene.pass_time(2_701)
    scene.run()
    assert scene.jobs()["known/000.wav"]["cause"] == "provider_timeout"


@pytest.mark.parametrize("action", ["stuck", "unknown_status"])
def test_what_never_ends_is_held_after_two_hours(scene: ScriptivoxScene, action: str) -> None:
    """A job that no watchdog ends, or with a status nobody knows, is held at its deadline."""
    scene.emulator.configure(processing_timeout_s=0.0)
    scene.put_known(1)
    rule = {"operation": "submit", "nth": 1, "action": action, "is_final": True}
    scene.emulator.set_faults(rule)
    scene.send()
    scene.pass_time(7_300)
    scene.run()
    row = scene.jobs()["known/000.wav"]
    assert (row["state"], row["cause"]) == ("held", "stuck_past_deadline")


def test_the_service_fetches_the_audio_by_its_signed_url(scene: ScriptivoxScene) -> None:
    """The address is fetched as it was signed, and what is behind it is what is billed."""
    scene.emulator.configure(fetch_audio=True, word_count=2)
    scene.put(["with space & ümlaut+.wav"], seconds=2.0)
    assert scene.run().counts["stored"] == 1
    assert [line["audio_ms"] for line in scene.emulator.invoice()] == [2_000]
    scene.assert_each_is_paid_once()


def test_audio_that_is_gone_when_it_is_fetched_costs_nothing(scene: ScriptivoxScene) -> None:
    """The service cannot download it, fails the job unpaid, and another attempt is due."""
    scene.emulator.configure(fetch_audio=True)
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "action": "delay", "seconds": 1.0})

    async def delete_meanwhile() -> RunReport | None:
        run = asyncio.create_task(scene.transcribe())
        await wait_for_submits(scene, 1)
        scene.tools.audio.delete("known/000.wav")
        return await run

    report = asyncio.run(delete_meanwhile())
    assert report
    assert [cause for _, _, cause in report.failures] == ["audio_not_downloadable"]
    assert scene.emulator.invoice() == []
    assert scene.jobs()["known/000.wav"]["state"] == "in_progress"


def test_the_price_is_the_one_the_service_tells(scene: ScriptivoxScene) -> None:
    """Thirty seconds are 0.1667 cents, and the ledger has it from the answer."""
    scene.put_known(1)
    scene.run()
    scene.write()
    row = scene.jobs()["known/000.wav"]
    assert row["cost_micros"] == scene.emulator.invoice()[0]["amount_micros"] == 1_667
    assert row["currency"] == "USD"


def test_many_jobs_are_watched_by_the_list(scene: ScriptivoxScene) -> None:
    """Forty jobs in work are seen on pages of the list, failed ones with a look of their own."""
    scene.emulator.configure(job_s=0.6)
    scene.put_known(40)
    rule = {"operation": "submit", "nth": 1, "action": "job_error", "error": "PROCESSING_ERROR"}
    scene.emulator.set_faults(rule)
    report = scene.run()
    assert report.counts["stored"] == 39
    assert [cause for _, _, cause in report.failures] == ["provider_processing_error"]
    assert scene.emulator.request_counts()["list"] >= 1


def test_nothing_is_repeated_with_another_account_s_key(scene: ScriptivoxScene) -> None:
    """There the same bytes would be a new job: a person tells."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.use(api_key="another-account")
    scene.pass_time(60)
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("held", "sent_with_another_key")
    assert scene.emulator.request_counts()["submit"] == len(scene.emulator.invoice()) == 1
