"""Recordings that cannot be sent any more end with a reason, whatever was tried before."""

from __future__ import annotations

import pytest

from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline_tests.engine.scene import Scene, make_wav

NO_FUNDS = {"action": "status", "operation": "submit", "status": 402}
NOT_FETCHED = {"action": "job_error", "operation": "submit", "error": "Download error, unable"}


def look(scene: Scene, facts: AudioFacts | None = None) -> None:
    """Write what another provider's run finds out about the only recording."""
    (recording_id,) = scene.keys
    reason = None if facts else "source_gone"
    scene.tools.ledger.commit([Probed(recording_id, scene.tools.now(), facts, reason)])


def test_an_archived_recording_is_put_aside_once(scene: Scene) -> None:
    """It is listed and cannot be read before somebody restores it: no run asks for it again."""
    store = scene.tools.audio
    store._client.put_object(
        Bucket=store.bucket, Key="old.wav", Body=make_wav(), StorageClass="GLACIER"
    )
    scene.put(["new.wav"])
    report = scene.run()
    assert (report.counts["stored"], report.counts["quarantined"]) == (1, 1)
    job = scene.jobs()["old.wav"]
    assert (job["state"], job["cause"]) == ("quarantined", "source_archived")
    scene.pass_time(3_600)
    assert scene.run().due == 0


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [(NOT_FETCHED, "failed", None), (NO_FUNDS, "intent", "abandoned")],
    ids=["failed", "unsent"],
)
def test_what_another_run_put_aside_ends(
    scene: Scene, rule: dict[str, object], before: str, after: str | None
) -> None:
    """A job that may be sent (again) fails when the look of another provider finds nothing there."""
    scene.put(["a.wav"])
    scene.emulator.set_faults(rule)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["attempt_state"]) == ("in_progress", before)
    look(scene)
    scene.emulator.set_faults()
    scene.pass_time(3_600)
    assert scene.run().counts["quarantined"] == 1
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"]) == ("failed", "source_gone")
    assert job["attempt_state"] == (after or before)
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 1


def test_what_turns_out_too_short_ends_unsent(scene: Scene) -> None:
    """An attempt that waits for funds is given up when its recording would be rejected."""
    scene.put(["a.wav"])
    scene.emulator.set_faults(NO_FUNDS)
    scene.run()
    look(scene, AudioFacts("wav", "pcm_s16le", 8_000, 1, 100))
    scene.emulator.set_faults()
    scene.pass_time(3_600)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"], job["attempt_state"]) == (
        "failed",
        "too_short",
        "abandoned",
    )
    assert scene.run().due == 0
    assert scene.emulator.request_counts()["submit"] == 1


def test_a_recording_that_is_put_aside_by_its_own_look_stays_so(scene: Scene) -> None:
    """Nothing was tried, so its job is quarantined and not failed."""
    scene.put(["a.wav"])
    scene.tools.audio.delete("a.wav")
    assert scene.run().counts["quarantined"] == 1
    assert scene.jobs()["a.wav"]["state"] == "quarantined"
