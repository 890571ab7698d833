"""Every way the network can fail the one request that costs money, at every paid provider.

What happens and what it must come to is told in ``proof/network.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proof.network import FAULTS, IMPATIENT, play_fault
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.engine.scenes import PAID, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server


@pytest.fixture(scope="module", params=PAID)
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """One running emulator of each paid provider."""
    with run_emulator(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def settings(emulator: EmulatorServer) -> dict[str, Any]:
    """Its settings before any test changed them."""
    told: dict[str, Any] = emulator.control("settings")
    return told


@pytest.mark.parametrize("title", FAULTS)
def test_a_request_that_is_lost_is_paid_once(
    title: str,
    emulator: EmulatorServer,
    settings: dict[str, Any],
    moto: S3Server,
    tmp_path: Path,
) -> None:
    """Taken or not, the end is published once or held, and never a second charge."""
    with open_scene(emulator, settings, moto, tmp_path, patience=IMPATIENT) as scene:
        outcome = play_fault(scene, title, FAULTS[title])
        assert (outcome.lost, outcome.paid_twice) == ([], [])
        assert scene.tools.ledger.count_states()["unaccounted"] == 0
