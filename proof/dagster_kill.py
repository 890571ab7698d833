"""Runs killed under Dagster's own daemon: the run's worker, and what it leaves behind it.

The sensors, the queue and the launcher are the real ones of ``tp ui``. A run is killed as soon as the
provider has charged for its recording; Dagster's next run has to find the job there.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proof.verdict import Outcome
from transcription_pipeline_tests.flow.serving import Served, serve

FAMILY, PROVIDER = "kill under Dagster", "assemblyai"
_RUN, _STEP = b"execute_run", b"spawn_main"
"""In the command lines of a run's worker, and of the step's process that it starts."""
VICTIMS = {"the run's worker": (_RUN,), "the step's process": (_STEP,), "both": (_RUN, _STEP)}
_NOTICE_S = 180.0
_AGAIN_S = 900.0
"""A failed run's partition rests for five minutes."""


def kill_runs(folder: Path, marks: tuple[bytes, ...]) -> int:
    """Kill the processes of runs that work in ``folder``; returns how many there were."""
    killed = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            is_here = process.name.isdigit() and (process / "cwd").readlink() == folder
            command = (process / "cmdline").read_bytes() if is_here else b""
            if any(mark in command for mark in marks):
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed


def read_submits(served: Served) -> int:
    """Return how many paid requests the provider has seen."""
    with urllib.request.urlopen(f"{served.emulator_url}/_control/requests", timeout=5) as answer:
        counts: dict[str, int] = json.loads(answer.read())["counts"]
    return counts.get("submit", 0)


def read_invoice(served: Served) -> list[dict[str, Any]]:
    """Return the lines of the provider's invoice."""
    with urllib.request.urlopen(f"{served.emulator_url}/_control/invoice", timeout=5) as answer:
        lines: list[dict[str, Any]] = json.loads(answer.read())["lines"]
    return lines


def play_kills() -> Iterator[Outcome]:
    """Kill each kind of process once."""
    for title, marks in VICTIMS.items():
        outcome, started_at = Outcome(FAMILY, PROVIDER, title), time.monotonic()
        with (
            TemporaryDirectory(prefix="dagster-") as folder,
            serve(Path(folder), [{"match": "**", "providers": [PROVIDER]}]) as served,
        ):
            served.drop("appointment.flac", "calls/killed.flac")
            _wait_for_submit(served)
            if not kill_runs(Path(folder), marks):
                outcome.lost.append("no process was killed: this scenario shows nothing")
            try:
                served.wait(lambda: served.is_published(1), _AGAIN_S)
            except AssertionError:
                outcome.lost.append("not published again")
            charges = len(read_invoice(served))
            if charges > 1:
                outcome.paid_twice.append(f"{charges} charges")
        outcome.seconds = time.monotonic() - started_at
        yield outcome


def _wait_for_submit(served: Served) -> None:
    give_up_at = time.monotonic() + _NOTICE_S
    while not read_submits(served):
        if time.monotonic() > give_up_at:
            raise TimeoutError("no run sent anything")
        time.sleep(0.05)
