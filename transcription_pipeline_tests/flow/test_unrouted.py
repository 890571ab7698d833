"""Taking a provider out of the routes, as a user does it: ``tp run`` and Dagster see it through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transcription_pipeline.definitions import build_definitions
from transcription_pipeline.settings import Settings
from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, open_world

JOB_S = 3_000.0
KEY = "ASSEMBLYAI_API_KEY"
TOLD = f"{KEY} is not set: what assemblyai was sent waits for it"


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server) -> Iterator[World]:
    """A deployment with one paid job at a provider, which no route names any more."""
    with open_world(tmp_path, ministack, job_s=JOB_S, word_count=20, audio_s=6) as opened:
        opened.put("appointment.flac")
        before = _make_routes("assemblyai")
        while not opened.emulator.request_counts().get("submit"):
            opened.tp("run", TRANSCRIPTION__RUNS__POLL_WINDOW_S="3", TRANSCRIPTION__ROUTES=before)
        opened.emulator.advance(JOB_S)
        opened.put("appointment.flac", "later.flac")
        opened.environment["TRANSCRIPTION__ROUTES"] = _make_routes("local")
        yield opened


def _make_routes(provider: str) -> str:
    return json.dumps([{"match": "**", "providers": [provider]}])


def _execute(world: World, monkeypatch: pytest.MonkeyPatch, provider: str) -> Any:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    job = build_definitions(Settings.load()).resolve_job_def("transcribe")
    (day,) = {row["day"] for row in world.json("jobs")}
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            instance=instance, partition_key=f"{day}|{provider}", raise_on_error=False
        )


def test_a_run_collects_what_was_paid_for(world: World) -> None:
    """The job of before is published; what is new goes to the route's provider alone."""
    counts = world.json("run")["by_provider"]
    assert counts["assemblyai"] == {"published": 1, "failed": 0, "held": 0, "in_progress": 0}
    assert counts["local"]["published"] == 1
    assert len(world.emulator.invoice()) == 1


def test_a_missing_key_is_told_and_hurts_nobody_else(world: World) -> None:
    """Without credentials the run names the variable and what waits; the others go on."""
    told = world.tp("run", code=2, ASSEMBLYAI_API_KEY="")
    assert told.count(KEY) == 1
    assert TOLD in told.replace("\n", " ")
    counts = world.json("status")["by_provider"]
    assert (counts["local"]["published"], counts["assemblyai"]["in_progress"]) == (1, 1)


def test_dagster_collects_what_was_paid_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its credentials reach a provider without a route, too."""
    assert _execute(world, monkeypatch, "assemblyai").success
    assert world.json("status")["by_provider"]["assemblyai"]["published"] == 1


def test_dagster_tells_a_missing_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of that provider fails and names the variable; runs of others are not touched."""
    del world.environment[KEY]
    monkeypatch.delenv(KEY, raising=False)
    failed = _execute(world, monkeypatch, "assemblyai")
    assert not failed.success
    (told,) = {
        e.step_failure_data.user_failure_data.description for e in failed.get_step_failure_events()
    }
    assert told.startswith(TOLD)
    assert _execute(world, monkeypatch, "local").success
