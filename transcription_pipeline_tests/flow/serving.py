"""``tp ui`` as a user starts it: webserver, daemon, bucket and emulator in a folder of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transcription_pipeline.storage.s3 import open_s3_client
from transcription_pipeline_tests.s3_servers import find_free_port
from transcription_pipeline_tests.world import REPOSITORY, ROUTES, SAMPLES

START_S = 90.0


@dataclass
class Served:
    """A running ``tp ui``."""

    folder: Path
    url: str
    endpoint_url: str
    emulator_url: str
    """AssemblyAI's."""

    def drop(self, file: str, key: str) -> None:
        """Put a sample into the watched prefix."""
        client = open_s3_client(self.endpoint_url)
        body = (SAMPLES / file).read_bytes()
        client.put_object(Bucket="recordings", Key=f"inbox/{key}", Body=body)

    def tp(self, *arguments: str) -> object:
        """Run a command beside it and decode its JSON."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "transcription_pipeline", *arguments, "--json"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)

    def is_published(self, provider_count: int) -> bool:
        """Say whether the one recording was published by so many providers."""
        status = self.tp("status")
        counts = status["by_provider"].values() if isinstance(status, dict) else ()
        return len(list(counts)) == provider_count and all(c["published"] == 1 for c in counts)

    def wait(self, condition: Callable[[], bool], seconds: float) -> None:
        """Look once a second; an ``AssertionError`` shows what the servers said."""
        _wait(condition, seconds, None, self.folder / "ui.log")


@contextmanager
def serve(folder: Path, routes: list[dict[str, Any]] = ROUTES) -> Iterator[Served]:
    """Start ``tp ui`` on free ports and wait until the webserver answers."""
    for name in ("transcription.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    port, s3_port, emulator_port = find_free_port(), find_free_port(), find_free_port()
    endpoint_url, emulator_url = f"http://127.0.0.1:{s3_port}", f"http://127.0.0.1:{emulator_port}"
    environment = {
        **os.environ,
        "TRANSCRIPTION__ROUTES": json.dumps(routes),
        "TRANSCRIPTION__STORAGE__ENDPOINT_URL": endpoint_url,
        "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__BASE_URL": emulator_url,
        "PYTHONWARNINGS": "ignore",
    }
    with (folder / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "transcription_pipeline", "ui", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    served = Served(folder, f"http://127.0.0.1:{port}", endpoint_url, emulator_url)
    try:
        _wait(lambda: _answers(served.url), START_S, process, folder / "ui.log")
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(
    condition: Callable[[], bool],
    seconds: float,
    process: subprocess.Popen[bytes] | None,
    log: Path,
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise AssertionError(log.read_text()[-3000:])
        time.sleep(1)
