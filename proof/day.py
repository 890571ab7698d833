"""A simulated day: recordings arrive hour by hour, faults strike, workers come and go.

Three workers share one real ledger, lake and emulated provider; their clock and the provider's leap
from hour to hour. Requests fail at random, answers get lost, runs are cut off in the middle. In the
end the provider's own invoice is read: every recording once, or held where nobody can know.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proof.world import set_environment
from transcription_pipeline import pipeline
from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.domain.recording import AudioFacts, AudioObject
from transcription_pipeline.domain.route import Route
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.engine import RunLimits
from transcription_pipeline.errors import TranscriptionPipelineError
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers.aitronos import AitronosProvider
from transcription_pipeline.providers.assemblyai import AssemblyAIProvider
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.providers.scriptivox import ScriptivoxProvider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline.tools import Tools

WORKERS = 3
HOURS = 24
SHARE = 0.05
"""Of all requests, how many go wrong."""
LATER_HOURS = 40
"""After the day, until every doubt is proved, held or past its deadline."""
FAST = 5_000.0
PATIENCE = Patience(read_s=0.4, deadline_s=1.0, retries=3, retry_wait_s=0.01)
LOST_ANSWERS = ("drop_after", "reset", "half_headers", "truncate", "garbage", "html")
HELD_FOR = {"aitronos": {"maybe_charged_check_synapse_transactions"}}
"""Provider → causes of which nobody can know."""


def _open_aitronos(url: str) -> Provider:
    return AitronosProvider(
        api_key="k",
        organization_id="org_day",
        base_url=url,
        requests_per_s=FAST,
        look_s=0.0,
        patience=PATIENCE,
    )


def _open_assemblyai(url: str) -> Provider:
    return AssemblyAIProvider(api_key="k", base_url=url, requests_per_s=FAST, patience=PATIENCE)


def _open_scriptivox(url: str) -> Provider:
    return ScriptivoxProvider(
        api_key="k",
        base_url=url,
        submits_per_s=FAST,
        looks_per_s=FAST,
        lists_per_s=FAST,
        patience=PATIENCE,
    )


_CLIENTS: Mapping[str, tuple[Callable[[str], Provider], dict[str, Any]]] = {
    "aitronos": (_open_aitronos, {"refresh_s": 0.0}),
    "assemblyai": (_open_assemblyai, {}),
    "scriptivox": (_open_scriptivox, {"limit_factor": 0.0}),
}
PROVIDERS = tuple(_CLIENTS)
"""Plaud wants the bytes of every recording first; its faults are played one by one instead."""


@dataclass
class Day:
    """What came of one day."""

    provider: str
    seed: int
    recordings: int
    lost: list[str] = field(default_factory=list)
    """Recordings that are nowhere, unfinished, or published without a charge."""
    paid_twice: list[str] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    """Cause → attempts, where nobody can know."""
    wrongly_held: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def simulate(provider: str, seed: int, count: int, folder: Path) -> Day:
    """Play one day with so many recordings below ``folder``; the same seed plays the same faults."""
    day, started_at = Day(provider, seed, count), time.monotonic()
    open_client, settings = _CLIENTS[provider]
    with EmulatorServer(provider, job_s=0.05, word_count=10, audio_s=30.0, **settings) as emulator:
        outside = _Outside(emulator, open_client, folder)
        try:
            outside.play(seed, count)
            outside.judge(day)
        finally:
            outside.tools.ledger.close()
    day.seconds = time.monotonic() - started_at
    return day


class _Outside:
    """The world of one day; only the bucket's listing is left out: recordings are known already."""

    def __init__(
        self, emulator: EmulatorServer, open_client: Callable[[str], Provider], folder: Path
    ) -> None:
        self.emulator = emulator
        self.offset_s = 0.0
        self.arrived = 0
        name = emulator.name
        self.tools = Tools(
            ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"),
            # Nothing is read from it: URLs are signed, and the scripted service fetches none.
            audio=S3ObjectStore(
                BucketAddress("calls", ""),
                make_client=lambda: open_s3_client("http://127.0.0.1:9"),
            ),
            audio_prefix="",
            lake=FolderStore(folder / "lake"),
            routes=(Route(match="**", providers=(name,)),),
            make_provider={name: lambda: open_client(emulator.base_url)},
            limits={name: RunLimits(30.0, 60.0, 600, 3, 0.05, None)},
            first_day=date(2026, 1, 1),
            now=lambda: datetime.now(UTC) + timedelta(seconds=self.offset_s),
        )
        self.offset_s = emulator.control("clock")["now"] - self.tools.now().timestamp()
        model = WaitModel()
        for _ in range(30):
            model.learn(1.0, 0.05)
        self.tools.ledger.save_wait_model(name, model)

    def play(self, seed: int, count: int) -> None:
        """Let the day pass, and the days after it in which doubts are cleared up."""
        chance = random.Random(seed)
        for hour in range(HOURS):
            self.arrive(count * (hour + 1) // HOURS - self.arrived)
            self.emulator.set_faults(*_draw_faults(chance, hour))
            self.work(chance, is_cut_off=True)
            self.pass_time(3_600)
        self.emulator.set_faults()
        for _ in range(LATER_HOURS):
            if not self.tools.ledger.read_jobs(state="in_progress"):
                break
            self.work(chance, is_cut_off=False)
            self.pass_time(3_600)

    def arrive(self, count: int) -> None:
        """Let recordings be known, with what a look into them found."""
        at, name = self.tools.now(), self.emulator.name
        numbers = range(self.arrived, self.arrived + count)
        found = [
            AudioObject("calls", f"in/{n:06}.wav", f"{n:032x}", 16_000, at, None) for n in numbers
        ]
        wishes: dict[str, dict[str, object]] = {name: {}}
        self.tools.ledger.record_recordings(
            [(audio, wishes) for audio in found], first_day=date(2026, 1, 1), at=at
        )
        self.tools.ledger.commit(
            [
                Probed(audio.recording_id, at, AudioFacts("wav", "pcm_s16le", 8_000, 1, 2_000 + n))
                for n, audio in zip(numbers, found, strict=True)
            ]
        )
        self.arrived += count

    def work(self, chance: random.Random, *, is_cut_off: bool) -> None:
        """Let every worker go through what is due, each in its own order, some not to the end."""
        seeds = [chance.random() for _ in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as workers:
            list(workers.map(lambda seed: self._work_once(seed, is_cut_off=is_cut_off), seeds))

    def _work_once(self, seed: float, *, is_cut_off: bool) -> None:
        chance = random.Random(seed)
        due = pipeline.list_due(self.tools)
        chance.shuffle(due)
        for partition in due:
            try:
                asyncio.run(self._carry(partition.day, chance, is_cut_off=is_cut_off))
                pipeline.write(self.tools, partition.day, partition.provider)
            except TranscriptionPipelineError:
                continue  # the next hour goes on

    async def _carry(self, day: str, chance: random.Random, *, is_cut_off: bool) -> None:
        limit_s = chance.uniform(0.05, 1.0) if is_cut_off and chance.random() < 0.3 else None
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await pipeline.transcribe(self.tools, day, self.emulator.name)

    def pass_time(self, seconds: float) -> None:
        """Let the clocks of both sides leap."""
        self.offset_s += seconds
        self.emulator.advance(seconds)

    def judge(self, day: Day) -> None:
        """Compare every recording's job with the invoice."""
        jobs = self.tools.ledger.read_jobs()
        owners = {
            make_attempt_id(job["job_id"], number): job["key"]
            for job in jobs
            for number in range(1, 9)
        }
        charges = Counter(
            owners[line["attempt_token"]]
            for line in self.emulator.invoice()
            if line["amount_micros"] > line.get("refunded_micros", 0)
        )
        missing = day.recordings - len(jobs)
        day.lost += [f"{missing} without a job"] if missing else []
        for job in jobs:
            if charges[job["key"]] > 1:
                day.paid_twice.append(job["key"])
            if job["state"] == "held":
                is_known = job["cause"] in HELD_FOR.get(day.provider, set())
                (day.held if is_known else day.wrongly_held)[job["cause"]] += 1
            elif job["state"] != "published" or charges[job["key"]] == 0:
                day.lost.append(f"{job['key']}: {job['state']} {job['cause']}")


def _draw_faults(chance: random.Random, hour: int) -> list[dict[str, Any]]:
    """Draw what goes wrong in one hour: lost answers of submits, and a share of all requests."""
    lost = [
        {"operation": "submit", "action": chance.choice(LOST_ANSWERS), "nth": chance.randint(1, 30)}
        for _ in range(chance.randint(0, 2))
    ]
    shares = [
        {
            "operation": operation,
            "action": "random_status",
            "status": chance.choice([500, 502, 503, 429]),
            "share": SHARE,
            "seed": hour,
        }
        for operation in ("get", "list", "observe", "submit")
    ]
    return lost + shares


def main() -> int:
    """Play ``seeds`` days of ``count`` recordings at each provider and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m proof.day", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--count", type=int, default=10_000)
    arguments = parser.parse_args()
    set_environment()
    is_well = True
    print(
        f"{'provider':<12}{'seed':>5}{'recordings':>12}{'lost':>6}{'twice':>7}{'held':>6}{'s':>8}"
    )
    for provider in PROVIDERS:
        for seed in range(arguments.seeds):
            with TemporaryDirectory(prefix="day-") as folder:
                day = simulate(provider, seed, arguments.count, Path(folder))
            counts = (len(day.lost), len(day.paid_twice), day.held.total())
            print(
                f"{provider:<12}{seed:>5}{day.recordings:>12}{counts[0]:>6}{counts[1]:>7}"
                f"{counts[2]:>6}{day.seconds:>8.1f}",
                flush=True,
            )
            is_well &= not (day.lost or day.paid_twice or day.wrongly_held)
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
