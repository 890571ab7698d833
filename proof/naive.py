"""A client as it is often written: the paid POST in a retry decorator, and nothing remembered.

It proves that the harness can fail. It is killed at its crossings and robbed of answers as our
workers are, and held to the same invoice; a recording is done when its file is there.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from functools import wraps
from http.client import HTTPException
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

from proof.crossings import Crossings
from proof.recordings import LENGTHS_MS
from proof.verdict import Outcome
from proof.worker import SECRETS, Order
from proof.world import RUNS, World
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client

PROVIDER = "assemblyai"
_TRIES = 3
_URL_LIFE_S = 3_600


def _file_of(folder: Path, key: str) -> Path:
    return folder / key.replace("/", "-")


def retry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Try again whatever went wrong, as the decorators of libraries do."""

    @wraps(function)
    def tried(*arguments: Any) -> Any:
        for _ in range(_TRIES):
            try:
                return function(*arguments)
            except (OSError, HTTPException, ValueError) as error:
                last = error
        raise last

    return tried


def work_naively(orders: Connection) -> None:
    """Transcribe every recording that has no file yet; the process ends with it."""
    order: Order = orders.recv()
    crossings = Crossings(order.log, strike_at=order.strike_at, strike=order.strike)

    @retry
    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        what = "submit" if body else "look"
        crossings.cross(f"{what}: before")
        request = urllib.request.Request(
            order.emulator_url + path,
            json.dumps(body).encode() if body else None,
            {"Authorization": SECRETS["assemblyai_api_key"], "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            told = json.loads(answer.read())
        crossings.cross(f"{what}: after")
        return told

    client = open_s3_client(order.s3_url)
    audio = S3ObjectStore(BucketAddress(order.bucket, ""), make_client=lambda: client)
    for key in LENGTHS_MS:
        file = _file_of(order.folder, key)
        if file.exists():
            continue
        url = audio.presign(key, expires_s=_URL_LIFE_S, token=file.name)
        job = ask("/v2/transcript", {"audio_url": url})
        while job["status"] not in {"completed", "error"}:
            time.sleep(0.02)
            job = ask(f"/v2/transcript/{job['id']}")
        crossings.cross("write: before")
        file.write_text(job["text"])
        crossings.cross("write: after")


class NaiveWorld(World):
    """A world in which the naive client works."""

    task: ClassVar[Any] = staticmethod(work_naively)

    def run_until_quiet(self) -> None:
        """Start clients until every recording has its file."""
        for _ in range(RUNS):
            self.run()
            if self.list_done() == list(LENGTHS_MS):
                return

    def list_done(self) -> list[str]:
        """List the recordings that have a file."""
        return [key for key in LENGTHS_MS if _file_of(self.folder, key).exists()]


def judge_naively(world: NaiveWorld, outcome: Outcome) -> None:
    """Compare its files and the invoice: one each, and one charge each."""
    assert world.emulator is not None
    charges = Counter(line["attempt_token"] for line in world.emulator.invoice())
    outcome.paid_twice += [f"{who}: {n} charges" for who, n in charges.items() if n > 1]
    outcome.lost += [f"{key}: no file" for key in LENGTHS_MS.keys() - set(world.list_done())]
