"""What a simulated day came to at one provider: every recording against invoice and tables.

The witness for money is the emulator's invoice alone. ``day.py`` is the only caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from proof.verdict import Outcome, find_objection
from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.tables.schema import TRANSCRIPTS
from transcription_pipeline.tools import Tools

_MOST_ATTEMPTS = 30
_MAY_FAIL = 0.005
"""Share of recordings that may be proved not to have arrived as often as there may be attempts."""


def judge(
    outcome: Outcome,
    keys: Collection[str],
    *,
    tools: Tools,
    emulator: EmulatorServer,
    lake: Path,
) -> None:
    """Look at each recording that was sent to ``emulator``; what is wrong goes into ``outcome``.

    It is published with one charge and one row, or held where nobody can know, or failed for a
    stated cause and unpaid, which few may. All else is lost, but for a second charge.
    """
    jobs = {row["key"]: row for row in tools.ledger.read_jobs(provider=emulator.name)}
    charges = _count_charges(emulator, jobs, tools, outcome)
    rows = _count_rows(lake, emulator.name)
    for key in keys:
        job = jobs.get(key)
        state, cause = (job["state"], job["cause"]) if job else ("unknown to the ledger", None)
        paid, written = charges[key], rows[job["recording_id"]] if job else 0
        if paid > 1:
            outcome.paid_twice.append(f"{key}: {paid} charges")
        elif job and state == "held" and not find_objection(tools.ledger, job):
            outcome.held[f"{cause} ({'charged' if paid else 'not charged'})"] += 1
        elif state == "failed" and cause and not paid:
            outcome.failed[cause] += 1
        elif (state, paid, written) != ("published", 1, 1):
            outcome.lost.append(f"{key}: {state} ({cause}), {paid} charges, {written} rows")
    if outcome.failed.total() > _MAY_FAIL * len(keys):
        outcome.lost.append(f"{outcome.failed.total()} recordings failed, unpaid")


def _count_charges(
    emulator: EmulatorServer, jobs: Mapping[str, Mapping[str, Any]], tools: Tools, outcome: Outcome
) -> Counter[str]:
    """Count what was charged and not given back, by key."""
    owners = {
        make_attempt_id(job["job_id"], number): key
        for key, job in jobs.items()
        for number in range(1, _MOST_ATTEMPTS)
    }
    # Uploads carry no token: their bytes name the recording, which the bucket knows by the same sum.
    owners |= {row["etag"]: row["key"] for row in tools.ledger.read_recordings()}
    charges: Counter[str] = Counter()
    for line in emulator.invoice():
        if line["amount_micros"] <= line["refunded_micros"]:
            continue
        owner = owners.get(line["attempt_token"] or line["file_md5"])
        if owner is None:
            outcome.paid_twice.append(f"a charge nobody asked for: {line['provider_job_id']}")
        else:
            charges[owner] += 1
    return charges


def _count_rows(lake: Path, provider: str) -> Counter[str]:
    """Count the transcripts in the tables, by recording."""
    files = (lake / "tables" / TRANSCRIPTS.name).rglob(f"provider={provider}/*.parquet")
    read = (pq.read_table(file, columns=["recording_id"], partitioning=None) for file in files)
    return Counter(name for table in read for name in table["recording_id"].to_pylist())
