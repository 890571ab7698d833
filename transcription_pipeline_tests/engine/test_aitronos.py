"""Aitronos through the engine: what is charged, what is found again, what is left to a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.aitronos import SETTLE
from transcription_pipeline.providers.base import AudioDelivery
from transcription_pipeline_tests.engine.scene import LIMITS
from transcription_pipeline_tests.engine.scenes import AitronosScene, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server

HELD_S = LIMITS.url_expires_s + SETTLE.total_seconds() + 1
"""After so long a request that is in no list is left to a person."""
SENT_NOT_ANSWERED = ["drop_after", "reset", "half_headers", "truncate", "garbage", "html"]


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator that refreshes at every look."""
    with run_emulator("aitronos") as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def scene(
    server: EmulatorServer, settings: dict[str, object], moto: S3Server, tmp_path: Path
) -> Iterator[AitronosScene]:
    """An empty world around the emulator, which has no jobs, charges or faults."""
    with open_scene(server, settings, moto, tmp_path) as scene:
        yield scene


@pytest.mark.parametrize("is_upload", [False, True], ids=["url", "upload"])
def test_every_recording_is_stored_published_and_paid_once(
    scene: AitronosScene, is_upload: bool
) -> None:
    """Six recordings go from the bucket to the tables, by URL and by upload."""
    if is_upload:
        scene.use(delivery=AudioDelivery.UPLOAD)
        scene.emulator.configure(stubs=[])
    scene.put([f"calls/{number:02}.wav" for number in range(6)])
    report = scene.run()
    assert report.counts["stored"] == 6, report.failures
    assert scene.write().published == 6
    assert set(scene.attempt_states().values()) == {"published"}
    assert {job["currency"] for job in scene.jobs().values()} == {"SYNAPSES"}
    lines = scene.emulator.invoice()
    assert len({line["provider_job_id"] for line in lines}) == len(lines) == 6
    if not is_upload:
        scene.assert_each_is_paid_once()


@pytest.mark.parametrize("action", SENT_NOT_ANSWERED)
def test_a_lost_answer_is_found_in_the_list(scene: AitronosScene, action: str) -> None:
    """An accepted request whose answer is lost is found by its token, and charged once."""
    scene.put(["a.wav", "b.wav", "c.wav"])
    scene.emulator.set_faults({"action": action, "operation": "submit", "nth": 1})
    first = scene.run()
    assert first.counts["ambiguous"] == 1
    scene.emulator.set_faults()
    scene.pass_time(120)
    assert scene.run().counts["stored"] == 1
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


def test_doubts_that_are_cleared_up_together_share_a_reading_of_the_list(
    scene: AitronosScene,
) -> None:
    """Whoever asks while the list is read waits for the next reading, which is everybody's."""
    scene.put(["a.wav", "b.wav", "c.wav"])
    scene.emulator.set_faults({"action": "drop_after", "operation": "submit"})
    assert scene.run().counts["ambiguous"] == 3
    scene.emulator.set_faults({"action": "delay", "operation": "list", "seconds": 1.0})
    scene.pass_time(120)
    before = scene.emulator.request_counts().get("list", 0)
    assert scene.run().counts["accepted"] == 3
    assert scene.emulator.request_counts()["list"] - before <= 2


def test_a_lagging_list_is_asked_again(scene: AitronosScene) -> None:
    """An accepted request that the list does not show yet stays open until it does."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    scene.run()
    scene.emulator.configure(list_lag_s=400.0)
    scene.pass_time(120)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "ambiguous"}
    scene.pass_time(400)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "stored"}
    scene.assert_each_is_paid_once()


def test_what_is_in_no_list_is_held_and_never_sent_again(scene: AitronosScene) -> None:
    """A request that vanished is left to a person, with a cause that says what to look at."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_before", "operation": "submit", "nth": 1})
    scene.run()
    scene.pass_time(120)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "ambiguous"}
    scene.pass_time(HELD_S)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["attempt_state"], job["state"]) == ("held", "held")
    assert job["cause"] == "maybe_charged_check_synapse_transactions"
    scene.pass_time(HELD_S)
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 1
    assert scene.emulator.invoice() == []


@pytest.mark.parametrize("echo", ["without_query", "absent"])
def test_an_echo_that_proves_nothing_is_held(scene: AitronosScene, echo: str) -> None:
    """Where the echoed URL lost its token nothing is taken for ours, and nothing is sent again."""
    scene.emulator.configure(echoed_url=echo)
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    scene.run()
    scene.pass_time(HELD_S)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "held"}
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize(("status", "gate"), [(401, "auth"), (402, "funds")])
def test_an_account_that_is_refused_closes_the_gate(
    scene: AitronosScene, status: int, gate: str
) -> None:
    """Without funds or a valid key nothing is charged and the recordings wait."""
    scene.put(["a.wav", "b.wav", "c.wav"])
    scene.emulator.set_faults({"action": "status", "operation": "submit", "status": status})
    scene.run()
    assert scene.tools.ledger.find_gate("aitronos", scene.tools.now()) == gate
    assert scene.emulator.request_counts()["submit"] <= 3
    assert scene.emulator.invoice() == []
    assert {job["state"] for job in scene.jobs().values()} == {"in_progress"}


def test_too_many_requests_are_sent_again(scene: AitronosScene) -> None:
    """After a 429 with Retry-After the same attempt is sent again, and charged once."""
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
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize("refunds", [True, False])
def test_a_failed_job_is_not_tried_again(scene: AitronosScene, refunds: bool) -> None:
    """What it cost is in its cause; refunded it is booked as free, as on the invoice."""
    scene.emulator.configure(refunds_failures=refunds)
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "job_error", "operation": "submit"})
    scene.run()
    job, (line,) = scene.jobs()["a.wav"], scene.emulator.invoice()
    assert job["state"] == "failed"
    assert line["amount_micros"] > 0
    if refunds:
        assert (job["cause"], job["cost_micros"]) == ("provider_error_refunded", 0)
        assert line["refunded_micros"] == line["amount_micros"]
    else:
        assert (job["cause"], job["cost_micros"]) == ("provider_error_charged", None)
        assert (job["reserved_micros"], line["refunded_micros"]) == (1_000_000, 0)
    assert scene.run().due == 0


def test_a_budget_in_synapses_is_kept(scene: AitronosScene) -> None:
    """What the day's budget does not cover waits for the next day."""
    scene.put(["a.wav", "b.wav"], seconds=1.0)
    scene.limit(cap_micros=2_000_000)
    report = scene.run()
    assert report.counts["stored"] == 1, report.failures
    assert len(scene.emulator.invoice()) == 1
