"""What must be true after every step, whatever the story: the invariants, checked from outside.

The witness reads three books that the pipeline's decisions do not pass through: the emulated
provider's jobs and invoice, the rows of the ledger's file (read-only SQL), and the files of the
lake. Who played what is in ``test_state_machine.py``; nothing is played here.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

from transcription_pipeline_tests.engine.scene import Scene

Row = dict[str, Any]
DEAD = {"rejected", "abandoned", "failed"}
KEPT = {"stored", "published", "bad_result"}
PROVES_ABSENCE = {"assemblyai", "scriptivox"}
"""Where a request can be proved never to have arrived; elsewhere only a person frees a job."""
TOLD_BY_PROVIDER = "refused_on_replay"
"""Cause of an attempt that the provider itself said it never took: its URL fences nothing."""
APPEND_ONLY = {"evidence": "evidence_id", "transitions": "transition_id"}
MAY_HOLD = {
    "aitronos": {"maybe_charged_check_synapse_transactions"},
    "assemblyai": set[str](),
    "plaud": {"maybe_charged_ask_plaud"},
    "scriptivox": {"too_late_to_replay"},
}
"""Where nobody can know; Scriptivox forgets the key of a request after a day."""
CLOCKS_DIFFER_S = 5.0
"""The provider's clock is read once; a request is not dated to the millisecond."""


class Witness:
    """Reads the books of one small world and remembers what may never change."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene = scene
        self._lake = folder / "lake"
        self._ledger = sqlite3.connect(f"file:{folder}/ledger.db?mode=ro", uri=True)
        self._ledger.row_factory = sqlite3.Row
        self._seen: dict[str, list[Row]] = defaultdict(list)
        self._fences: dict[tuple[str, ...], int] = {}
        self.revivals: Counter[str] = Counter()
        """job_id → how often a person let it be tried again after it had failed."""

    def close(self) -> None:
        """Close the ledger's file."""
        self._ledger.close()

    def read(self, table: str, order: str) -> list[Row]:
        """Read all rows of one table of the ledger."""
        query = f"SELECT * FROM {table} ORDER BY {order}"
        return [dict(row) for row in self._ledger.execute(query)]

    # -- the provider's books ----------------------------------------------------------------------

    def find_provider_jobs(self) -> dict[str, str]:
        """Return the provider's jobs: id → SHA-256 of the audio URL it was given."""
        jobs = list(self._scene.emulator.service.desk.jobs.values())  # type: ignore[attr-defined]
        return {job.id: sha256(_url_of(job).encode()).hexdigest() for job in jobs}

    def find_charges(self) -> Counter[str]:
        """Count what was charged and not given back, by attempt; a stray charge raises."""
        jobs = self.find_provider_jobs()
        owners = {row["audio_url_sha256"]: row["attempt_id"] for row in self._attempts()}
        paid = [
            line["provider_job_id"]
            for line in self._scene.emulator.invoice()
            if line["amount_micros"] > line["refunded_micros"]
        ]
        return Counter(owners[jobs[job_id]] for job_id in paid)

    # -- the invariants ----------------------------------------------------------------------------

    def check(self) -> None:
        """Hold all books against each other; an ``AssertionError`` names the invariant."""
        attempts = self._attempts()
        by_job: dict[str, list[Row]] = defaultdict(list)
        for row in attempts:
            by_job[row["job_id"]].append(row)
        kinds: dict[str, set[str]] = defaultdict(set)
        for seen in self.read("evidence", "evidence_id"):
            kinds[seen["attempt_id"]].add(seen["kind"])
        for moved in self.read("transitions", "transition_id"):
            kinds[moved["attempt_id"]].add(f"{moved['from_state']} to {moved['to_state']}")
        self._check_requests(attempts)
        for rows in by_job.values():
            live = [row["number"] for row in rows if row["state"] not in DEAD]
            assert len(live) <= 1, f"I1: attempts {live} of one job are alive"
            assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
            for former, _ in pairwise(rows):
                self._check_was_over(former, kinds[former["attempt_id"]])
            for former, later in pairwise(rows):
                if "intent to abandoned" not in kinds[former["attempt_id"]]:
                    _check_fence_of_url(former, later)
            self._check_count(rows)
        self._check_money(by_job)
        self._check_memory(attempts)
        self._check_raw_answers(attempts)

    def _attempts(self) -> list[Row]:
        return self.read("attempts", "job_id, number")

    def _check_requests(self, attempts: list[Row]) -> None:
        sent = {row["audio_url_sha256"]: row for row in attempts if row["sent_at"]}
        desk = self._scene.emulator.service.desk  # type: ignore[attr-defined]
        for job_id, digest in self.find_provider_jobs().items():
            assert digest in sent, f"I2: the provider got {job_id}, the ledger has no such request"
            late_s = _seconds(sent[digest]["sent_at"]) - desk.jobs[job_id].created_at
            assert late_s < CLOCKS_DIFFER_S, (
                f"I2: {job_id} was recorded {late_s} s after it was sent"
            )

    def _check_was_over(self, former: Row, kinds: set[str]) -> None:
        state, provider = former["state"], former["provider"]
        assert state in DEAD, f"I5: a further attempt beside one that is {state}"
        if state == "abandoned":
            is_proved = provider in PROVES_ABSENCE and "never_arrived" in kinds
            is_freed = is_proved or kinds & {"released_by_person", "intent to abandoned"}
            assert is_freed, f"I5: given up without proof: {kinds}"
        else:
            assert kinds & {"rejected", "accepted to failed"}, f"I5: {state} without evidence"

    def _check_count(self, rows: list[Row]) -> None:
        most = self._scene.tools.limits[self._scene.provider].max_attempts
        failures = sum(row["state"] == "failed" for row in rows)
        allowed = most + self.revivals[rows[0]["job_id"]]
        assert failures <= allowed, f"I6: {failures} attempts failed, {allowed} are allowed"

    def _check_money(self, by_job: dict[str, list[Row]]) -> None:
        charges = self.find_charges()
        for rows in by_job.values():
            paid = {row["number"]: charges[row["attempt_id"]] for row in rows}
            assert sum(paid.values()) <= 1, f"paid twice: charges by attempt {paid}"
            earlier = [number for number in paid if paid[number] and number < len(rows)]
            assert not earlier, f"I6: attempt {earlier[0]} was paid, and another was made"

    def _check_memory(self, attempts: list[Row]) -> None:
        for table, key in APPEND_ONLY.items():
            rows, seen = self.read(table, key), self._seen[table]
            assert rows[: len(seen)] == seen, f"I4: rows of {table} vanished or changed"
            self._seen[table] = rows
        fences = {(row["attempt_id"],): row["fence"] for row in attempts}
        fences |= {
            (row["day"], row["provider"]): row["fence"] for row in self.read("leases", "day")
        }
        fallen = [key for key, fence in self._fences.items() if fences.get(key, -1) < fence]
        assert not fallen, f"I4: the fence of {fallen} fell"
        self._fences = fences

    def _check_raw_answers(self, attempts: list[Row]) -> None:
        for row in attempts:
            if row["state"] in KEPT:
                body = zstandard.decompress((self._lake / row["raw_key"]).read_bytes())
                assert sha256(body).hexdigest() == row["raw_sha256"], "I7: another raw answer"

    def read_tables(self) -> dict[str, list[Row]]:
        """Read every file of the tables: its path → its rows."""
        root = self._lake / "tables"
        return {
            str(file.relative_to(root)): pq.read_table(file, partitioning=None).to_pylist()
            for file in sorted(root.rglob("*.parquet"))
        }

    # -- the end -----------------------------------------------------------------------------------

    def judge(self, present: set[str], gone: set[str]) -> None:
        """Hold a world that is quiet against the etags in its bucket, and those that were there."""
        ledger, provider = self._scene.tools.ledger, self._scene.provider
        recordings = {row["recording_id"]: row["etag"] for row in ledger.read_recordings()}
        known = set(recordings.values())
        assert present <= known <= gone | present, "a recording is unknown, or was never there"
        assert ledger.count_states()["unaccounted"] == 0
        charges = self.find_charges()
        paid = {row["job_id"] for row in self._attempts() if charges[row["attempt_id"]]}
        for job in ledger.read_jobs():
            state, cause = job["state"], job["cause"]
            told = f"{job['key']}: {state}, {cause}, attempt {job['attempt_state']}"
            if state == "published":
                assert job["job_id"] in paid, f"published without a charge: {told}"
            elif state == "held":
                assert cause in MAY_HOLD[provider], f"held, though one could know: {told}"
            else:
                assert state in {"failed", "quarantined"}, f"never ends: {told}"
                assert cause, f"no cause: {told}"
                assert job["job_id"] not in paid, f"paid and lost: {told}"
            if state == "quarantined":
                assert (cause, recordings[job["recording_id"]] in gone) == ("source_gone", True), (
                    told
                )


def _check_fence_of_url(former: Row, later: Row) -> None:
    """I3: whoever is given a second URL, the first one is dead or the provider is done with it.

    One that was given up as an intent was never given to anybody, or was refused at once.
    """
    is_open = former["state"] == "abandoned" and former["cause"] != TOLD_BY_PROVIDER
    if is_open and former["url_expires_at"]:
        left_s = _seconds(former["url_expires_at"]) - _seconds(later["created_at"])
        assert left_s <= 0, f"I3: a second URL while the first lives {left_s:.0f} s more"


def _url_of(job: Any) -> str:
    if hasattr(job, "file_url"):  # Plaud's own, of an upload
        return str(job.file_url)
    return str(job.audio_url if hasattr(job, "audio_url") else job.options["url"])


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
