"""What a killed process left half-written holds speech, and does not stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline.storage.staging import STALE_AFTER_S
from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server) -> Iterator[World]:
    """A deployment with one recording, and a temporary folder of its own."""
    with open_world(tmp_path, ministack, job_s=0.1, word_count=20, audio_s=6) as opened:
        opened.put("appointment.flac")
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        opened.environment["TMPDIR"] = str(temporary)
        yield opened


def leave(path: Path, age_s: float) -> Path:
    """Leave a file that was touched so long ago, in a folder that was before that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"what was said")
    now = time.time()
    os.utime(path, (now - age_s, now - age_s))
    os.utime(path.parent, (now - OLD_S, now - OLD_S))
    return path


OLD_S, YOUNG_S = STALE_AFTER_S + 60, STALE_AFTER_S - 3_600


@pytest.mark.parametrize("lake_is_folder", [True, False])
def test_the_next_run_removes_what_is_a_day_old(world: World, lake_is_folder: bool) -> None:
    """Left-over tables and answers go; what a living worker may still write stays, and strangers'."""
    place = world.folder / "temporary"
    lake = {"TRANSCRIPTION__STORAGE__LAKE": f"s3://{world.s3.create_bucket()}/lake/"}
    if lake_is_folder:
        place, lake = world.folder / "lake" / ".staging", {}
    named = "transcription-staging-"
    gone = [leave(place / f"{named}a" / "words.parquet", OLD_S)]
    kept = [leave(place / f"{named}b" / "words.parquet", YOUNG_S)]
    if lake_is_folder:
        gone.append(leave(place / "0123456789abcdef", OLD_S))
        kept += [leave(place / "fedcba9876543210", YOUNG_S), leave(place / "lock", OLD_S)]
    else:
        kept.append(leave(place / "somebody-elses" / "notes", OLD_S))
    world.tp("run", **lake)
    assert world.json("status", **lake)["by_provider"]["assemblyai"]["published"] == 1
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    left = {path.name for path in place.iterdir() if path.name.startswith(named)}
    assert left == {f"{named}b"}, "what the run itself made is gone"
