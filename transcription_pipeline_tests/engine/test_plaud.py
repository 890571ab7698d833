"""Plaud through the engine: uploaded, paid once, and held wherever nobody can know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline import decisions
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import AuthenticationFailed, DecisionRefused
from transcription_pipeline.ledger.changes import Saw
from transcription_pipeline_tests.engine.scenes import (
    PLAUD_DEADLINE_S,
    PlaudScene,
    open_scene,
    run_emulator,
)
from transcription_pipeline_tests.s3_servers import S3Server

SENT_NOT_ANSWERED = ["drop_after", "drop_before", "reset", "truncate", "garbage", "html"]


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator without limits per minute, and with small parts."""
    with run_emulator("plaud") as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def scene(
    server: EmulatorServer, settings: dict[str, object], moto: S3Server, tmp_path: Path
) -> Iterator[PlaudScene]:
    """An empty world around the emulator, which has no jobs, charges or faults."""
    with open_scene(server, settings, moto, tmp_path) as scene:
        yield scene


@pytest.mark.parametrize("shape", ["segments", "results", "both"])
def test_every_recording_is_stored_published_and_paid_once(scene: PlaudScene, shape: str) -> None:
    """WAV, mp3 and m4a go from the bucket to the tables, whatever the answers look like."""
    scene.emulator.configure(result_shape=shape)
    scene.put(["a.wav", "b.wav"])
    scene.put_file("c.mp3", "hotel.mp3")
    scene.put_file("d.m4a", "budget.m4a")
    scene.limit(window_s=90.0)  # making mp3 takes the processor
    report = scene.run()
    assert report.counts["stored"] == 4, report.failures
    assert scene.write().published == 4
    assert set(scene.attempt_states().values()) == {"published"}
    assert scene.count_charges() == 4
    counts = scene.emulator.request_counts()
    assert (counts["token"], counts["user_token"], counts["submit"]) == (1, 1, 4)
    assert counts["put"] > counts["presign"] == counts["complete"] == 4
    assert {job["currency"] for job in scene.jobs().values()} == {"USD"}
    assert scene.run().due == 0


@pytest.mark.parametrize("action", SENT_NOT_ANSWERED)
def test_a_lost_answer_is_held_and_never_sent_again(scene: PlaudScene, action: str) -> None:
    """Accepted or not: without an answer nobody can tell, and no second request is sent."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": action, "operation": "submit", "nth": 1})
    assert scene.run().counts["ambiguous"] == 1
    scene.emulator.set_faults()
    scene.pass_time(120)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["attempt_state"], job["state"]) == ("held", "held")
    assert job["cause"] == "maybe_charged_ask_plaud"
    scene.pass_time(30 * 24 * 3600)
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 1
    assert scene.count_charges() == (0 if action == "drop_before" else 1)


def test_what_is_held_goes_on_when_its_job_is_known_after_all(scene: PlaudScene) -> None:
    """A worker that was stopped in the middle still gets its answer: nobody has to be asked."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    scene.run()
    scene.emulator.set_faults()
    scene.pass_time(120)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert job["state"] == "held"
    (line,) = scene.emulator.invoice()
    told = Saw(job["attempt_id"], "accepted", scene.tools.now(), line["provider_job_id"])
    assert scene.tools.ledger.commit([told]) == [None]
    with pytest.raises(DecisionRefused, match="known by now"):
        decisions.resolve(scene.tools, job["attempt_id"], provider_job_id=None, by="ada")
    scene.run()
    assert scene.attempt_states() == {"a.wav": "stored"}
    assert scene.emulator.request_counts()["submit"] == scene.count_charges() == 1


def test_a_job_that_stays_pending_is_held_at_its_deadline(scene: PlaudScene) -> None:
    """An id that is forgotten looks pending for ever: not for longer than the deadline."""
    scene.emulator.configure(unknown_id="pending", job_s=10 * PLAUD_DEADLINE_S)
    scene.put(["a.wav"])
    assert scene.send().counts["window_ended"] == 1
    assert scene.attempt_states() == {"a.wav": "accepted"}
    scene.pass_time(PLAUD_DEADLINE_S / 2)
    scene.send()
    assert scene.attempt_states() == {"a.wav": "accepted"}
    scene.pass_time(PLAUD_DEADLINE_S)
    scene.run()
    assert scene.jobs()["a.wav"]["cause"] == "stuck_past_deadline"
    assert scene.attempt_states() == {"a.wav": "held"}
    assert scene.emulator.request_counts()["submit"] == 1


@pytest.mark.parametrize(("status", "gate"), [(401, "auth"), (402, "funds"), (403, "auth")])
@pytest.mark.parametrize("operation", ["submit", "presign"])
def test_an_account_that_is_refused_closes_the_gate(
    scene: PlaudScene, operation: str, status: int, gate: str
) -> None:
    """Without funds or credentials nothing is charged and the recordings wait."""
    scene.put(["a.wav", "b.wav", "c.wav"])
    scene.emulator.set_faults({"action": "status", "operation": operation, "status": status})
    try:
        scene.run()
    except AuthenticationFailed:
        assert operation == "presign"
    assert scene.tools.ledger.find_gate("plaud", scene.tools.now()) == gate
    assert scene.count_charges() == 0
    assert {job["state"] for job in scene.jobs().values()} == {"in_progress"}


def test_a_recording_that_is_gone_before_it_was_sent_fails(scene: PlaudScene) -> None:
    """It was looked into, then refused for want of funds, then deleted: nothing is left to send."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "status", "operation": "submit", "status": 402})
    scene.run()
    scene.emulator.set_faults()
    scene.tools.audio.delete("a.wav")
    scene.pass_time(601)
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("failed", "source_gone")
    assert scene.count_charges() == 0


def test_too_many_requests_reuse_the_upload(scene: PlaudScene) -> None:
    """After a 429 the same attempt is sent again with the file that is there, and charged once."""
    scene.put(["a.wav"])
    scene.emulator.set_faults(
        {
            "action": "status",
            "operation": "submit",
            "nth": 1,
            "status": 429,
            "headers": {"Retry-After": "0"},
        }
    )
    assert scene.run().counts["stored"] == 1
    assert scene.emulator.request_counts()["complete"] == 1
    assert scene.count_charges() == 1


def test_a_failed_job_is_not_tried_again(scene: PlaudScene) -> None:
    """A job that Plaud fails has perhaps been paid."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "job_error", "operation": "submit"})
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"]) == ("failed", "provider_error")
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 1


def test_a_refused_upload_ends_its_job_alone(scene: PlaudScene) -> None:
    """What Plaud's uploads never take is rejected with a cause, unpaid; the others go on."""
    scene.put(["a.wav", "b.wav"])
    scene.emulator.set_faults({"action": "status", "operation": "presign", "status": 400, "nth": 1})
    assert scene.run().counts["stored"] == 1
    (rejected,) = (job for job in scene.jobs().values() if job["attempt_state"] == "rejected")
    assert (rejected["state"], rejected["cause"]) == ("failed", "upload_rejected")
    assert scene.count_charges() == 1
    assert scene.run().due == 0


def test_damaged_parts_are_uploaded_anew(scene: PlaudScene) -> None:
    """Addresses that fail while parts are sent cost a new upload, never a second job."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "status", "operation": "put", "status": 403, "nth": 2})
    assert scene.run().counts["stored"] == 1
    assert scene.emulator.request_counts()["presign"] == 2
    assert scene.count_charges() == 1


@pytest.mark.parametrize("refused", [None, "token", "user_token", "get"])
def test_a_checkup_tries_every_credential_and_costs_nothing(
    scene: PlaudScene, refused: str | None
) -> None:
    """Client and secret, user, and key are each asked with; one that is refused is an error."""
    if refused:
        scene.emulator.set_faults({"action": "status", "operation": refused, "status": 401})

    async def check() -> bool:
        client = scene.tools.make_provider["plaud"]()
        try:
            return (await client.check()).is_well
        finally:
            await client.aclose()

    if refused is None:
        assert asyncio.run(check())
    else:
        with pytest.raises(AuthenticationFailed):
            asyncio.run(check())
    assert scene.count_charges() == 0
