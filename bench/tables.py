"""P6 and P7: raw answers to Parquet, against pandas and against json with Arrow's own converter.

pandas is not a dependency of this project: it is put into a folder under ``var/`` once, pinned, and
only the peer's process sees it. Where that is not possible the other baseline stands alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.ours import API_KEY, fill_ledger
from bench.plan import Plan
from bench.processes import run_emulator, run_side
from bench.rows import Row

PANDAS = "pandas==3.0.0"
PEERS = Path("var/bench-peers")


def measure_tables(plan: Plan, folder: Path) -> list[Row]:
    """Store answers through a real run, then turn the same answers into tables in three ways."""
    count = plan.table_documents
    fill_ledger(folder, count)
    settings = plan.emulator_settings(job_time="fixed", job_s=0.1, concurrency=200)
    order = {
        "count": count,
        "slots": 200,
        "folder": str(folder),
        "poll_interval_s": 0.1,
        "api_key": API_KEY,
    }
    with run_emulator(settings) as base_url:
        run_side("bench.ours", {**order, "base_url": base_url}, folder)
    ours = run_side("bench.normalising", {**order, "way": "ours"}, folder)
    arrow = run_side("bench.normalising", {**order, "way": "json"}, folder)
    pandas = None
    if _has_pandas():
        environment = {"PYTHONPATH": str(PEERS.resolve())}
        pandas = run_side("bench.normalising", {**order, "way": "pandas"}, folder, **environment)
    return _rows(ours, arrow, pandas)


def _has_pandas() -> bool:
    if (PEERS / "pandas").exists():
        return True
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--target", str(PEERS), PANDAS]
    return subprocess.run(command, check=False).returncode == 0


def _speed(side: dict[str, Any]) -> float:
    return float(side["words"] / side["cpu_s"])


def _rows(ours: dict[str, Any], arrow: dict[str, Any], pandas: dict[str, Any] | None) -> list[Row]:
    speed, baseline = _speed(ours), _speed(arrow)
    rows = []
    if pandas:
        ratio = speed / _speed(pandas)
        rows.append(
            Row(
                "P6",
                "words/s per core, raw answer to Parquet, against pandas.json_normalize",
                f"{speed:,.0f}",
                f"pandas {_speed(pandas):,.0f}",
                f"{ratio:.1f}",
                ">= 28",
                ratio >= 28,
            )
        )
    rows += [
        Row(
            "P6",
            "the same against json + pyarrow.Table.from_pylist",
            f"{speed:,.0f}",
            f"json {baseline:,.0f}",
            f"{speed / baseline:.1f}",
            ">= 4.1",  # 28 / 6.8, its published distance from pandas
            speed / baseline >= 4.1,
        ),
        Row(
            "P7",
            "bytes per word in Parquet; raw answers against their JSON",
            f"{ours['bytes_per_word']:.1f}; {ours['raw_share']:.3f}",
            "-",
            "-",
            "<= 7; <= 0.13",
            ours["bytes_per_word"] <= 7 and ours["raw_share"] <= 0.13,
        ),
    ]
    return rows
