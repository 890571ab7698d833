"""P14: a provider that allows 50 requests a second, one that fails now and then, and both."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from bench.ours import fill_ledger
from bench.plan import Plan
from bench.processes import control, run_emulator, run_side
from bench.rows import Row

RATE, BURST = 50.0, 50
JOB_S = 4.0
PROOF_S = 7_200 + 15 * 60 + 60
"""After so long a request that is in no list is proved never to have arrived."""
_LIMIT = {"action": "rate_limit", "requests_per_s": RATE, "burst": BURST, "retry_after": "1"}
_FAIL = {"action": "random_status", "status": 503, "share": 0.01, "seed": 4}
SCRIPTS = {"50/s": [_LIMIT], "1 % 503": [_FAIL], "50/s and 1 % 503": [_FAIL, _LIMIT]}


def measure_rates(plan: Plan, folder: Path) -> list[Row]:
    """Run the same jobs under each fault script."""
    rows = []
    for number, (name, rules) in enumerate(SCRIPTS.items()):
        place = folder / str(number)
        place.mkdir()
        ours = _run_ours(plan, place, rules)
        sdk = _run_sdk(plan, place, rules) if "sdk" in plan.rate_sides else None
        rows += _rows(plan, name, ours, sdk, is_limited=_LIMIT in rules)
    return rows


def _run_ours(plan: Plan, place: Path, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Run once; then let the proof window pass and run again, for requests left in doubt."""
    fill_ledger(place, plan.rate_jobs)
    settings = plan.emulator_settings(job_time="fixed", job_s=JOB_S, concurrency=200)
    order = {
        "count": plan.rate_jobs,
        "slots": 200,
        "folder": str(place),
        # What the account is told it may do, as a user would set it.
        "requests_per_s": RATE if _LIMIT in rules else 1_000.0,
    }
    with run_emulator(settings) as base_url:
        control(base_url, "faults", rules)
        first = run_side("bench.ours", {**order, "base_url": base_url}, place)
        statuses = Counter(control(base_url, "requests")["statuses"])
        control(base_url, "faults", [])
        control(base_url, "clock", {"advance_s": PROOF_S})
        late = {**order, "base_url": base_url, "offset_s": PROOF_S}
        second = run_side("bench.ours", late, place)
        lines = control(base_url, "invoice")["lines"]
    refused = sum(n for name, n in statuses.items() if name.endswith(":429"))
    return {
        "wall_s": first["transcribe"]["wall_s"],
        "first": first["published"],
        "finished": first["published"] + second["published"],
        "refused": refused / max(1, statuses.total()),
        "charges": len(lines),
        "requests": statuses.total(),
    }


def _run_sdk(plan: Plan, place: Path, rules: list[dict[str, Any]]) -> dict[str, Any]:
    settings = plan.emulator_settings(job_time="fixed", job_s=JOB_S, concurrency=200)
    with run_emulator(settings) as base_url:
        control(base_url, "faults", rules)
        order = {"count": plan.rate_jobs, "base_url": base_url}
        result: dict[str, Any] = run_side("bench.sdk", order, place)
    return result


def _rows(
    plan: Plan, name: str, ours: dict[str, Any], sdk: dict[str, Any] | None, *, is_limited: bool
) -> list[Row]:
    count = plan.rate_jobs
    peer = f"SDK {sdk['completed']}" if sdk else "-"
    is_complete = ours["finished"] == count == ours["charges"]
    rows = [
        Row(
            "P14",
            f"finished of {count} under {name} (charged)",
            f"{ours['finished']} ({ours['charges']}); {ours['first']} at once",
            peer,
            "-",
            f"{count} ({count})",
            is_complete,
        )
    ]
    if is_limited:
        # Two requests a job and a list for every ten jobs, less the burst, at the allowed rate.
        floor_s = max((2.1 * count - BURST) / RATE, JOB_S)
        ratio = ours["wall_s"] / floor_s
        rows += [
            Row(
                "P14",
                f"makespan / token-bucket floor ({floor_s:.1f} s) under {name}",
                f"{ratio:.2f}",
                "-",
                "-",
                "<= 1.10",
                ratio <= 1.10,
            ),
            Row(
                "P14",
                f"429s among requests under {name}",
                f"{ours['refused']:.1%}",
                "-",
                "-",
                "<= 5 %",
                ours["refused"] <= 0.05,
            ),
        ]
    return rows
