"""One emulator for the engine's tests, empty and fast at the start of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server

JOB_S = 0.05


@pytest.fixture(scope="session")
def engine_emulator() -> Iterator[EmulatorServer]:
    """One running emulator."""
    with EmulatorServer("assemblyai", job_s=JOB_S, audio_s=30.0, word_count=40) as server:
        yield server


@pytest.fixture(scope="session")
def engine_settings(engine_emulator: EmulatorServer) -> dict[str, object]:
    """The emulator's settings before any test changed them."""
    settings: dict[str, object] = engine_emulator.control("settings")
    return settings


@pytest.fixture
def emulator(engine_emulator: EmulatorServer, engine_settings: dict[str, object]) -> EmulatorServer:
    """The emulator without jobs, charges or faults."""
    engine_emulator.reset()
    engine_emulator.configure(**engine_settings)
    return engine_emulator


@pytest.fixture
def scene(emulator: EmulatorServer, moto: S3Server, tmp_path: Path) -> Iterator[Scene]:
    """An empty world."""
    scene = Scene.build(emulator, moto, tmp_path)
    yield scene
    scene.tools.ledger.close()
