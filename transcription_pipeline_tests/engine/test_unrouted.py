"""A provider that was taken out of the routes: what it has is seen through, and no more is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from transcription_pipeline import pipeline
from transcription_pipeline.domain.route import Route
from transcription_pipeline_tests.engine.scene import PROOF_S, Scene

JOB_S = 300.0
"""By the emulator's clock, which only a test moves so far."""


def take_out_of_routes(scene: Scene) -> None:
    """Send what is new elsewhere from now on."""
    scene.tools = replace(scene.tools, routes=(Route("**", ("local",)),))


def count_submits(scene: Scene) -> int:
    """Return how many paid requests have come in."""
    return scene.emulator.request_counts().get("submit", 0)


def start(scene: Scene, job_s: float = JOB_S) -> None:
    """Leave one recording at the provider, discover another, and change the routes."""
    scene.emulator.configure(job_s=job_s)
    scene.limit(window_s=2.0)
    scene.put(["sent.wav"])
    while scene.attempt_states() != {"sent.wav": "accepted"}:
        scene.run()
    scene.put(["unsent.wav"], seconds=2.0)
    take_out_of_routes(scene)


def test_what_was_sent_is_seen_through_and_no_more_is(scene: Scene) -> None:
    """The job that was paid for is collected and published; the other one waits for a route."""
    start(scene)
    scene.pass_time(JOB_S)
    (partition,) = pipeline.list_due(scene.tools)
    assert (partition.due_count, partition.sent_count) == (2, 1)
    report = scene.run()
    assert (report.counts["stored"], report.counts["gated"]) == (1, 1)
    assert scene.write().published == 1
    assert pipeline.list_due(scene.tools) == []
    assert scene.run().due == 0
    unsent = scene.jobs()["unsent.wav"]
    assert (unsent["state"], unsent["attempt_state"]) == ("in_progress", None)
    assert count_submits(scene) == 1


def test_its_deadline_is_enforced(scene: Scene) -> None:
    """A job that never ends is held when its time is over, as under any route."""
    start(scene, job_s=JOB_S * 10_000)
    deadline = datetime.fromisoformat(scene.jobs()["sent.wav"]["attempt_deadline_at"])
    scene.pass_time((deadline - scene.tools.now()).total_seconds() + 1)
    scene.run()
    assert scene.jobs()["sent.wav"]["cause"] == "stuck_past_deadline"


@pytest.mark.parametrize("arrived", [True, False])
def test_a_doubt_is_cleared_up(scene: Scene, arrived: bool) -> None:
    """What became a job is collected; what is proved never to have arrived is not sent again."""
    scene.put(["sent.wav"])
    action = "drop_after" if arrived else "drop_before"
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": action})
    scene.run()
    assert scene.attempt_states() == {"sent.wav": "ambiguous"}
    take_out_of_routes(scene)
    scene.pass_time(PROOF_S)
    scene.run()
    assert scene.attempt_states() == {"sent.wav": "stored" if arrived else "abandoned"}
    assert scene.jobs()["sent.wav"]["state"] == "in_progress"
    assert len(pipeline.list_due(scene.tools)) == arrived
    scene.write()
    assert pipeline.list_due(scene.tools) == []
    assert len(scene.emulator.invoice()) == arrived


def test_the_rest_goes_on_under_a_new_route(scene: Scene) -> None:
    """What waited is sent as soon as a route names the provider again."""
    start(scene)
    scene.pass_time(JOB_S)
    routes = scene.tools.routes
    scene.run()
    scene.emulator.configure(job_s=0.05)
    scene.tools = replace(scene.tools, routes=(*routes, Route("nothing", (scene.provider,))))
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()
