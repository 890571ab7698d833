"""Nothing secret and nothing said reaches a log, the ledger or Dagster, on good paths and bad."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from transcription_pipeline.definitions import build_definitions
from transcription_pipeline.defs.driving import drive_until_quiet
from transcription_pipeline.settings import Settings
from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import SECRET, World, open_world

SPOKEN = ("see the doctor", "open time after breakfast")
"""What the sample's speakers say, as the recogniser hears it."""
SIGNED = ("X-Amz-Signature", "X-Amz-Credential", "x-tp-attempt=")
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "doubtful.flac": (
        {"operation": "submit", "action": "status", "status": 502, "act": True, "times": 1},
        {"operation": "list", "action": "drop_after", "times": 1},
    ),
    "odd.flac": ({"operation": "get", "action": "html", "times": 1},),
    "refused.flac": ({"operation": "submit", "action": "status", "status": 401, "times": 1},),
}
"""What arrives, and what befalls requests for it; the doubtful one is looked for in the list."""
PATIENCE_S = 120.0
"""A doubt is looked into half a minute after it arose."""


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment whose emulator really recognises what it fetches."""
    with open_world(tmp_path, ministack, speech="recognised", workers=1) as opened:
        opened.environment |= {
            "TRANSCRIPTION__STORAGE__URL_EXPIRES_S": "60",
            "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__SETTLE_S": "1",
        }
        for name, value in opened.environment.items():
            monkeypatch.setenv(name, value)
        yield opened


class _StruckError(Exception):
    """The faults have befallen the runs that ended."""


def _strike(world: World, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Let the faults of one recording after the other strike, and drive on until it is quiet.

    Behind the gate that the last one closes it never is: what waits there stays due.
    """

    def stop_when_struck(_run: dict[str, object]) -> None:
        if all(rule["struck"] for rule in world.emulator.control("faults")["rules"]):
            raise _StruckError

    for key, faults in FAULTS.items():
        world.put("appointment.flac", key)
        world.emulator.set_faults(*faults)
        with pytest.raises(_StruckError):
            _drive_for(PATIENCE_S, defs, instance, stop_when_struck)
        if key != "refused.flac":
            drive_until_quiet(defs, instance, lambda _: None)
    world.emulator.set_faults()


def _drive_for(seconds: float, *arguments: Any) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        drive_until_quiet(*arguments)
        time.sleep(0.5)


def _files_with(folder: Path, needle: str) -> list[str]:
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and needle.encode() in file.read_bytes()
    ]


@pytest.mark.slow
def test_no_secret_signature_or_sentence_leaves_its_place(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """After faults of every kind and a good run, only the lake holds speech."""
    home = world.folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "python_logs:\n  python_log_level: DEBUG\n  managed_python_loggers: [root]\n"
    )
    defs = build_definitions(Settings.load())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        _strike(world, defs, instance)
    for command in ("run", "status", "jobs", "plan", "doctor"):
        process = world.start(command)
        out, err = process.communicate()
        (world.folder / f"{command}.log").write_text(out + err)
    published = world.json("status")["by_provider"]["assemblyai"]["published"]
    assert published == len(world.emulator.invoice()) == 2  # what was doubtful, and what was odd
    printed = capfd.readouterr()
    (world.folder / "printed.log").write_text(printed.out + printed.err)
    for needle in (SECRET, *SIGNED):
        assert _files_with(world.folder, needle) == []
    for needle in SPOKEN:
        places = {Path(file).parts[0] for file in _files_with(world.folder, needle)}
        assert places == {"lake"}, f"{needle!r} in {places}"
