"""The outside of one scenario: a bucket, an emulated provider, a folder, a clock, and its workers.

A lane is what scenarios share one after the other (emulators, the bucket); a world is made anew for
each. Nothing here knows what a scenario is about (``families.py``) or what it must come to
(``verdict.py``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proof.worker import LEASE_S, URL_LIFE_S, Order, work
from transcription_pipeline.domain.job import AttemptState
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.ledger.instants import from_text
from transcription_pipeline.ledger.ledger import Ledger

PATIENCE_S = 90.0
"""A worker that is at it for longer hangs."""
RUNS = 14
"""Workers after which a scenario must be over: the longest waits for proof, one doubt at a time."""
_UNLIMITED: Mapping[str, Mapping[str, Any]] = {
    "aitronos": {"refresh_s": 0.0},
    "assemblyai": {},
    "plaud": {"requests_per_min": 0, "tokens_per_min": 0},
    "scriptivox": {"limit_factor": 0.0},
}
_IN_DOUBT = {AttemptState.SENDING.value, AttemptState.AMBIGUOUS.value}
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["proof.preload"])


class Lane:
    """What scenarios use one after the other; several lanes work side by side."""

    def __init__(self, s3_url: str, bucket: str) -> None:
        self.s3_url = s3_url
        self.bucket = bucket
        self._emulators: dict[str, EmulatorServer] = {}
        self._stack = ExitStack()

    def close(self) -> None:
        """Stop the emulators."""
        self._stack.close()

    @contextmanager
    def open_world(self, provider: str) -> Iterator[World]:
        """Make an empty world around a provider that has forgotten everything."""
        emulator = self._emulator(provider)
        with TemporaryDirectory(prefix=f"{provider}-") as folder:
            world = World(self, provider, emulator, Path(folder))
            try:
                yield world
            finally:
                world.end()

    def _emulator(self, provider: str) -> EmulatorServer | None:
        if provider not in _UNLIMITED:
            return None
        if provider not in self._emulators:
            # It fetches what is paid for, so that a dead URL is what it is out there.
            settings = {"job_s": 0.05, "word_count": 40, "fetch_audio": True}
            server = EmulatorServer(provider, **settings, **_UNLIMITED[provider])
            self._emulators[provider] = self._stack.enter_context(server)
        emulator = self._emulators[provider]
        emulator.reset()
        return emulator


@dataclass
class Worker:
    """One process that was told to carry everything as far as it goes."""

    process: Any
    orders: Any
    order: Order
    pid: int = 0

    def begin(self) -> None:
        """Let it work; until then it has a pid and nothing else."""
        self.orders.send(self.order)

    def wait(self) -> int:
        """Wait for its end; returns its exit code, below zero the signal that ended it."""
        self.process.join(PATIENCE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"a worker hangs: {self.order}")
        return int(self.process.exitcode)

    @property
    def crossings(self) -> list[str]:
        """The names of its crossings so far, in order."""
        return self.order.log.read_text().splitlines() if self.order.log.exists() else []

    def wait_until_stopped(self) -> bool:
        """Return whether it came to stand still by SIGSTOP; False when it ended instead."""
        give_up_at = time.monotonic() + PATIENCE_S
        stat = Path(f"/proc/{self.pid}/stat")
        while time.monotonic() < give_up_at and self.process.exitcode is None:
            try:
                state = stat.read_text().rpartition(")")[2].split()[0]
            except OSError:
                break
            if state == "T":
                return True
            time.sleep(0.005)
        return False


@dataclass
class World:
    """One scenario's outside."""

    lane: Lane
    provider: str
    emulator: EmulatorServer | None
    folder: Path
    offset_s: float = 0.0
    workers: list[Worker] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    """Exit codes of the workers that ended, in that order."""
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        if self.emulator:
            self.offset_s = self.emulator.control("clock")["now"] - time.time()

    def prepare(self, strike_at: int = 0, signal_: int = signal.SIGKILL) -> Worker:
        """Fork a worker that waits for the word to begin."""
        order = Order(
            folder=self.folder,
            provider=self.provider,
            bucket=self.lane.bucket,
            s3_url=self.lane.s3_url,
            emulator_url=self.emulator.base_url if self.emulator else "",
            offset_s=self.offset_s,
            log=self.folder / f"crossings-{next(self._numbers)}",
            strike_at=strike_at,
            signal=signal_,
        )
        ours, theirs = _forks.Pipe()
        process = _forks.Process(target=work, args=(theirs,))
        process.start()
        theirs.close()
        worker = Worker(process, ours, order, process.pid or 0)
        self.workers.append(worker)
        return worker

    def start(self, strike_at: int = 0, signal_: int = signal.SIGKILL) -> Worker:
        """Start a worker."""
        worker = self.prepare(strike_at, signal_)
        worker.begin()
        return worker

    def run(self, strike_at: int = 0, signal_: int = signal.SIGKILL) -> Worker:
        """Start a worker and wait for its end."""
        worker = self.start(strike_at, signal_)
        self.exits.append(worker.wait())
        return worker

    def run_until_quiet(self) -> None:
        """Start workers, letting time pass where nothing is due, until nothing is left to do."""
        for _ in range(RUNS):
            self.run()
            with self.open_ledger() as ledger:
                rows = ledger.read_jobs()
                busy = [row for row in rows if row["state"] == "in_progress"]
                if rows and not busy and not ledger.list_stale_days():
                    return
            if busy:
                self.pass_time(self._wait_s(busy), is_in_doubt=any(map(_is_in_doubt, busy)))

    def pass_time(self, seconds: float, *, is_in_doubt: bool = False) -> None:
        """Let time pass for everybody; signed URLs, which die by a real clock, die in it, too."""
        if is_in_doubt and self.emulator and seconds > 0:
            time.sleep(URL_LIFE_S + 0.5)
        self.offset_s += seconds
        if self.emulator:
            self.emulator.advance(seconds)

    def lapse_lease(self) -> None:
        """Let the time pass in which a silent worker keeps its partition."""
        self.pass_time(LEASE_S + 1)

    @contextmanager
    def open_ledger(self) -> Iterator[Ledger]:
        """Look into the ledger."""
        ledger = Ledger.open(f"sqlite:///{self.folder}/ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()

    def end(self) -> None:
        """End every worker that is left."""
        for worker in self.workers:
            if worker.process.exitcode is None:
                worker.process.kill()
            worker.process.join()
            worker.process.close()
            worker.orders.close()

    def _wait_s(self, busy: list[dict[str, Any]]) -> float:
        now = time.time() + self.offset_s
        waits = []
        for row in busy:
            due = from_text(row["scheduled_at"])
            if due is None:
                due = from_text(row["attempt_deadline_at"])
            waits.append(due.timestamp() - now if due else 0.0)
        wait_s = max(0.0, min(waits))
        return wait_s + timedelta(seconds=1).total_seconds() if wait_s else 0.0


def _is_in_doubt(row: dict[str, Any]) -> bool:
    return row["attempt_state"] in _IN_DOUBT


def read_environment() -> None:
    """Give every process the S3 server's credentials, and nobody's real ones."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
