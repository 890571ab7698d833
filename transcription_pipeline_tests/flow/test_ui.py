"""``tp ui``: the real webserver and daemon notice a file, and a person sees what became of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_pipeline.storage.s3 import open_s3_client
from transcription_pipeline_tests.flow.browser import open_page
from transcription_pipeline_tests.s3_servers import find_free_port
from transcription_pipeline_tests.world import REPOSITORY, ROUTES, SAMPLES

START_S = 90.0
NOTICE_S = 180.0
SCREENSHOTS = REPOSITORY / "var" / "screenshots"


@dataclass
class Served:
    """A running ``tp ui`` in a folder of its own."""

    folder: Path
    url: str
    endpoint_url: str

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


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Start ``tp ui`` on free ports and wait until the webserver answers."""
    for name in ("transcription.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    port, s3_port, emulator_port = find_free_port(), find_free_port(), find_free_port()
    endpoint_url = f"http://127.0.0.1:{s3_port}"
    environment = {
        **os.environ,
        "TRANSCRIPTION__ROUTES": json.dumps(ROUTES),
        "TRANSCRIPTION__STORAGE__ENDPOINT_URL": endpoint_url,
        "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__BASE_URL": f"http://127.0.0.1:{emulator_port}",
        "PYTHONWARNINGS": "ignore",
    }
    with (tmp_path / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "transcription_pipeline", "ui", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    served = Served(tmp_path, f"http://127.0.0.1:{port}", endpoint_url)
    try:
        _wait(lambda: _answers(served.url), START_S, process, tmp_path / "ui.log")
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_dropped_file_is_seen_in_the_browser(served: Served) -> None:
    """The sensor picks a new file up; the asset graph and the materialisation are on the screen."""
    client = open_s3_client(served.endpoint_url)
    body = (SAMPLES / "appointment.flac").read_bytes()
    client.put_object(Bucket="recordings", Key="inbox/calls/dropped.flac", Body=body)

    def is_published() -> bool:
        status = served.tp("status")
        counts = status["by_provider"].values() if isinstance(status, dict) else ()
        return len(list(counts)) == 2 and all(c["published"] == 1 for c in counts)

    _wait(is_published, NOTICE_S, None, served.folder / "ui.log")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with open_page(f"{served.url}/asset-groups", served.folder) as page:
        for asset in ("raw_transcripts", "transcription_jobs", "words", "recordings"):
            page.get_by_text(asset, exact=True).first.wait_for()
        page.screenshot(path=SCREENSHOTS / "asset-graph.png")
        day = datetime.now(UTC).date().isoformat()
        partition = f"{day}%7Clocal"
        page.goto(f"{served.url}/assets/words?view=partitions&partition={partition}")
        page.get_by_text("published_now").first.wait_for()
        page.get_by_text("part-0.parquet").first.wait_for()
        page.screenshot(path=SCREENSHOTS / "materialisation.png")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(condition, seconds: float, process, log: Path) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise AssertionError(log.read_text()[-3000:])
        time.sleep(1)
