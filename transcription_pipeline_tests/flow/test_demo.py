"""The demo as a newcomer runs it, twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline_tests.s3_servers import find_free_port
from transcription_pipeline_tests.world import REPOSITORY, SAMPLES

MANIFEST = json.loads((SAMPLES / "manifest.json").read_text())["samples"]
PAID = ("aitronos", "assemblyai", "plaud", "scriptivox")
GOOD = sum(entry["expected"] == "published" for entry in MANIFEST)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_second_demo_pays_nothing(tmp_path: Path) -> None:
    """Every sample ends where the manifest says; the second demo leaves the invoice as it was."""
    for name in ("transcription.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "samples").symlink_to(SAMPLES)
    environment = {
        **os.environ,
        "TRANSCRIPTION__STORAGE__ENDPOINT_URL": f"http://127.0.0.1:{find_free_port()}",
        **{
            f"TRANSCRIPTION__PROVIDERS__{name.upper()}__BASE_URL": (
                f"http://127.0.0.1:{find_free_port()}"
            )
            for name in PAID
        },
        "PYTHONWARNINGS": "ignore",
    }

    def demo() -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "transcription_pipeline", "demo", "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outcome: dict[str, Any] = json.loads(done.stdout)
        return outcome

    first = demo()
    assert first["surprises"] == []
    assert first["recordings"] == first["new_objects"] == len(MANIFEST)
    assert first["quarantined"] == len(MANIFEST) - GOOD
    assert {row["provider"] for row in first["utterances"]} == {"local", *PAID}
    spent = {row["provider"]: round(row["cost"] * 1e6) for row in first["spent"]}
    for name in PAID:
        assert first["invoices"][name]["lines"] == GOOD
        assert spent[name] == first["invoices"][name]["amount_micros"]
    second = demo()
    assert second["new_objects"] == 0
    assert second["invoices"] == first["invoices"]
    assert second["tables"] == first["tables"]
    assert second["seconds"] < 0.3 * first["seconds"]
