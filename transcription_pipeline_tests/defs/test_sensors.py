"""Sensors compare bucket, ledger and live runs as they are; no cursor or run key is trusted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from transcription_pipeline.defs.driving import drive_until_quiet
from transcription_pipeline_tests.world import World

Tick = Callable[[str], list[tuple[str, str]]]


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def test_a_new_file_asks_for_one_run_per_provider(world: World, tick: Tick) -> None:
    """A recording that nobody attempted makes its partition of each provider due."""
    assert tick("new_recordings") == []
    world.put("appointment.flac")
    day = _today()
    wanted = [("transcribe", f"{day}|assemblyai"), ("transcribe", f"{day}|local")]
    assert tick("new_recordings") == wanted
    assert tick("new_recordings") == wanted, "level-triggered: still due, so asked for again"


def test_a_live_run_is_not_asked_for_again(
    world: World, tick: Tick, instance: dg.DagsterInstance
) -> None:
    """While a run of the partition is live, no second one is requested."""
    world.put("appointment.flac")
    partition = f"{_today()}|local"
    instance.add_run(
        dg.DagsterRun(
            job_name="transcribe",
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": partition},
        )
    )
    assert tick("new_recordings") == [("transcribe", f"{_today()}|assemblyai")]


def test_a_partition_that_fails_twice_is_given_a_rest(
    world: World, tick: Tick, instance: dg.DagsterInstance
) -> None:
    """A run that was killed is made up for at once; a lasting fault is no storm of runs."""
    world.put("appointment.flac")
    partition, asked = f"{_today()}|local", []
    for _ in range(2):
        run = instance.create_run_for_job(
            dg.job(name="transcribe")(lambda: None), tags={"dagster/partition": partition}
        )
        instance.report_run_failed(run)
        asked.append(("transcribe", partition) in tick("new_recordings"))
    assert asked == [True, False]


def test_sensors_and_asset_jobs_carry_a_file_to_the_tables(
    world: World, defs: dg.Definitions, instance: dg.DagsterInstance, tick: Tick
) -> None:
    """Driven until quiet, the real sensors and asset jobs publish, and then ask for nothing."""
    world.put("appointment.flac")
    world.put("text.mp3")
    events: list[dict[str, object]] = []
    assert drive_until_quiet(defs, instance, events.append)
    assert [event["job"] for event in events].count("transcribe") == 2
    assert world.json("status")["by_provider"]["assemblyai"]["published"] == 1
    assert world.json("status")["quarantined"] == 1
    assert tick("new_recordings") == tick("jobs_due") == []
    asked = world.emulator.request_counts()
    again: list[dict[str, object]] = []
    assert drive_until_quiet(defs, instance, again.append)
    assert again == []
    assert world.emulator.request_counts() == asked, "a finished partition costs no request"
