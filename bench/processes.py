"""Child processes: the emulated provider, and one side of a comparison, each on its own core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SERVE = """
import json, sys
from transcription_pipeline.emulators.server import serve
serve("assemblyai", json_output=True, settings=json.loads(sys.argv[1]))
"""


def _pin(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core % len(cores)]})


@contextmanager
def run_emulator(settings: Mapping[str, Any]) -> Iterator[str]:
    """Run an emulated provider on the second core; yields its address."""
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVE, json.dumps(dict(settings))],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: _pin(1),
    )
    try:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())["base_url"]
    finally:
        child.terminate()
        child.wait()


def run_side(module: str, order: Mapping[str, Any], folder: Path, **environment: str) -> Any:
    """Run one side on the first core; returns what it measured."""
    name = module.rpartition(".")[2]
    order_file, result_file = folder / f"{name}-order.json", folder / f"{name}-result.json"
    order_file.write_text(json.dumps(dict(order)))
    subprocess.run(
        [sys.executable, "-m", module, str(order_file), str(result_file)],
        check=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: _pin(0),
    )
    return json.loads(result_file.read_text())


def control(base_url: str, path: str, body: Any = None) -> Any:
    """Ask an emulator's control interface."""
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{base_url}/_control/{path}", content, timeout=60) as answer:
        return json.loads(answer.read())


def read_finished(base_url: str, api_key: str) -> dict[str, str]:
    """Return when each job ended, by the provider's own list: provider job id → instant."""
    finished: dict[str, str] = {}
    before = ""
    while True:
        request = urllib.request.Request(
            f"{base_url}/v2/transcript?limit=200{before}", headers={"Authorization": api_key}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            page = json.loads(answer.read())["transcripts"]
        if not page:
            return finished
        finished |= {row["id"]: row["completed"] for row in page if row["completed"]}
        before = f"&before_id={page[-1]['id']}"
