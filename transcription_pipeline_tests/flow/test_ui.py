"""``tp ui``: the real webserver and daemon notice a file, and a person sees what became of it.

Runs of the daemon are killed, too: the next ones take over. DAEMON_KILLS says how many.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_pipeline.emulators.server import read_invoice
from transcription_pipeline.storage.s3 import open_s3_client
from transcription_pipeline_tests.flow.browser import open_page
from transcription_pipeline_tests.s3_servers import find_free_port
from transcription_pipeline_tests.world import REPOSITORY, ROUTES, SAMPLES

START_S = 90.0
NOTICE_S = 180.0
RECOVERY_S = 420.0
KILLS = int(os.environ.get("DAEMON_KILLS", "1"))
SEED = 20261121
SCREENSHOTS = REPOSITORY / "var" / "screenshots"


@dataclass
class Served:
    """A running ``tp ui`` in a folder of its own."""

    folder: Path
    url: str
    endpoint_url: str
    emulator_url: str

    def put(self, file: str, name: str) -> None:
        """Drop a sample into the watched prefix."""
        client, body = open_s3_client(self.endpoint_url), (SAMPLES / file).read_bytes()
        client.put_object(Bucket="recordings", Key=f"inbox/calls/{name}", Body=body)

    def has_published(self, count: int) -> bool:
        """Say whether each of the two providers has published so many recordings."""
        status = self.tp("status")
        found = status["by_provider"].values() if isinstance(status, dict) else ()
        return [each["published"] for each in found] == [count, count]

    def find_workers(self) -> set[int]:
        """Return the processes that hold a partition: Dagster's run workers."""
        ledger = f"file:{self.folder / 'var' / 'ledger.db'}?mode=ro"
        with closing(sqlite3.connect(ledger, uri=True)) as connection:
            holders = connection.execute("select holder from leases where holder <> ''").fetchall()
        return {int(holder.split("|")[1]) for (holder,) in holders}

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


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start ``tp ui`` on free ports and wait until the webserver answers."""
    folder = tmp_path_factory.mktemp("ui")
    for name in ("transcription.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    port, s3_port, emulator_port = find_free_port(), find_free_port(), find_free_port()
    endpoint_url = f"http://127.0.0.1:{s3_port}"
    emulator_url = f"http://127.0.0.1:{emulator_port}"
    environment = {
        **os.environ,
        "TRANSCRIPTION__ROUTES": json.dumps(ROUTES),
        "TRANSCRIPTION__STORAGE__ENDPOINT_URL": endpoint_url,
        "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__BASE_URL": emulator_url,
        "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__SETTLE_S": "1",
        "TRANSCRIPTION__STORAGE__URL_EXPIRES_S": "60",
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


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_dropped_file_is_seen_in_the_browser(served: Served) -> None:
    """The sensor picks a new file up; the asset graph and the materialisation are on the screen."""
    served.put("appointment.flac", "dropped.flac")
    _wait(lambda: served.has_published(1), NOTICE_S, None, served.folder / "ui.log")
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_runs_are_made_up_for(served: Served) -> None:
    """Whoever notices next finishes what a killed run began, and nothing is billed twice."""
    moments, killed = random.Random(SEED), set[int]()
    before, log = len(read_invoice(served.emulator_url)), served.folder / "ui.log"

    def kill_one() -> bool:
        for worker in served.find_workers() - killed:
            time.sleep(moments.uniform(0.0, 2.0))
            if worker in served.find_workers():
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
                return True
        return False

    for number in range(KILLS):
        served.put("delivery.wav", f"{number}.wav")
        _wait(kill_one, RECOVERY_S, None, log, every_s=0.05)
    _wait(lambda: served.has_published(before + KILLS), RECOVERY_S, None, log)
    billed = [line["attempt_token"] for line in read_invoice(served.emulator_url)]
    assert len(billed) == len(set(billed)) == before + KILLS


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(condition, seconds: float, process, log: Path, every_s=1.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise AssertionError(log.read_text()[-3000:])
        time.sleep(every_s)
