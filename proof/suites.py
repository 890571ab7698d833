"""What is proved by tests and has its row in the table: run as they are, at depth where they have one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

REPOSITORY = Path(__file__).parent.parent
TESTS = "transcription_pipeline_tests"


@dataclass(frozen=True)
class Suite:
    """Some tests, and the variables that make them long."""

    files: tuple[str, ...]
    depth: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Tested:
    """What a suite came to."""

    family: str
    tests: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


SUITES: Mapping[str, Suite] = {
    "state machine": Suite(("proof/test_state_machine.py",), {"STATE_MACHINE_EXAMPLES": "100"}),
    "troubles and wrong bodies": Suite(("contract",), {"WRONG_BODIES": "10000"}),
    "second or stale ledger": Suite(("engine/test_claim.py",)),
    "order of syncs": Suite(("proof/test_order_of_syncs.py",)),
    "SIGTERM of a command": Suite(("proof/test_sigterm.py",)),
    "random kills of a command": Suite(("flow/test_kill.py",)),
    "kills under Dagster's daemon": Suite(("flow/test_ui.py",), {"DAEMON_KILLS": "8"}),
    "leak canaries": Suite(("flow/test_leaks.py", "test_log_redaction.py")),
    "forged launches": Suite(("flow/test_webserver.py",)),
}


def run_suite(name: str, *, is_quick: bool = False) -> Tested:
    """Run one suite in a process of its own; a skipped test counts as failed."""
    suite, tested, started_at = SUITES[name], Tested(name), time.monotonic()
    depth = {} if is_quick else suite.depth
    with TemporaryDirectory(prefix="suite-") as folder:
        found = Path(folder) / "tests.xml"
        files = [f"{TESTS}/{file}" for file in suite.files]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "auto", f"--junitxml={found}", *files],
            cwd=REPOSITORY,
            env={**os.environ, "REQUIRE_ALL": "1", **depth},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        for case in ET.parse(found).iter("testcase"):
            tested.tests += 1
            for end in chain(*(case.findall(kind) for kind in ("failure", "error", "skipped"))):
                tested.failed.append(f"{case.get('classname')}::{case.get('name')}")
                print(f"\r{end.text}", file=sys.stderr)  # a story that was drawn is drawn once
    tested.seconds = time.monotonic() - started_at
    return tested
