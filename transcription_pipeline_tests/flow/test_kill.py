"""``tp run`` is killed with SIGKILL at random moments and run again; nothing is lost or paid twice."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, make_environment, open_world

KILLS, HITS = 10, 3
"""Runs that are killed, and of them those that must not have ended before."""
SEED = 20261121
PATIENCE_S = 200.0
FILES = ("appointment.flac", "launch.opus", "delivery.wav", "silence.flac", "text.mp3")
OF_THIS_RUN = {
    "provider_job_id",
    "submitted_at",
    "completed_at",
    "collected_at",
    "raw_uri",
    "raw_sha256",
}
"""Columns of transcripts that name this run's instants and the provider's own identifiers."""


def _finish(world: World) -> None:
    """Run until nothing is in progress: an attempt killed while it was sent waits for its proof."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        world.tp("run")
        counts = world.json("status")["by_provider"].values()
        if not any(count["in_progress"] for count in counts):
            return
        time.sleep(2)
    raise AssertionError(world.tp("jobs", "--state", "in_progress"))


def _tables(folder: Path) -> dict[str, bytes]:
    root = folder / "lake" / "tables"
    return {
        str(file.relative_to(root)): file.read_bytes()
        for name in ("segments", "utterances", "words", "insights")
        for file in sorted((root / name).rglob("*.parquet"))
    }


def _transcripts(folder: Path) -> dict[str, object]:
    root = folder / "lake" / "tables" / "transcripts"
    return {
        str(file.relative_to(root)): pq.read_table(file)
        .drop_columns(sorted(OF_THIS_RUN))
        .to_pylist()
        for file in sorted(root.rglob("*.parquet"))
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_random_kills_change_nothing(tmp_path: Path, ministack: S3Server) -> None:
    """After ten kills the tables are those of an undisturbed run and every job is billed once."""
    moments = random.Random(SEED)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    speech = {"job_s": 0.5, "word_count": 40, "audio_s": 10}
    with open_world(calm, ministack, **speech) as undisturbed:
        for file in FILES:
            undisturbed.put(file)
        started_at = time.monotonic()
        undisturbed.tp("run")
        length_s = time.monotonic() - started_at
    with open_world(rough, ministack, **speech) as world:
        world.bucket = undisturbed.bucket
        world.environment = make_environment(
            rough, undisturbed.bucket, ministack.endpoint_url, world.emulator.base_url
        ) | {
            "TRANSCRIPTION__STORAGE__URL_EXPIRES_S": "60",
            "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__SETTLE_S": "1",
        }
        hits = 0
        for _ in range(KILLS):
            process = world.start("run")
            time.sleep(moments.uniform(0.1, 0.6) * length_s)
            process.kill()
            process.communicate()
            hits += process.returncode == -signal.SIGKILL
        assert hits >= HITS
        _finish(world)
        billed = [line["attempt_token"] for line in world.emulator.invoice()]
        assert len(billed) == len(set(billed)) == len(FILES) - 1
        assert _tables(rough) == _tables(calm)
        assert len(_tables(calm)) == 8
        assert _transcripts(rough) == _transcripts(calm)
        assert world.json("status")["unaccounted"] == 0
