"""Nothing secret and nothing said reaches a log, the ledger or Dagster, on good paths and bad."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A deployment whose emulator really recognises what it fetches."""
    with open_world(tmp_path, ministack, speech="recognised", workers=1) as opened:
        for name, value in opened.environment.items():
            monkeypatch.setenv(name, value)
        opened.put("appointment.flac")
        yield opened


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
        for fault in (
            {"operation": "submit", "action": "status", "status": 502, "times": 1},
            {"operation": "get", "action": "html", "times": 1},
            {"operation": "list", "action": "drop_after", "times": 1},
            {"operation": "submit", "action": "status", "status": 401, "times": 1},
        ):
            world.emulator.set_faults(fault)
            drive_until_quiet(defs, instance, lambda _: None)
        world.emulator.set_faults()
    for command in ("run", "status", "jobs", "plan", "doctor"):
        process = world.start(command)
        out, err = process.communicate()
        (world.folder / f"{command}.log").write_text(out + err)
    printed = capfd.readouterr()
    (world.folder / "printed.log").write_text(printed.out + printed.err)
    for needle in (SECRET, *SIGNED):
        assert _files_with(world.folder, needle) == []
    for needle in SPOKEN:
        places = {Path(file).parts[0] for file in _files_with(world.folder, needle)}
        assert places == {"lake"}, f"{needle!r} in {places}"
