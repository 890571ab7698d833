"""Everything that can go wrong with the one request that costs money."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from transcription_pipeline.engine import handing_over
from transcription_pipeline_tests.engine.scene import PROOF_S, Scene, make_wav, wait_for_submits

TAKEN: dict[str, dict[str, Any]] = {
    "502 after acceptance": {"action": "status", "status": 502, "act": True},
    "503 after acceptance": {"action": "status", "status": 503, "act": True},
    "silence": {"action": "hang", "seconds": 0.2},
    "reset": {"action": "reset", "act": True},
    "closed without an answer": {"action": "drop_after"},
    "half a header": {"action": "half_headers"},
    "truncated": {"action": "truncate"},
    "garbage": {"action": "garbage"},
    "a web page": {"action": "html", "act": True},
    "a redirect": {"action": "redirect", "act": True},
}
"""The provider took the job, and its answer does not say so."""
NOT_TAKEN: dict[str, dict[str, Any]] = {
    "503": {"action": "status", "status": 503},
    "closed at once": {"action": "drop_before"},
    "reset": {"action": "reset", "act": False},
    "a redirect": {"action": "redirect"},
}
"""The provider did not take the job, and nobody can tell from the answer."""


@pytest.mark.parametrize("fault", TAKEN.values(), ids=TAKEN.keys())
def test_a_job_whose_answer_was_lost_is_found_and_not_sent_again(
    scene: Scene, fault: dict[str, Any]
) -> None:
    """One of four answers is lost: the attempt waits in doubt and is found in the list later."""
    scene.put_known(4)
    scene.emulator.set_faults({"operation": "submit", "nth": 2, **fault})
    report = scene.run()
    assert report.counts["ambiguous"] == 1
    assert report.counts["stored"] == 3
    assert sorted(scene.attempt_states().values()) == ["ambiguous", *["stored"] * 3]
    assert scene.run().due == 0  # doubts are looked at when they are due, not before
    scene.pass_time(31)
    report = scene.run()
    assert report.counts["resumed"] == report.counts["stored"] == 1
    scene.pass_time(PROOF_S)
    assert scene.run().due == 0
    scene.assert_each_is_paid_once()
    assert scene.emulator.request_counts()["submit"] == 4


@pytest.mark.parametrize("fault", NOT_TAKEN.values(), ids=NOT_TAKEN.keys())
def test_a_job_that_never_arrived_is_sent_again_once_that_is_proved(
    scene: Scene, fault: dict[str, Any]
) -> None:
    """Only after its URL has died and the list has settled does a second attempt exist."""
    scene.put_known(4)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, **fault})
    scene.run()
    scene.pass_time(31)
    report = scene.run()
    assert report.counts["ambiguous"] == 1
    assert scene.emulator.request_counts()["submit"] == 4
    scene.pass_time(PROOF_S)
    report = scene.run()
    assert report.counts["never_arrived"] == report.counts["stored"] == 1
    assert max(row["attempt_count"] for row in scene.jobs().values()) == 2
    scene.assert_each_is_paid_once()


def test_a_doubt_of_another_region_is_never_proved_here(scene: Scene) -> None:
    """The list of one region says nothing about the other: a person has to look there."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_before"})
    scene.run()
    scene.use(region="eu")
    scene.pass_time(PROOF_S)
    assert scene.run().counts["held"] == 1
    (job,) = scene.jobs().values()
    assert job["cause"] == "sent_in_another_region"
    assert scene.emulator.request_counts()["submit"] == 1


def test_a_doubt_that_cannot_be_looked_into_ends(scene: Scene) -> None:
    """A list that nobody can read is asked for days, and then a person is."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.emulator.set_faults({"operation": "list", "action": "html"})
    for _ in range(3):
        scene.pass_time(24 * 3600)
        scene.run()
        assert scene.attempt_states() == {"known/000.wav": "ambiguous"}
    scene.pass_time(24 * 3600)
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("held", "unreadable_past_deadline")
    assert scene.emulator.request_counts()["submit"] == 1


def test_a_doubt_that_nobody_looked_into_for_days_is_cleared_up(scene: Scene) -> None:
    """The first look fails, long after everything: the next one finds the job."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.pass_time(6 * 24 * 3600)
    scene.emulator.set_faults({"operation": "list", "action": "html"})
    scene.run()
    assert scene.attempt_states() == {"known/000.wav": "ambiguous"}
    scene.emulator.set_faults()
    scene.pass_time(600)
    scene.run()
    assert scene.attempt_states() == {"known/000.wav": "stored"}
    scene.assert_each_is_paid_once()


def test_what_never_arrives_is_not_sent_for_ever(scene: Scene) -> None:
    """After as many proofs as there may be attempts the job fails, unpaid, and says why."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "action": "drop_before"})
    for _ in range(8):
        scene.run()
        scene.pass_time(PROOF_S)
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("failed", "not_listed_after_expiry")
    assert scene.emulator.request_counts()["submit"] == job["attempt_count"] == 3
    assert scene.emulator.invoice() == []


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["with a time", "without"])
def test_too_many_requests_are_patience_not_doubt(scene: Scene, headers: dict[str, str]) -> None:
    """The same attempt is sent again within the run."""
    scene.put_known(4)
    rule = {"action": "status", "status": 429, "operation": "submit", "headers": headers}
    scene.emulator.set_faults(rule | {"times": 1})
    report = scene.run()
    assert report.counts["stored"] == 4
    assert report.counts["not_sent"] == 1
    assert {row["attempt_count"] for row in scene.jobs().values()} == {1}
    scene.assert_each_is_paid_once()


def test_a_long_wait_is_a_due_instant_and_not_a_sleep(scene: Scene) -> None:
    """``Retry-After: 900`` postpones the job instead of keeping the run."""
    scene.put_known(1)
    rule = {"action": "status", "status": 429, "headers": {"Retry-After": "900"}}
    scene.emulator.set_faults({"operation": "submit", "times": 1, **rule})
    report = scene.run()
    assert report.counts["postponed"] == 1
    assert scene.run().due == 0
    scene.pass_time(901)
    assert scene.run().counts["stored"] == 1
    scene.assert_each_is_paid_once()


def test_a_refused_request_fails_its_recording_alone(scene: Scene) -> None:
    """HTTP 400 is the provider's last word on one recording."""
    scene.put_known(4)
    body = {"error": "audio_url is not allowed https://secret.invalid/?sig=1"}
    scene.emulator.set_faults(
        {"action": "status", "status": 400, "body": body, "operation": "submit", "nth": 1}
    )
    report = scene.run()
    assert report.counts["rejected"] == 1
    assert report.counts["stored"] == 3
    failed = [row for row in scene.jobs().values() if row["state"] == "failed"]
    assert [row["cause"] for row in failed] == ["request_rejected"]
    assert "secret" not in failed[0]["detail"]


def test_an_unreachable_provider_puts_nothing_into_doubt(scene: Scene) -> None:
    """Where no connection comes about nothing was sent: the attempt stays what it was."""
    scene.put_known(1)
    scene.limit(window_s=4.0)
    scene.use(base_url="http://127.0.0.1:9")
    report = scene.run()
    assert report.counts["not_sent"] >= 1
    assert scene.attempt_states() == {"known/000.wav": "intent"}
    scene.use()
    assert scene.run().counts["stored"] == 1
    scene.assert_each_is_paid_once()


def test_a_job_that_is_another_recording_s_is_held(scene: Scene) -> None:
    """A provider that gives two requests one id fills no table with another call's words."""
    scene.put_known(1)
    scene.run()
    (first,) = scene.jobs().values()
    scene.put(["b.wav"])
    body = json.dumps({"id": first["provider_job_id"], "status": "queued", "audio_url": "x"})
    rule = {"operation": "submit", "action": "status", "status": 200, "body": body}
    scene.emulator.set_faults(rule)
    scene.run()
    scene.pass_time(31)
    assert scene.run().counts["held"] == 1
    job = scene.jobs()["b.wav"]
    assert (job["state"], job["cause"]) == ("held", "job_of_another_attempt")
    assert first["attempt_id"] in job["detail"]


@pytest.mark.parametrize("becomes", [None, b"another recording"], ids=["deleted", "overwritten"])
def test_another_version_is_not_sent_in_place_of_the_one_that_was_looked_into(
    scene: Scene, becomes: bytes | None
) -> None:
    """A signed URL cannot name a version: what became of the first one fails, unpaid."""
    scene.put_known(2)
    if becomes:
        scene.tools.audio.put("known/000.wav", becomes)
    else:
        scene.tools.audio.delete("known/000.wav")
    scene.run()
    jobs = scene.jobs()
    assert (jobs["known/000.wav"]["state"], jobs["known/000.wav"]["cause"]) == (
        "failed",
        "source_gone",
    )
    assert jobs["known/001.wav"]["attempt_state"] == "stored"
    assert len(scene.emulator.invoice()) == 1


def test_a_version_that_changes_while_it_waits_its_turn_is_not_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL delivers what lies there now: what was looked into a while ago is made sure of again."""
    monkeypatch.setattr(handing_over, "JUST_SEEN_S", 0.1)
    scene.use(concurrency=1)  # two at the provider, the third waits
    scene.emulator.configure(job_s=1.0)
    scene.put(["a.wav", "b.wav", "c.wav"])

    async def overwrite() -> str:
        run = asyncio.create_task(scene.transcribe())
        await wait_for_submits(scene, 2)
        await asyncio.sleep(0.2)
        states = await asyncio.to_thread(scene.attempt_states)
        (waiting,) = [key for key in scene.keys.values() if states.get(key) in (None, "intent")]
        await asyncio.to_thread(scene.tools.audio.put, waiting, make_wav(5.0))
        await run
        return waiting

    overwritten = asyncio.run(overwrite())
    job = scene.jobs()[overwritten]
    assert (job["state"], job["cause"]) == ("failed", "source_gone")
    assert len(scene.emulator.invoice()) == 2


def test_another_account_s_list_proves_nothing(scene: Scene) -> None:
    """Its list is its own: what was sent with another key is left to a person, and never sent again."""
    scene.put_known(1)
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_after"})
    scene.run()
    scene.use(api_key="another-account")
    scene.pass_time(60)
    scene.run()
    assert scene.attempt_states() == {"known/000.wav": "ambiguous"}
    scene.pass_time(PROOF_S)
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("held", "sent_with_another_key")
    assert scene.emulator.request_counts()["submit"] == len(scene.emulator.invoice()) == 1
