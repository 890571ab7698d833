"""What a scenario came to: every recording against the emulator's invoice and an undisturbed run.

The witness for money is the invoice alone. The ledger says what became of a recording, the tables
show it, and both are held against the run that nobody disturbed.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from proof.recordings import LENGTHS_MS
from proof.world import World
from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.ledger.ledger import Ledger

MAY_HOLD = frozenset({"aitronos", "plaud"})
"""Where nobody can know whether an unanswered request was taken and charged."""
_OF_THIS_RUN = frozenset(
    [
        "attempt_count",
        "attempt_id",
        "collected_at",
        "completed_at",
        "created_at",
        "deadline_at",
        "first_seen_at",
        "provider_job_id",
        "raw_sha256",
        "raw_uri",
        "submitted_at",
        "updated_at",
    ]
)
"""Columns that name this run's instants, attempts and the provider's own identifiers."""
_MOST_ATTEMPTS = 9
_A_PERSON_NEEDS = ("key", "provider", "sent_at", "reserved_micros")
"""What the ledger must name of a recording it holds: what, where, since when, at what cost."""
Rows = Mapping[str, Mapping[str, list[dict[str, Any]]]]
"""Table → recording → its rows."""


@dataclass(frozen=True)
class Calm:
    """An undisturbed run: what every other one must come to, and where one may be disturbed."""

    rows: Rows
    owners: Mapping[str, str]
    """What an invoice line names, see ``count_charges`` → recording."""
    crossings: list[str]
    requests: list[str]
    """The provider's operations, in order."""


@dataclass
class Outcome:
    """One scenario's end."""

    family: str
    provider: str
    title: str
    lost: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    """Recordings left to a person, by cause."""
    failed: Counter[str] = field(default_factory=Counter)
    """Recordings that ended failed and unpaid, by cause."""
    strikes: int = 0
    """What was to befall the workers: kills, stops, signals, failed calls, full disks, faults."""
    struck: int = 0
    """What of it did. A scenario whose strike did not strike has shown nothing."""
    seconds: float = 0.0
    is_ours: bool = True
    """False where the naive client was at work."""
    log: str = ""
    """What the workers said, where something is wrong."""

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost or paid twice."""
        return not self.lost and not self.paid_twice


def observe_calm(world: World) -> Calm:
    """Run once without any disturbance."""
    worker = world.run()
    assert world.exits == [0], world.read_log()
    with world.open_ledger() as ledger:
        jobs = {row["recording_id"]: row for row in ledger.read_jobs()}
    owners = name_attempts(jobs)
    owners |= {name_length(LENGTHS_MS[row["key"]]): known for known, row in jobs.items()}
    log = world.emulator.request_log() if world.emulator else []
    calm = Calm(
        read_rows(world.folder), owners, worker.crossings, [entry["operation"] for entry in log]
    )
    problems = Outcome("calm", world.provider, "undisturbed")
    judge(world, calm, problems)
    assert problems.is_well, problems
    assert set(calm.rows["transcripts"]) == set(jobs)
    return calm


def judge(world: World, calm: Calm, outcome: Outcome, *, may_hold: bool = True) -> None:
    """Compare a world that is quiet with an undisturbed run; what is wrong goes into ``outcome``.

    Without ``may_hold`` nothing was done that could leave a doubt, and so nothing may be held.
    """
    invoice = world.emulator.invoice() if world.emulator else ()
    charges = count_charges(invoice, calm.owners, outcome)
    with world.open_ledger() as ledger:
        jobs = {row["recording_id"]: row for row in ledger.read_jobs()}
        objections = {
            known: find_objection(ledger, job) if may_hold else "held, though nothing was lost"
            for known, job in jobs.items()
            if job["state"] == "held"
        }
    outcome.lost += find_damage(world.ledger_file)
    rows = read_rows(world.folder)
    for recording_id in sorted(set(calm.owners.values())):
        job = jobs.get(recording_id)
        state = job["state"] if job else "unknown to the ledger"
        if state == "published":
            if world.emulator and charges[recording_id] == 0:
                outcome.lost.append(f"{recording_id}: published, but never charged")
            outcome.lost += [
                f"{recording_id}: other rows in {table}"
                for table, known in calm.rows.items()
                if rows[table].get(recording_id) != known.get(recording_id)
            ]
        elif job and objections.get(recording_id) == "":
            paid = "charged" if charges[recording_id] else "not charged"
            outcome.held[f"{job['cause']} ({paid})"] += 1
        else:
            cause = f" ({job['cause']})" if job else ""
            outcome.lost.append(f"{recording_id}: {objections.get(recording_id, state)}{cause}")


def count_charges(
    invoice: Iterable[Mapping[str, Any]], owners: Mapping[str, str], outcome: Outcome
) -> Counter[str]:
    """Count the charges of each owner; a second one, and one nobody asked for, is paid twice.

    A line names the attempt's token or, where bytes were uploaded, only how long they were.
    """
    charges: Counter[str] = Counter()
    for line in invoice:
        owner = owners.get(line["attempt_token"] or name_length(line["audio_ms"]))
        if owner is None:
            outcome.paid_twice.append(f"a charge nobody asked for: {line['provider_job_id']}")
        else:
            charges[owner] += 1
    outcome.paid_twice += [f"{who}: {n} charges" for who, n in charges.items() if n > 1]
    return charges


def name_attempts(jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return attempt → owner, of every attempt there may ever be at the jobs of these owners."""
    return {
        make_attempt_id(job["job_id"], number): owner
        for owner, job in jobs.items()
        for number in range(1, _MOST_ATTEMPTS)
    }


def name_length(audio_ms: int) -> str:
    """Name a recording by its length: they differ by 10 ms, and decoders by less."""
    return f"{round(audio_ms, -1)} ms"


def find_objection(ledger: Ledger, job: Mapping[str, Any]) -> str:
    """Say why a recording may not be held; empty where nobody can know what became of it.

    ``job`` is its row of ``read_jobs``, in which a person must find what there is to decide.
    """
    if job["provider"] not in MAY_HOLD:
        return "held, though it can be found out"
    if not (job["cause"] or "").startswith("maybe_charged"):
        return "held for no doubt"
    seen = ledger.read_evidence(job["recording_id"])
    if any(row["provider_job_id"] for row in seen if row["provider"] == job["provider"]):
        return "held, though known"
    if missing := [name for name in _A_PERSON_NEEDS if not job[name]]:
        return f"held without {', '.join(missing)}"
    return ""


def find_damage(ledger_file: Path) -> list[str]:
    """List what SQLite itself finds wrong with a ledger."""
    with closing(sqlite3.connect(ledger_file)) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else [f"the ledger is damaged: {line}" for line in found]


def read_rows(folder: Path) -> Rows:
    """Read all tables of a lake, without the columns that are each run's own."""
    root = folder / "lake" / "tables"
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(root.rglob("*.parquet")):
        table = found[file.relative_to(root).parts[0]]
        for row in pq.read_table(file, partitioning=None).to_pylist():
            recording_id = str(row["recording_id"])
            table[recording_id].append({k: v for k, v in row.items() if k not in _OF_THIS_RUN})
    return found
