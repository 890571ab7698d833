"""A deployment and the definitions Dagster would load for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from transcription_pipeline.definitions import build_definitions
from transcription_pipeline.settings import Settings
from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty deployment, in this process's environment too."""
    with open_world(tmp_path, ministack, job_s=0.1, word_count=20, audio_s=6) as opened:
        for name, value in opened.environment.items():
            monkeypatch.setenv(name, value)
        yield opened


@pytest.fixture
def defs(world: World) -> dg.Definitions:
    """What Dagster loads for the deployment."""
    return build_definitions(Settings.load())


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A persistent instance with SQLite below the deployment's folder."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as opened:
        yield opened


@pytest.fixture
def tick(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> Callable[[str], list[tuple[str, str]]]:
    """Evaluate one sensor; return (asset job, partition) of every run it asks for."""

    def evaluate(name: str) -> list[tuple[str, str]]:
        sensor = defs.get_repository_def().get_sensor_def(name)
        with dg.build_sensor_context(
            instance=instance, definitions=defs, resources=defs.resources
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests or []
        return [(str(r.job_name), str(r.partition_key)) for r in requests]

    return evaluate
