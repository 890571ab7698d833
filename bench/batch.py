"""P1 to P5: one batch at the provider's own pace, ours against the vendor's SDK; and its growth."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from bench.ours import API_KEY, fill_ledger, make_urls
from bench.plan import Plan
from bench.processes import control, read_finished, run_emulator, run_side
from bench.rows import Row
from transcription_pipeline.emulators.assemblyai.jobs import AssemblyAISettings
from transcription_pipeline.emulators.speech import draw_job_s

GROWTH_JOB_S = 0.2


def measure_batch(plan: Plan, folder: Path) -> list[Row]:
    """Run the same recordings through both sides, one after the other."""
    settings = plan.emulator_settings()
    order = {"count": plan.recordings, "slots": plan.slots, "folder": str(folder)}
    fill_ledger(folder, plan.recordings)
    sides: dict[str, dict[str, Any]] = {}
    for module, key in (("bench.ours", API_KEY), ("bench.sdk", API_KEY + "-sdk")):
        with run_emulator(settings) as base_url:
            result = run_side(module, {**order, "base_url": base_url}, folder)
            result["requests"] = control(base_url, "requests")["counts"]
            finished = read_finished(base_url, key)
        lags = [
            (datetime.fromisoformat(at) - datetime.fromisoformat(finished[name])).total_seconds()
            for name, at in result["noticed"].items()
            if name in finished
        ]
        result["lag_s"] = mean(lags) if lags else float("nan")
        result["lag_p95_s"] = sorted(lags)[int(0.95 * len(lags))] if lags else float("nan")
        sides[module] = result
    return _batch_rows(plan, sides["bench.ours"], sides["bench.sdk"])


def _batch_rows(plan: Plan, ours: dict[str, Any], sdk: dict[str, Any]) -> list[Row]:
    count, bound = plan.recordings, find_lower_bound_s(plan)
    assert ours["published"] == count, f"only {ours['published']} of {count} published"
    makespan = ours["whole"]["wall_s"] / bound
    sdk_makespan = sdk["whole"]["wall_s"] / bound
    ended = f" (ended with {sdk['ended_with']})" if sdk["ended_with"] else ""
    cpu_ms = ours["whole"]["cpu_s"] * 1000 / count
    sdk_cpu_ms = sdk["whole"]["cpu_s"] * 1000 / count
    peak, sdk_peak = ours["peak_mb"], sdk["peak_mb"]
    requests = sum(ours["requests"].values()) / count
    sdk_requests = sum(sdk["requests"].values()) / count
    return [
        Row(
            "P1",
            f"makespan / lower bound ({bound:.1f} s), N={count} on {plan.slots}",
            f"{makespan:.3f}",
            f"SDK {sdk_makespan:.3f}{ended}",
            f"{makespan / sdk_makespan:.2f}",
            "<= 1.02",
            makespan <= 1.02,
        ),
        Row(
            "P2",
            "CPU per recording, audio to Parquet (SDK: to JSON in memory)",
            f"{cpu_ms:.2f} ms",
            f"SDK {sdk_cpu_ms:.1f} ms",
            f"1/{sdk_cpu_ms / cpu_ms:.1f}",
            "<= 1/20",
            cpu_ms * 20 <= sdk_cpu_ms,
        ),
        Row(
            "P3",
            "peak memory of the process",
            f"{peak:.0f} MB",
            f"SDK {sdk_peak:.0f} MB",
            f"1/{sdk_peak / peak:.1f}",
            "<= 300 MB, <= 1/6",
            peak <= 300 and peak * 6 <= sdk_peak,
        ),
        Row(
            "P4",
            "requests per job",
            f"{requests:.2f}",
            f"SDK {sdk_requests:.1f}",
            f"1/{sdk_requests / requests:.1f}",
            "<= 2.5",
            requests <= 2.5,
        ),
        Row(
            "P5",
            "detection lag, mean (p95)",
            f"{ours['lag_s']:.2f} ({ours['lag_p95_s']:.2f}) s",
            f"SDK {sdk['lag_s']:.2f} ({sdk['lag_p95_s']:.2f}) s",
            f"1/{sdk['lag_s'] / ours['lag_s']:.1f}",
            "<= 0.3 s",
            ours["lag_s"] <= 0.3,
        ),
    ]


def find_lower_bound_s(plan: Plan) -> float:
    """Return what no schedule can beat: all work shared evenly, or the longest job."""
    settings = AssemblyAISettings(**plan.emulator_settings())
    times = [draw_job_s(u, round(s * 1000), settings) for u, s in make_urls(plan.recordings)]
    return max(sum(times) / plan.slots, max(times))


def measure_growth(plan: Plan, folder: Path) -> list[Row]:
    """Run few and many tiny recordings; compare the peaks of memory."""
    peaks = {}
    cpu_ms = {}
    for count in plan.growth:
        place = folder / str(count)
        place.mkdir()
        fill_ledger(place, count)
        settings = plan.emulator_settings(
            job_time="fixed", job_s=GROWTH_JOB_S, word_count=100, concurrency=200
        )
        order = {"count": count, "slots": 200, "folder": str(place), "poll_interval_s": 0.1}
        with run_emulator(settings) as base_url:
            result = run_side("bench.ours", {**order, "base_url": base_url}, place)
        assert result["published"] == count
        peaks[count] = result["peak_mb"]
        cpu_ms[count] = result["whole"]["cpu_s"] * 1000 / count
        shutil.rmtree(place)
    few, many = plan.growth
    grown = peaks[many] - peaks[few]
    return [
        Row(
            "P3",
            f"peak memory, {many} tiny recordings against {few}",
            f"{peaks[many]:.0f} MB",
            f"{peaks[few]:.0f} MB",
            f"{peaks[many] / peaks[few]:.2f}",
            "< +100 MB",
            grown < 100,
        ),
        Row(
            "P13",
            f"CPU per recording, {many} tiny recordings against {few}",
            f"{cpu_ms[many]:.2f} ms",
            f"{cpu_ms[few]:.2f} ms",
            f"{cpu_ms[many] / cpu_ms[few]:.2f}",
            "<= 1.15",
            cpu_ms[many] <= 1.15 * cpu_ms[few],
        ),
    ]
