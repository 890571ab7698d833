"""A provider that fails at no cost is followed by the next one of the route, through ``tp run``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, open_world

ROUTES = [{"match": "**", "providers": ["assemblyai"], "fallback": ["local"], "language": "en"}]


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server) -> Iterator[World]:
    """A deployment whose route has a fallback, with one recording in the bucket."""
    with open_world(tmp_path, ministack, job_s=0.1, word_count=5, audio_s=2) as opened:
        opened.environment["TRANSCRIPTION__ROUTES"] = json.dumps(ROUTES)
        opened.put("appointment.flac")
        yield opened


def _states(world: World) -> dict[str, str]:
    return {job["provider"]: job["state"] for job in world.json("jobs")}


def test_a_free_failure_is_taken_over(world: World) -> None:
    """The job that failed stays failed, with its cause; the fallback's transcript is published."""
    error = "File does not appear to contain audio. File type is text/plain"
    world.emulator.set_faults({"operation": "submit", "action": "job_error", "error": error})
    told = world.json("run", code=1)
    assert told["unaccounted"] == 0
    assert _states(world) == {"assemblyai": "failed", "local": "published"}
    assert world.emulator.invoice() == []
    world.json("run", code=1)
    assert world.emulator.request_counts()["submit"] == 1


def test_success_needs_no_fallback(world: World) -> None:
    """Nothing is given to the fallback while the route's own provider delivers."""
    world.json("run")
    assert _states(world) == {"assemblyai": "published"}


def test_a_changed_route_pays_for_nothing_by_itself(world: World) -> None:
    """What failed before a fallback was named stays as it is."""
    world.emulator.set_faults({"operation": "submit", "action": "status", "status": 400})
    without = json.dumps([{**ROUTES[0], "fallback": []}])
    world.json("run", code=1, TRANSCRIPTION__ROUTES=without)
    world.json("run", code=1)
    assert _states(world) == {"assemblyai": "failed"}
