"""Outages, refused accounts and small budgets over many recordings, at every paid provider.

What happens and what it must come to is told in ``proof/storms.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.network import IMPATIENT
from proof.storms import STORMS, play_storm
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.engine.scenes import PAID, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server

COUNT = 30


@pytest.fixture(scope="module", params=PAID)
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """One running emulator of each paid provider."""
    with run_emulator(request.param) as server:
        yield server


@pytest.mark.parametrize("title", STORMS)
def test_a_storm_risks_little_and_passes(
    title: str, emulator: EmulatorServer, moto: S3Server, tmp_path: Path
) -> None:
    """Few paid requests are risked, nothing is lost or paid twice, and all goes on by itself."""
    with open_scene(emulator, {}, moto, tmp_path, patience=IMPATIENT) as scene:
        outcome = play_storm(scene, title, COUNT)
        assert (outcome.lost, outcome.paid_twice) == ([], [])
