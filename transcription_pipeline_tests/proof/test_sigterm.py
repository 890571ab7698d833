"""``tp run`` is asked to end while a paid request is on the wire."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import open_world


@pytest.mark.slow
@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN])
def test_sigterm_waits_for_the_paid_answer(
    tmp_path: Path, ministack: S3Server, interrupts: Any
) -> None:
    """As a service is stopped: the answer is recorded, the exit code is ours, nothing is in doubt.

    So it is for what a shell started in the background, with interrupts ignored.
    """
    routes = '[{"match": "**", "providers": ["assemblyai"]}]'
    with open_world(tmp_path, ministack) as world:
        world.environment["TRANSCRIPTION__ROUTES"] = routes
        world.put("delivery.wav")
        world.emulator.set_faults({"operation": "submit", "action": "delay", "seconds": 2.0})
        inherited = signal.signal(signal.SIGINT, interrupts)
        try:
            process = world.start("run")
        finally:
            signal.signal(signal.SIGINT, inherited)
        while not world.emulator.service.backstage.requests.counts["submit"]:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "nothing is lost" in complaints
        (job,) = world.json("jobs")
        assert job["attempt_state"] == "accepted"
