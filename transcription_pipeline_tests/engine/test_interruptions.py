"""Whatever ends a run, what was paid is known and nothing is paid again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import LeaseLost
from transcription_pipeline.storage.layout import make_raw_key, make_table_key
from transcription_pipeline_tests.engine.scene import (
    PROOF_S,
    PROVIDER,
    Scene,
    wait_for_submits,
)
from transcription_pipeline_tests.s3_servers import S3Server

KEYS = [f"{number:02}.wav" for number in range(30)]
TABLES = ("words", "segments", "utterances")


def test_the_end_of_the_window_waits_for_paid_requests(scene: Scene) -> None:
    """Requests on the wire when the window ends are answered and recorded, none is in doubt."""
    scene.put_known(3)
    scene.limit(window_s=4.0)
    scene.emulator.set_faults({"operation": "submit", "action": "delay", "seconds": 5.0})
    report = scene.run()
    assert report.counts["window_ended"] == 1
    assert report.counts["accepted"] == 3
    assert set(scene.attempt_states().values()) == {"accepted"}
    scene.emulator.set_faults()
    scene.limit(window_s=30.0)
    assert scene.run().counts["stored"] == 3
    scene.assert_each_is_paid_once()


def test_cancelling_twice_does_not_lose_a_paid_request(scene: Scene) -> None:
    """An impatient stop waits until what is on the wire has been recorded."""
    scene.put(KEYS[:3])
    scene.emulator.set_faults({"operation": "submit", "action": "delay", "seconds": 1.0})

    async def stop_twice() -> None:
        run = asyncio.create_task(scene.transcribe())
        await wait_for_submits(scene, 3)
        run.cancel()
        await asyncio.sleep(0.1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(stop_twice())
    assert set(scene.attempt_states().values()) == {"accepted"}
    scene.emulator.set_faults()
    assert scene.run().counts["stored"] == 3
    scene.assert_each_is_paid_once()


def test_a_worker_that_lost_its_lease_stops_and_keeps_what_it_saw(scene: Scene) -> None:
    """A zombie's decisions are refused; what it learned of a paid request is found as evidence."""
    scene.put(KEYS[:3])
    scene.emulator.set_faults({"operation": "submit", "action": "delay", "seconds": 0.5})

    async def be_overtaken() -> None:
        run = asyncio.create_task(scene.transcribe())
        await wait_for_submits(scene, 3)
        later = scene.tools.now() + timedelta(hours=1)
        lease = scene.tools.ledger.acquire_lease(
            scene.day, PROVIDER, "another", at=later, ttl_s=1.0
        )
        assert lease is not None
        with pytest.raises(LeaseLost):
            await run

    asyncio.run(be_overtaken())
    assert set(scene.attempt_states().values()) == {"sending"}
    scene.emulator.set_faults()
    scene.pass_time(3700)
    before = scene.emulator.request_counts().get("list", 0)
    report = scene.run()
    assert report.counts["stored"] == 3
    assert scene.emulator.request_counts().get("list", 0) == before
    scene.assert_each_is_paid_once()


def test_an_answer_that_another_worker_kept_is_adopted(scene: Scene) -> None:
    """Two looks may give different bytes; those that are there stay, and the digest is theirs."""
    scene.put_known(1)
    (job,) = scene.jobs().values()
    attempt_id, kept = make_attempt_id(job["job_id"], 1), b'{"kept": "first"}'
    key = make_raw_key(PROVIDER, job["recording_id"], attempt_id)
    scene.tools.lake.put(key, zstandard.compress(kept))
    scene.run()
    (job,) = scene.jobs().values()
    assert (job["attempt_state"], job["raw_sha256"]) == ("stored", sha256(kept).hexdigest())
    assert zstandard.decompress(scene.tools.lake.get(key)) == kept


@pytest.mark.slow
@pytest.mark.parametrize("stored_first", [0, 12])
def test_a_killed_run_pays_nothing_twice_and_gives_the_same_tables(
    emulator: EmulatorServer, moto: S3Server, tmp_path: Path, stored_first: int
) -> None:
    """SIGKILL in mid-run, run again: one charge each, and tables equal byte for byte."""
    tables, bucket = [], moto.create_bucket()
    for name, is_disturbed in (("calm", False), ("killed", True)):
        emulator.reset()
        emulator.configure(job_s=0.4)
        folder = tmp_path / name
        folder.mkdir()
        scene = Scene.build(emulator, moto, folder, bucket=bucket, concurrency=12)
        scene.put(KEYS)
        if is_disturbed:
            kill_a_run(scene, folder, stored_first)
            scene.pass_time(120)  # the dead worker's lease lapses, doubts become due
        scene.run()
        scene.pass_time(PROOF_S)
        scene.run()
        scene.assert_each_is_paid_once()
        assert scene.write().published == len(KEYS)
        lake = scene.tools.lake
        tables.append([lake.get(make_table_key(t, scene.day, PROVIDER)) for t in TABLES])
        scene.tools.ledger.close()
    assert tables[0] == tables[1]


def kill_a_run(scene: Scene, folder: Path, stored_first: int) -> None:
    """Start a worker process on the scene's partition and kill it in the middle."""
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "transcription_pipeline_tests.engine.worker",
            scene.emulator.base_url,
            scene.tools.audio._client.meta.endpoint_url,
            scene.tools.audio.bucket,
            str(folder),
            str(scene.offset_s),
        ],
        env={**os.environ},
    )
    give_up_at = time.monotonic() + 60
    counts = scene.emulator.service.backstage.requests.counts
    while counts["submit"] < 8 or len(list(folder.rglob("*.zst"))) < stored_first:
        assert worker.poll() is None, "the worker ended before it could be killed"
        assert time.monotonic() < give_up_at
        time.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
