"""The outside of one scenario: a bucket, an emulated provider, a folder, a clock, and its workers.

A lane is what scenarios share one after the other (emulators, the bucket); a world is made anew for
each. Nothing here knows what a scenario is about (``families.py``) or what it must come to
(``verdict.py``).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from proof.crossings import Strike
from proof.worker import LEASE_S, URL_LIFE_S, Order, work
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.ledger.instants import from_text
from transcription_pipeline.ledger.ledger import Ledger

PATIENCE_S = 90.0
"""A worker that is at it for longer hangs."""
RUNS = 14
"""Workers after which a scenario must be over: the longest waits for proof, one doubt at a time."""
UNLIMITED: Mapping[str, dict[str, Any]] = {
    "aitronos": {"refresh_s": 0.0},
    "assemblyai": {},
    "plaud": {"requests_per_min": 0, "tokens_per_min": 0},
    "scriptivox": {"limit_factor": 0.0},
}
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["proof.preload"])


class Lane:
    """What scenarios use one after the other; several lanes work side by side."""

    def __init__(self, s3_url: str, bucket: str, empty_ledger: Path) -> None:
        self.s3_url = s3_url
        self.bucket = bucket
        self.empty_ledger = empty_ledger
        self._emulators: dict[str, EmulatorServer] = {}
        self._stack = ExitStack()

    def close(self) -> None:
        """Stop the emulators."""
        self._stack.close()

    @contextmanager
    def open_world(self, provider: str, kind: type[World] | None = None) -> Iterator[World]:
        """Make an empty world around a provider that has forgotten everything."""
        emulator = self._emulator(provider)
        with TemporaryDirectory(prefix=f"{provider}-") as folder:
            world = (kind or World)(self, provider, emulator, Path(folder))
            copyfile(self.empty_ledger, world.ledger_file)
            try:
                yield world
            finally:
                world.end()

    def _emulator(self, provider: str) -> EmulatorServer | None:
        if provider not in UNLIMITED:
            return None
        if provider not in self._emulators:
            # It fetches what is paid for, so that a dead URL is what it is out there.
            settings: dict[str, Any] = {"job_s": 0.05, "word_count": 40, "fetch_audio": True}
            server = EmulatorServer(provider, **settings, **UNLIMITED[provider])
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

    @property
    def came_to_its_strike(self) -> bool:
        """Whether it came as far as the crossing at which it was to be struck."""
        return 0 < self.order.strike_at <= len(self.crossings)

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
    earlier: int = 0
    """By how many crossings every strike comes earlier: runs of the same differ by some."""
    _numbers: Iterator[int] = field(default_factory=count)
    _urls_die_at: float = 0.0
    """On the machine's monotonic clock."""
    task: ClassVar[Any] = staticmethod(work)
    """What a worker does with its order."""

    def __post_init__(self) -> None:
        if self.emulator:
            self.offset_s = self.emulator.control("clock")["now"] - time.time()

    @property
    def ledger_file(self) -> Path:
        """Where the ledger is."""
        return self.folder / "ledger.db"

    def prepare(self, strike_at: int = 0, strike: Strike = Strike.KILL) -> Worker:
        """Fork a worker that waits for the word to begin."""
        order = Order(
            folder=self.folder,
            provider=self.provider,
            bucket=self.lane.bucket,
            s3_url=self.lane.s3_url,
            emulator_url=self.emulator.base_url if self.emulator else "",
            offset_s=self.offset_s,
            log=self.folder / f"crossings-{next(self._numbers)}",
            strike_at=strike_at and max(1, strike_at - self.earlier),
            strike=strike,
        )
        ours, theirs = _forks.Pipe()
        process = _forks.Process(target=self.task, args=(theirs,))
        process.start()
        theirs.close()
        worker = Worker(process, ours, order, process.pid or 0)
        self.workers.append(worker)
        return worker

    def start(self, strike_at: int = 0, strike: Strike = Strike.KILL) -> Worker:
        """Start a worker."""
        worker = self.prepare(strike_at, strike)
        worker.begin()
        return worker

    def run(self, strike_at: int = 0, strike: Strike = Strike.KILL) -> Worker:
        """Start a worker and wait for its end."""
        worker = self.start(strike_at, strike)
        self.wait_for(worker)
        return worker

    def wait_for(self, worker: Worker) -> int:
        """Wait for a worker's end; returns its exit code, below zero the signal that ended it."""
        code = worker.wait()
        self.exits.append(code)
        self.note_urls(worker)
        return code

    def note_urls(self, worker: Worker) -> None:
        """Remember when the URLs die that a worker may have signed, now that it signs no more."""
        if any(name.startswith("audio presign") for name in worker.crossings):
            self._urls_die_at = time.monotonic() + URL_LIFE_S + 0.5

    def run_until_quiet(self) -> None:
        """Start workers, letting time pass where nothing is due, until nothing is left to do."""
        for _ in range(RUNS):
            self.run()
            if self.is_quiet():
                return
            if busy := self._list_busy():
                self.pass_time(self._wait_s(busy))

    def is_quiet(self) -> bool:
        """Return whether nothing is left to do: every job has its end, every day its catalogue."""
        with self.open_ledger() as ledger:
            rows = ledger.read_jobs()
            is_busy = any(row["state"] == "in_progress" for row in rows)
            return bool(rows) and not is_busy and not ledger.list_stale_days()

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody; signed URLs, which die by a real clock, die in it, too."""
        if seconds > 0:
            time.sleep(max(0.0, self._urls_die_at - time.monotonic()))
        self.offset_s += seconds
        if self.emulator:
            self.emulator.advance(seconds)

    def lapse_lease(self) -> None:
        """Let the time pass in which a silent worker keeps its partition."""
        self.pass_time(LEASE_S + 1)

    @contextmanager
    def open_ledger(self) -> Iterator[Ledger]:
        """Look into the ledger."""
        ledger = Ledger.open(f"sqlite:///{self.ledger_file}")
        try:
            yield ledger
        finally:
            ledger.close()

    def read_log(self) -> str:
        """Return what the workers said."""
        return (self.folder / "worker.log").read_text(errors="replace")

    def end(self) -> None:
        """End every worker that is left."""
        for worker in self.workers:
            if worker.process.exitcode is None:
                worker.process.kill()
            worker.process.join()
            worker.process.close()
            worker.orders.close()

    def _list_busy(self) -> list[dict[str, Any]]:
        with self.open_ledger() as ledger:
            return ledger.read_jobs(state="in_progress")

    def _wait_s(self, busy: list[dict[str, Any]]) -> float:
        """Say how long nothing is due: until a retry, or the deadline of what is waited for."""
        now = time.time() + self.offset_s
        instants = [
            from_text(row["scheduled_at"] or row["attempt_deadline_at"] or "1970-01-01T00:00:00Z")
            for row in busy
        ]
        wait_s = min(instant.timestamp() for instant in instants) - now
        return wait_s + 1 if wait_s > 0 else 0.0


def make_empty_ledger(file: Path) -> None:
    """Make a ledger that knows nothing but that jobs are quick, so that nobody waits long."""
    model = WaitModel()
    for _ in range(30):
        model.learn(1.0, 0.05)
    with closing(Ledger.open(f"sqlite:///{file}")) as ledger:
        for provider in (*UNLIMITED, "local"):
            ledger.save_wait_model(provider, model)


def set_environment() -> None:
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
