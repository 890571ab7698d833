"""Between acceptance and answer: faults while looking, jobs that fail, jobs that never end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transcription_pipeline.errors import AuthenticationFailed
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.publishing import read_raw
from transcription_pipeline_tests.engine.scene import Scene

DAY_S = 24 * 3600.0

FAULTS: dict[str, dict[str, Any]] = {
    "500": {"action": "status", "status": 500},
    "429": {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "a web page": {"action": "html"},
    "reset": {"action": "reset"},
    "truncated": {"action": "truncate"},
    "garbage": {"action": "garbage"},
    "404": {"action": "status", "status": 404},
}


@pytest.mark.parametrize("operation", ["get", "list"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_look_that_fails_moves_nothing(
    scene: Scene, operation: str, fault: dict[str, Any]
) -> None:
    """Some looks fail, and every job is stored in the end all the same."""
    scene.put_known(14)
    scene.emulator.configure(job_s=0.3)
    scene.emulator.set_faults({"operation": operation, "times": 3, **fault})
    report = scene.run()
    if report.counts["stored"] < 14:  # a collect that failed is repeated by the next run
        assert {outcome for _, outcome, _ in report.failures} == {"postponed"}
        scene.pass_time(61)
        scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


def test_refused_credentials_while_looking_end_the_run_with_a_closed_gate(scene: Scene) -> None:
    """Nothing moves; the next run after the gate goes on."""
    scene.put_known(14)
    scene.emulator.set_faults(
        {"operation": "get", "action": "status", "status": 401},
        {"operation": "list", "action": "status", "status": 401},
    )
    with pytest.raises(AuthenticationFailed):
        scene.run()
    assert scene.tools.ledger.find_gate("assemblyai", scene.tools.now()) == "auth"
    assert set(scene.attempt_states().values()) <= {"accepted", "intent", None}
    scene.emulator.set_faults()
    scene.pass_time(601)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


def test_a_failure_that_cost_nothing_is_tried_again(scene: Scene) -> None:
    """The provider's own word that the job failed frees the recording for another attempt."""
    scene.put_known(3)
    scene.emulator.set_faults({"operation": "submit", "action": "job_error", "nth": 1})
    report = scene.run()
    assert report.counts["failed"] == 1
    assert report.failures[0][2] == "provider_server_error"
    assert scene.run().due == 0
    scene.pass_time(61)
    assert scene.run().counts["stored"] == 1
    scene.assert_each_is_paid_once()


def test_attempts_are_counted(scene: Scene) -> None:
    """After three failures the job has failed for good."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "action": "job_error"})
    for _ in range(3):
        assert scene.run().counts["failed"] == 1
        scene.pass_time(3600)
    assert scene.run().due == 0
    assert scene.jobs()["known/000.wav"]["state"] == "failed"
    assert scene.emulator.invoice() == []


def test_a_failure_for_good_is_not_tried_again(scene: Scene) -> None:
    """Where another attempt could not help there is none."""
    scene.put_known(1)
    error = "File does not appear to contain audio. File type is text/plain"
    scene.emulator.set_faults({"operation": "submit", "action": "job_error", "error": error})
    scene.run()
    scene.pass_time(3600)
    assert scene.run().due == 0
    assert scene.jobs()["known/000.wav"]["cause"] == "not_audio"


def test_a_stuck_job_outlives_the_window_and_is_held_at_its_deadline(scene: Scene) -> None:
    """Each run ends in time, the others finish, and a person hears of the stuck one."""
    scene.put_known(3)
    scene.limit(window_s=4.0)
    scene.emulator.set_faults({"operation": "submit", "action": "stuck", "nth": 1})
    report = scene.run()
    assert report.counts["window_ended"] == 1
    assert report.counts["stored"] == 2
    scene.limit(window_s=1.0)
    report = scene.run()
    assert report.counts["resumed"] == report.counts["window_ended"] == 1
    scene.pass_time(12 * 3600)
    report = scene.run()
    assert report.counts["held"] == 1
    assert report.failures[0][2] == "stuck_past_deadline"
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 3


def test_a_job_that_ended_while_nobody_looked_is_not_held(scene: Scene) -> None:
    """After a day off the deadline has passed, and the answer is there."""
    scene.put_known(2)
    scene.emulator.configure(job_s=60.0)
    scene.send(2)
    scene.pass_time(24 * 3600)
    assert scene.run().counts["stored"] == 2
    scene.assert_each_is_paid_once()


def test_an_unknown_job_has_ten_minutes_to_become_known(scene: Scene) -> None:
    """The provider forgets a job: held, but only after the grace, and without a busy loop."""
    scene.put_known(1)
    scene.emulator.configure(job_s=3600.0)
    scene.send()
    scene.limit(window_s=2.0)
    body = {"error": "Transcript lookup error, transcript id not found"}
    rule = {"operation": "get", "action": "status", "status": 400, "body": body}
    scene.emulator.set_faults(rule)
    before = scene.emulator.request_counts().get("get", 0)
    assert scene.run().counts["window_ended"] == 1
    assert scene.emulator.request_counts()["get"] - before == 1
    scene.pass_time(601)
    report = scene.run()
    assert report.counts["held"] == 1
    assert report.failures[0][2] == "job_unknown_to_provider"


def test_more_jobs_than_one_page_shows_are_all_found(scene: Scene) -> None:
    """Fast and slow jobs together, more than the newest page holds, need few requests each."""
    scene.use(concurrency=300)
    scene.emulator.configure(concurrency=300)
    scene.put_known(260)
    report = scene.run()
    assert report.counts["stored"] == 260
    counts = scene.emulator.request_counts()
    assert counts["submit"] == 260
    assert counts["get"] < 2 * 260
    scene.assert_each_is_paid_once()


def test_a_provider_that_stays_away_leaves_its_jobs_to_a_person(scene: Scene) -> None:
    """A look that fails moves nothing, until a day after the first one past the job's deadline."""
    scene.emulator.configure(job_s=10 * DAY_S)
    scene.put_known(1)
    scene.send()
    scene.emulator.set_faults({"action": "status", "status": 503})
    scene.use(patience=Patience(retries=1, retry_wait_s=0.01))
    scene.pass_time(DAY_S)
    scene.run()
    assert set(scene.attempt_states().values()) == {"accepted"}
    scene.pass_time(DAY_S)
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("held", "unreachable_past_deadline")


def test_days_without_a_look_hold_nothing(scene: Scene) -> None:
    """Days after its deadline the first look fails: a finished job is collected all the same."""
    scene.emulator.configure(job_s=DAY_S)
    scene.put_known(1)
    scene.send()
    scene.pass_time(5 * DAY_S)
    scene.emulator.set_faults({"action": "status", "status": 503})
    scene.use(patience=Patience(retries=1, retry_wait_s=0.01))
    scene.run()
    assert set(scene.attempt_states().values()) == {"accepted"}
    scene.emulator.set_faults()
    scene.pass_time(60)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}


def test_another_job_s_answer_is_not_kept(scene: Scene) -> None:
    """A mixed-up answer is read again, and never published under this recording."""
    scene.put(["a.wav"])
    body = {"id": "another", "status": "completed", "text": "not ours", "audio_url": "https://x/y"}
    mixed_up = {"operation": "get", "action": "status", "status": 200, "body": body, "times": 1}
    scene.emulator.set_faults(mixed_up)
    scene.run()
    (job,) = scene.jobs().values()
    assert job["attempt_state"] == "stored"
    kept = json.loads(read_raw(scene.tools, scene.provider, job["raw_key"]))
    assert kept["id"] == job["provider_job_id"]
    assert scene.emulator.request_counts()["get"] == 2
