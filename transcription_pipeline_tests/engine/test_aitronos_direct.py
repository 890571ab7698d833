"""Aitronos's multipart form through the engine: paid once, durable before it counts, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from transcription_pipeline import decisions
from transcription_pipeline.domain.route import Route
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.aitronos_direct import AitronosDirectProvider
from transcription_pipeline.providers.aitronos_options import make_headers
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server


class DirectScene(Scene):
    """One small world around an emulated Aitronos that takes files."""

    provider: ClassVar[str] = "aitronos"

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of clients that keep to no rate."""
        told = {"requests_per_s": 2_000.0, "concurrency": 50, "answer_s": 5.0, **arguments}
        told |= {"headers": make_headers("engine-key", "api_key"), "base_url": base_url}
        return lambda: AitronosDirectProvider(**told, patience=Patience(retry_wait_s=0.01))


@pytest.fixture
def scene(moto: S3Server, tmp_path: Path) -> Iterator[DirectScene]:
    """An empty world around a new emulator, with a spool beside the ledger."""
    with EmulatorServer(
        "aitronos", form="multipart", job_s=0.05, audio_s=30.0, word_count=40
    ) as server:
        scene = DirectScene.build(server, moto, tmp_path, spool=tmp_path / "spool")
        assert isinstance(scene, DirectScene)
        route = Route(match="**", providers=("aitronos",), options={"language": "en"})
        scene.tools = replace(scene.tools, routes=(route,))
        yield scene
        scene.tools.ledger.close()


def test_every_recording_is_stored_published_and_paid_once(scene: DirectScene) -> None:
    """Six recordings go from the bucket to the tables."""
    scene.put([f"calls/{number:02}.wav" for number in range(6)])
    report = scene.run()
    assert report.counts["stored"] == 6, report.failures
    assert scene.write().published == 6
    assert set(scene.attempt_states().values()) == {"published"}
    assert {job["currency"] for job in scene.jobs().values()} == {"SYNAPSES"}
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize("action", ["drop_after", "reset", "truncate", "garbage", "html"])
def test_a_lost_answer_is_held_and_never_asked_for_again(scene: DirectScene, action: str) -> None:
    """Nobody can be asked what became of it, so it is left to a person, who is told where to look."""
    scene.put(["a.wav", "b.wav"])
    scene.emulator.set_faults({"action": action, "operation": "submit", "nth": 1})
    report = scene.run()
    assert (report.counts["stored"], report.counts["ambiguous"]) == (1, 1)
    scene.pass_time(120)
    scene.run()
    held = [job for job in scene.jobs().values() if job["attempt_state"] == "held"]
    assert [job["cause"] for job in held] == ["maybe_charged_check_synapse_transactions"]
    scene.pass_time(24 * 3600)
    assert scene.run().due == 0
    assert scene.emulator.request_counts() == {"submit": 2}


def test_a_name_that_no_answer_can_have_is_one_jobs_trouble(scene: DirectScene) -> None:
    """A person named a job that cannot be: others go on, and a person is asked again."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    scene.run()
    scene.pass_time(120)
    scene.run()
    attempt_id = scene.jobs()["a.wav"]["attempt_id"]
    decisions.resolve(scene.tools, attempt_id, provider_job_id="../odd text", by="ada")
    scene.put(["b.wav"], seconds=2.0)
    assert scene.run().counts["stored"] == 1
    assert scene.attempt_states() == {"a.wav": "accepted", "b.wav": "stored"}
    scene.pass_time(7 * 24 * 3600)
    scene.run()
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"]) == ("held", "unreadable_past_deadline")
    assert "not an attempt id: '../odd text'" in job["detail"]


@pytest.mark.parametrize("forgets", [False, True], ids=["accepted", "sending"])
def test_words_survive_a_lake_that_is_away(
    scene: DirectScene, tmp_path: Path, forgets: bool
) -> None:
    """Between answer and lake the words are in the spool: a later run stores them, unpaid.

    So they are where the ledger never heard of the answer: it is looked for there first.
    """
    place = tmp_path / "lake" / "raw"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"no folder")
    scene.put(["a.wav"])
    scene.run()
    assert scene.attempt_states() == {"a.wav": "accepted"}
    if forgets:
        with scene.tools.ledger._write() as connection:
            connection.exec_driver_sql(
                "UPDATE attempts SET state = 'sending', provider_job_id = NULL, accepted_at = NULL"
            )
            connection.exec_driver_sql("DELETE FROM evidence")
    place.unlink()
    scene.pass_time(3_600)
    assert scene.run().counts["stored"] == 1
    assert scene.emulator.request_counts() == {"submit": 1}
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize("becomes", [None, b"another recording"], ids=["deleted", "overwritten"])
def test_what_is_gone_is_not_asked_for_for_ever(scene: DirectScene, becomes: bytes | None) -> None:
    """Nothing is left to send: its job fails with the reason, unsent, and the others go on."""
    scene.put(["a.wav", "b.wav"])
    scene.emulator.set_faults({"action": "status", "operation": "submit", "status": 402})
    scene.run()
    scene.emulator.set_faults()
    if becomes:
        scene.tools.audio.put("a.wav", becomes)
    else:
        scene.tools.audio.delete("a.wav")
    scene.pass_time(3_600)
    scene.run()
    jobs = scene.jobs()
    assert (jobs["a.wav"]["state"], jobs["a.wav"]["cause"]) == ("failed", "source_gone")
    assert jobs["b.wav"]["attempt_state"] == "stored"
    scene.pass_time(3_600)
    assert scene.run().due == 0
    assert len(scene.emulator.invoice()) == 1
