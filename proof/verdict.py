"""What a scenario came to: every recording against the emulator's invoice and an undisturbed run.

The witness for money is the invoice alone. The ledger says what became of a recording, the tables
show it, and both are held against the run that nobody disturbed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from proof.recordings import LENGTHS_MS
from proof.world import World
from transcription_pipeline.domain.job import make_attempt_id

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
_MOST_ATTEMPTS = 6
Rows = Mapping[str, Mapping[str, list[dict[str, Any]]]]
"""Table → recording → its rows."""


@dataclass(frozen=True)
class Calm:
    """An undisturbed run: what every other one must come to, and where one may be disturbed."""

    rows: Rows
    owners: Mapping[str, str]
    """What an invoice line names (the attempt's token, or the length of an upload) → recording."""
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
    owners = {
        make_attempt_id(row["job_id"], number): recording_id
        for recording_id, row in jobs.items()
        for number in range(1, _MOST_ATTEMPTS)
    }
    owners |= {str(LENGTHS_MS[row["key"]]): recording_id for recording_id, row in jobs.items()}
    log = world.emulator.request_log() if world.emulator else []
    calm = Calm(
        read_rows(world.folder), owners, worker.crossings, [entry["operation"] for entry in log]
    )
    problems = Outcome("calm", world.provider, "undisturbed")
    judge(world, calm, problems)
    assert problems.is_well, problems
    assert set(calm.rows["transcripts"]) == set(jobs)
    return calm


def judge(world: World, calm: Calm, outcome: Outcome) -> None:
    """Compare a world that is quiet with an undisturbed run; what is wrong goes into ``outcome``."""
    charges: Counter[str] = Counter()
    for line in world.emulator.invoice() if world.emulator else ():
        owner = calm.owners.get(line["attempt_token"] or str(line["audio_ms"]))
        if owner is None:
            outcome.paid_twice.append(f"a charge nobody asked for: {line['provider_job_id']}")
        else:
            charges[owner] += 1
    outcome.paid_twice += [f"{who}: {n} charges" for who, n in charges.items() if n > 1]
    with world.open_ledger() as ledger:
        jobs = {row["recording_id"]: row for row in ledger.read_jobs()}
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
        elif job and state == "held" and world.provider in MAY_HOLD:
            paid = "charged" if charges[recording_id] else "not charged"
            outcome.held[f"{job['cause']} ({paid})"] += 1
        else:
            cause = f" ({job['cause']})" if job else ""
            outcome.lost.append(f"{recording_id}: {state}{cause}")


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
