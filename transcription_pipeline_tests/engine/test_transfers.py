"""Handing audio over: what takes longer than a window lands, what is refused ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline import pipeline
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.base import AudioDelivery
from transcription_pipeline_tests.audio.sample_set import FOLDER
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.engine.scenes import LocalScene, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server

KEYS = [f"{number}.wav" for number in range(5)]


@pytest.fixture
def local(moto: S3Server, tmp_path: Path) -> Iterator[Scene]:
    """An empty world around the recogniser."""
    scene = LocalScene.build(None, moto, tmp_path, spool=tmp_path / "spool")
    yield scene
    scene.tools.ledger.close()


@pytest.fixture(scope="module", params=["aitronos", "assemblyai", "scriptivox"])
def taker(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """One running emulator of each provider that takes files of its own."""
    with run_emulator(request.param) as server:
        yield server


@pytest.fixture
def uploading(taker: EmulatorServer, moto: S3Server, tmp_path: Path) -> Iterator[Scene]:
    """An empty world whose recordings go by upload."""
    settings, how = taker.control("settings"), {"delivery": AudioDelivery.UPLOAD}
    with open_scene(taker, settings, moto, tmp_path, **how) as scene:
        if "stubs" in settings:
            taker.configure(stubs=[])
        yield scene


def test_uploads_that_outlast_the_window_are_made_once(scene: Scene) -> None:
    """Those that are begun land in that run, no further one begins, and the next run does the rest."""
    scene.use(delivery=AudioDelivery.UPLOAD)
    scene.put(KEYS)
    scene.limit(window_s=2.0, lease_s=1.0)
    scene.emulator.set_faults({"operation": "upload", "action": "delay", "seconds": 5.0})
    assert scene.run().counts["window_ended"] == 1
    counts = scene.emulator.request_counts()
    begun = counts["upload"]
    assert 1 <= begun == counts["submit"] < len(KEYS)
    scene.emulator.set_faults()
    scene.limit(window_s=30.0, lease_s=60.0)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    counts = scene.emulator.request_counts()
    assert counts["upload"] == counts["submit"] == len(scene.emulator.invoice()) == len(KEYS)


def test_an_upload_is_cut_by_whoever_stops_the_run(scene: Scene) -> None:
    """Nothing is paid for by then, so nobody waits for it."""
    scene.use(delivery=AudioDelivery.UPLOAD)
    scene.put(KEYS[:1])
    scene.limit(window_s=4.0)
    scene.emulator.set_faults({"operation": "upload", "action": "delay", "seconds": 60.0})

    async def stop() -> None:
        run = asyncio.create_task(scene.transcribe())
        counts = scene.emulator.service.backstage.requests.counts
        while not counts["upload"]:
            assert not run.done()
            await asyncio.sleep(0.01)
        await asyncio.sleep(4.5)  # the window is over by then
        assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(stop())
    assert scene.attempt_states() == {"0.wav": "intent"}
    assert "submit" not in scene.emulator.request_counts()


@pytest.mark.slow
def test_recognition_that_outlasts_the_window_is_kept(local: Scene) -> None:
    """What was begun on this machine is kept, and not done again in the next run."""
    local.tools.audio.put("a.flac", (FOLDER / "appointment.flac").read_bytes())
    pipeline.discover(local.tools)
    window_s = 0.25
    while local.attempt_states() in ({"a.flac": None}, {"a.flac": "intent"}):
        window_s *= 2
        local.limit(window_s=window_s)
        local.run()
    assert local.attempt_states()["a.flac"] in {"accepted", "stored"}
    local.limit(window_s=30.0)
    local.run()
    assert local.attempt_states() == {"a.flac": "stored"}


@pytest.mark.parametrize("becomes", [None, b"another recording"], ids=["deleted", "overwritten"])
def test_what_is_gone_is_not_recognised_for_ever(local: Scene, becomes: bytes | None) -> None:
    """Known and due, but no longer there: it fails with its reason, the first time."""
    local.put_known(1)
    if becomes:
        local.tools.audio.put("known/000.wav", becomes)
    else:
        local.tools.audio.delete("known/000.wav")
    assert local.run().counts["rejected"] == 1
    (job,) = local.jobs().values()
    assert (job["state"], job["cause"]) == ("failed", "source_gone")
    local.pass_time(3_600)
    assert local.run().due == 0


def test_a_file_that_cannot_be_handed_over_fails_after_days(uploading: Scene) -> None:
    """Nobody tries for ever: after three days it has failed, at no cost, and says why."""
    uploading.put(KEYS[:1])
    uploading.emulator.set_faults({"action": "status", "status": 503, "operation": "upload"})
    uploading.run()
    uploading.pass_time(2 * 86_400)
    uploading.run()
    assert uploading.attempt_states() == {KEYS[0]: "intent"}
    uploading.pass_time(86_400)
    assert uploading.run().counts["failed"] == 1
    (job,) = uploading.jobs().values()
    assert (job["state"], job["cause"]) == ("failed", "upload_past_deadline")
    assert (job["attempt_state"], uploading.emulator.invoice()) == ("abandoned", [])
    assert "503" in job["detail"]


def test_days_without_a_try_are_no_failures(uploading: Scene) -> None:
    """What waited at a closed gate for days is not given up at the first upload that fails."""
    uploading.put(KEYS[:1])
    uploading.emulator.set_faults({"action": "status", "status": 402, "operation": "upload"})
    uploading.run()
    assert uploading.attempt_states() == {KEYS[0]: "intent"}
    uploading.pass_time(5 * 86_400)
    uploading.emulator.set_faults({"action": "status", "status": 503, "operation": "upload"})
    uploading.run()
    assert uploading.attempt_states() == {KEYS[0]: "intent"}
    uploading.emulator.set_faults()
    uploading.pass_time(3_600)
    assert uploading.run().counts["stored"] == 1


def test_a_file_that_is_refused_is_sent_once(uploading: Scene) -> None:
    """Its job fails with what the provider said, at no cost; the others go on."""
    uploading.put(KEYS[:3])
    body = {"error": "File is too large https://secret.invalid/?sig=1"}
    rule = {"action": "status", "status": 413, "body": body, "operation": "upload", "nth": 1}
    uploading.emulator.set_faults(rule)
    report = uploading.run()
    assert (report.counts["failed"], report.counts["stored"]) == (1, 2)
    (job,) = [job for job in uploading.jobs().values() if job["state"] == "failed"]
    assert (job["cause"], job["attempt_state"]) == ("upload_rejected", "abandoned")
    assert "413" in job["detail"]
    assert "secret" not in job["detail"]
    uploading.pass_time(3_600)
    assert uploading.run().due == 0
    assert uploading.emulator.request_counts()["upload"] == 3
    assert len(uploading.emulator.invoice()) == 2


def test_an_upload_without_funds_closes_the_gate(uploading: Scene) -> None:
    """As a submit would: the recordings wait unsent, and go on with the account."""
    uploading.put(KEYS)
    uploading.emulator.set_faults({"action": "status", "status": 402, "operation": "upload"})
    assert uploading.run().counts["gated"] == len(KEYS)
    name, now = uploading.provider, uploading.tools.now()
    assert uploading.tools.ledger.find_gate(name, now) == "funds"
    assert uploading.emulator.request_counts()["upload"] <= 3
    uploading.emulator.set_faults()
    uploading.pass_time(601)
    assert uploading.run().counts["stored"] == len(KEYS)
    assert len(uploading.emulator.invoice()) == len(KEYS)
