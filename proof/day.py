"""A simulated day: recordings arrive hour by hour, faults strike, workers come and go.

Three worker processes share one ledger, bucket and lake, and four emulated providers; all clocks leap
from hour to hour. Requests fail at random, answers get lost, workers are killed in the middle. In the
end the providers' own invoices are read: every recording once, or held where nobody can know.
What a worker does is in ``day_worker.py``.
"""

from __future__ import annotations

import io
import multiprocessing
import random
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proof.day_verdict import judge
from proof.day_worker import PROVIDERS, Shift, open_tools, work
from proof.verdict import Outcome
from proof.world import UNLIMITED
from transcription_pipeline import pipeline
from transcription_pipeline.audio.transcode import transcode_to_mp3
from transcription_pipeline.domain.recording import AudioFacts, AudioObject
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline.ledger.instants import to_text
from transcription_pipeline_tests.engine.scene import learn_fast_jobs, make_wav
from transcription_pipeline_tests.s3_servers import S3Server, run_ministack

WORKERS = 3
HOURS = 24
LATER_HOURS = 40
"""After the day, at most, until every doubt is proved, held or past its deadline."""
REFUSED = {500: 0.016, 502: 0.016, 503: 0.016, 429: 0.002}
"""Status → share of all requests that are answered with it instead of being done. Of 429 there are
few: each makes a client pause for a second."""
LOST_SHARE = 0.02
"""Of submits, how many are done and their answers lost."""
LOST_ANSWERS = ("drop_after", "reset", "half_headers", "truncate", "garbage", "html")
KILLED_SHARE = 0.3
"""Of workers: so many in an hour are killed, unless they are done before."""
LONGEST_LIFE_S = 3.0
"""Of a worker that is to be killed: with more to do it is in the middle of it by then."""
LANES = 2
"""Days side by side: each often waits, for pauses and syncs."""
LATEST_S = 3 * 3_600
"""A killed worker leaves its partition alone for an hour, and the next one may be killed as well."""
PATIENCE_S = 300.0
"""A worker that is at it for longer hangs."""
_forks = multiprocessing.get_context("forkserver")
# Each child imports what the main module does; what is slow to load of it is loaded once.
_forks.set_forkserver_preload(
    ["proof.preload", "proof.day_verdict", "transcription_pipeline_tests.engine.scene"]
)


def simulate(
    seed: int, count: int, folder: Path, s3: S3Server, *, hours: int = HOURS
) -> list[Outcome]:
    """Play one day with so many recordings below ``folder``, and the hours until all is settled.

    The same seed draws the same faults, kills and orders of work. Returns one outcome per provider.
    """
    started_at = time.monotonic()
    with ExitStack() as stack:
        emulators = [
            stack.enter_context(
                EmulatorServer(name, job_s=0.05, word_count=10, audio_s=30.0, **UNLIMITED[name])
            )
            for name in PROVIDERS
        ]
        day = _Day(seed, count, folder, s3, emulators)
        stack.callback(day.tools.ledger.close)
        day.play(hours)
        outcomes = [day.judge(emulator) for emulator in emulators]
    for outcome in outcomes:  # they shared the day
        outcome.seconds = (time.monotonic() - started_at) / len(outcomes)
    return outcomes


class _Day:
    """The world of one day. The bucket is not listed: recordings are known, as if looked into before.

    Plaud gets the bytes; the others get signed URLs and, scripted as they are, fetch nothing.
    """

    def __init__(
        self, seed: int, count: int, folder: Path, s3: S3Server, emulators: Sequence[EmulatorServer]
    ) -> None:
        self.chance = random.Random(seed)
        self.title = f"seed {seed}, {count // len(PROVIDERS)} recordings"
        self.keys = [f"{PROVIDERS[n % len(PROVIDERS)]}/{n:05}.mp3" for n in range(count)]
        self.emulators = emulators
        self.problems: list[str] = []
        """What went wrong besides: nobody's recording, but no day is well with it."""
        self.killed = 0
        """Workers that were killed while they were at work."""
        self.shift = Shift(
            folder,
            s3.endpoint_url,
            s3.create_bucket(),
            {emulator.name: emulator.base_url for emulator in emulators},
            emulators[0].control("clock")["now"] - time.time(),
        )
        self.tools = open_tools(self.shift)
        self.client = s3.open_client()
        for name in PROVIDERS:
            self.tools.ledger.save_wait_model(name, learn_fast_jobs())

    def play(self, hours: int) -> None:
        """Let the day pass, and the hours after it in which doubts are cleared up."""
        per_hour = -(-len(self.keys) // hours)
        for start in range(0, per_hour * hours, per_hour):
            self.arrive(self.keys[start : start + per_hour])
            for emulator in self.emulators:
                emulator.set_faults(*self.draw_faults(per_hour // len(PROVIDERS)))
            self.work(KILLED_SHARE)
            self.pass_an_hour()
            self.look_for_late_ones()
        for emulator in self.emulators:
            emulator.set_faults()
        for _ in range(LATER_HOURS):
            if not self.tools.ledger.read_jobs(state="in_progress"):
                break
            self.work()
            self.pass_an_hour()
            self.look_for_late_ones()

    def arrive(self, keys: Sequence[str]) -> None:
        """Let recordings be known, with what a look into them found."""
        at = datetime.now(UTC) + timedelta(seconds=self.shift.offset_s)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda key: self.put(key, at), keys))
        wishes = [(audio, pipeline.plan(self.tools.routes, audio.key) or {}) for audio in found]
        self.tools.ledger.record_recordings(wishes, first_day=self.tools.first_day, at=at)
        facts = AudioFacts("mp3", "mp3", 8_000, 1, 1_000)
        self.tools.ledger.commit([Probed(audio.recording_id, at, facts) for audio in found])

    def put(self, key: str, at: datetime) -> AudioObject:
        """Drop one recording into the bucket; each has other bytes, by which an invoice names it."""
        # An ID3v1 tag of 128 bytes, with the key as its title.
        body = _make_mp3() + b"TAG" + key.encode().ljust(125, b"\0")
        self.client.put_object(Bucket=self.shift.bucket, Key=key, Body=body)
        return AudioObject(self.shift.bucket, key, md5(body).hexdigest(), len(body), at)

    def draw_faults(self, submits: int) -> list[dict[str, Any]]:
        """Draw what goes wrong at one provider in one hour."""
        chance = self.chance
        lost = [
            {"operation": "submit", "action": chance.choice(LOST_ANSWERS), "nth": nth}
            for nth in range(1, submits + 1)
            if chance.random() < LOST_SHARE
        ]
        refused = [
            {
                "action": "random_status",
                "status": status,
                "share": share,
                "seed": chance.randrange(2**32),
            }
            for status, share in REFUSED.items()
        ]
        return lost + refused

    def work(self, killed_share: float = 0.0) -> None:
        """Let every worker go through what is due, each in its own order, some not to the end."""
        chance, lives = self.chance, []
        for _ in range(WORKERS):
            seed, dies_after_s = chance.random(), chance.uniform(0.05, LONGEST_LIFE_S)
            lives.append((seed, dies_after_s if chance.random() < killed_share else None))
        with ThreadPoolExecutor(WORKERS) as threads:
            list(threads.map(lambda life: self.work_once(*life), lives))

    def work_once(self, seed: float, dies_after_s: float | None) -> None:
        """Start a worker, and wait for its end or kill it."""
        ours, theirs = _forks.Pipe()
        process = _forks.Process(target=work, args=(theirs,))
        process.start()
        theirs.close()
        with closing(ours):
            ours.send(replace(self.shift, seed=seed))
            process.join(dies_after_s or PATIENCE_S)
            is_at_it = process.exitcode is None
            process.kill()
            process.join()
            if is_at_it and dies_after_s:
                self.killed += 1
            elif process.exitcode != 0:
                self.problems.append(f"a worker hung or failed, exit code {process.exitcode}")

    def pass_an_hour(self) -> None:
        """Let the clocks of both sides leap."""
        self.shift = replace(self.shift, offset_s=self.shift.offset_s + 3_600)
        for emulator in self.emulators:
            emulator.advance(3_600)

    def look_for_late_ones(self) -> None:
        """Nothing is in progress for long after its deadline: workers looked at all of it since."""
        latest = to_text(datetime.now(UTC) + timedelta(seconds=self.shift.offset_s - LATEST_S))
        for job in self.tools.ledger.read_jobs(state="in_progress"):
            if job["attempt_deadline_at"] and job["attempt_deadline_at"] < latest:
                self.problems.append(f"{job['key']}: in progress {LATEST_S} s past its deadline")

    def judge(self, emulator: EmulatorServer) -> Outcome:
        """Say what became of the recordings of one provider."""
        title = f"{self.title}, {self.killed} workers killed"
        outcome = Outcome("simulated day", emulator.name, title, lost=list(self.problems))
        outcome.strikes, outcome.struck = max(1, self.killed), self.killed
        keys = [key for key in self.keys if key.startswith(f"{emulator.name}/")]
        lake = self.shift.folder / "lake"
        judge(outcome, keys, tools=self.tools, emulator=emulator, lake=lake)
        if not outcome.is_well:
            outcome.log = (self.shift.folder / "worker.log").read_text(errors="replace")[-20_000:]
        return outcome


@cache
def _make_mp3() -> bytes:
    mp3 = io.BytesIO()
    transcode_to_mp3(io.BytesIO(make_wav(0.1)), mp3, threading.Event())
    return mp3.getvalue()


def play_days(
    seeds: Sequence[int], count: int, lanes: int = LANES
) -> Generator[Outcome, None, None]:
    """Play a day for each seed, some side by side in processes of their own.

    Whoever stops listening waits for the days that were begun, and for no other.
    """
    days = ProcessPoolExecutor(lanes, _forks)
    try:
        for day in [days.submit(_play_day, seed, count) for seed in seeds]:
            yield from day.result()
    finally:
        days.shutdown(cancel_futures=True)


def _play_day(seed: int, count: int) -> list[Outcome]:
    with TemporaryDirectory(prefix="day-") as folder, run_ministack(Path(folder)) as s3:
        return simulate(seed, count, Path(folder), s3)
