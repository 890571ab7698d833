"""When nothing paid is sent: no credentials, no money, an outage, no room to keep the answers."""

from __future__ import annotations

import pytest

from transcription_pipeline.errors import DiskFull
from transcription_pipeline_tests.engine.scene import PROOF_S, Scene

OUTAGE = {"action": "status", "status": 502}


@pytest.mark.parametrize(("status", "reason"), [(401, "auth"), (402, "funds")])
def test_a_closed_gate_costs_a_few_requests_and_no_attempt(
    scene: Scene, status: int, reason: str
) -> None:
    """No credentials, or no money: the jobs wait unsent, and go on when the gate opens."""
    scene.put_known(20)
    scene.emulator.set_faults({"action": "status", "status": status, "operation": "submit"})
    report = scene.run()
    assert report.counts["gated"] == 20
    assert not report.has_progress
    assert scene.tools.ledger.find_gate("assemblyai", scene.tools.now()) == reason
    assert scene.emulator.request_counts()["submit"] <= 3
    assert set(scene.attempt_states().values()) <= {"intent", None}
    scene.emulator.set_faults()
    assert scene.run().counts == {"gated": 20}
    assert scene.emulator.request_counts()["submit"] <= 3
    scene.pass_time(601)
    assert scene.run().counts["stored"] == 20
    assert scene.tools.ledger.find_lapsed_gate("assemblyai", scene.tools.now()) is None
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize("status", [403, 404])
def test_an_answer_that_is_not_theirs_fails_no_recording(scene: Scene, status: int) -> None:
    """A firewall's page, or a wrong address: the jobs wait for whoever mends it."""
    scene.put_known(5)
    page = {"action": "status", "status": status, "operation": "submit", "body": "<html>no</html>"}
    scene.emulator.set_faults(page)
    assert scene.run().counts["gated"] == 5
    assert scene.tools.ledger.find_gate("assemblyai", scene.tools.now()) == "auth"
    assert {job["state"] for job in scene.jobs().values()} == {"in_progress"}
    scene.emulator.set_faults()
    scene.pass_time(601)
    assert scene.run().counts["stored"] == 5
    scene.assert_each_is_paid_once()


def test_a_bad_hour_costs_three_doubts(scene: Scene) -> None:
    """After three lost answers nothing is sent, and nothing again until something free is answered."""
    scene.put_known(40)
    scene.emulator.set_faults(OUTAGE)
    report = scene.run()
    assert report.counts["ambiguous"] == 3
    assert report.counts["gated"] == 37
    for _ in range(12):
        scene.pass_time(301)
        assert scene.run().counts["gated"] == 37
        assert scene.tools.ledger.find_gate("assemblyai", scene.tools.now()) == "breaker"
    assert scene.emulator.request_counts()["submit"] == 3
    scene.emulator.set_faults()
    scene.pass_time(301)
    assert scene.run().counts["stored"] >= 37
    scene.pass_time(PROOF_S)
    scene.run()
    scene.assert_each_is_paid_once()


def test_two_lost_answers_after_a_trial_close_the_gate_again(scene: Scene) -> None:
    """A provider that came back and went away again is left alone, and nobody waits for a place."""
    scene.put_known(10)
    scene.emulator.set_faults(OUTAGE)
    scene.run()
    # What one rule strikes the next does not count: the second and the third request.
    scene.emulator.set_faults(*({"operation": "submit", **OUTAGE, "nth": 2} for _ in range(2)))
    scene.pass_time(301)
    report = scene.run()
    assert (report.counts["accepted"], report.counts["gated"]) == (1, 4)
    assert scene.tools.ledger.find_gate("assemblyai", scene.tools.now()) == "breaker"


def test_where_only_paid_requests_fail_each_trial_costs_one_doubt(scene: Scene) -> None:
    """The list answers, so one paid request goes first; its lost answer closes the gate again."""
    scene.put_known(20)
    scene.emulator.set_faults({"operation": "submit", **OUTAGE})
    scene.run()
    for trial in range(1, 4):
        scene.pass_time(301)
        scene.run()
        assert scene.emulator.request_counts()["submit"] == 3 + trial
    scene.emulator.set_faults()
    scene.pass_time(PROOF_S)
    scene.run()
    scene.pass_time(PROOF_S)
    scene.run()
    scene.assert_each_is_paid_once()


def test_without_room_to_keep_answers_nothing_is_sent(scene: Scene) -> None:
    """The run ends with the disk, the room and the setting in its error, and goes on later."""
    scene.put_known(3)
    scene.limit(reserve_bytes=1 << 60)
    with pytest.raises(DiskFull, match=r"MiB are free and runs\.reserve_mib keeps"):
        scene.run()
    assert scene.emulator.request_counts().get("submit", 0) == 0
    scene.limit(reserve_bytes=1)
    assert scene.run().counts["stored"] == 3
    scene.assert_each_is_paid_once()
