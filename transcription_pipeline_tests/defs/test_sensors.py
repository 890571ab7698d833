"""Sensors compare bucket, ledger and live runs as they are; no cursor or run key is trusted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from transcription_pipeline.composition import open_ledger
from transcription_pipeline.definitions import build_definitions
from transcription_pipeline.defs.driving import drive_until_quiet
from transcription_pipeline.domain.recording import AudioObject
from transcription_pipeline.settings import Settings
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


@pytest.fixture
def strays(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[date, ...]:
    """Days with work that Dagster has no partition for: ``partitions.start`` moved past one."""
    today = datetime.now(UTC).date()
    monkeypatch.setenv("TRANSCRIPTION__PARTITIONS__START", today.isoformat())
    days = (today - timedelta(days=1), today + timedelta(days=400))
    with closing(open_ledger(Settings.load())) as ledger:
        for day in days:
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
            audio = AudioObject(world.bucket, f"inbox/{day}.wav", "etag", 1_000, at)
            ledger.record_recordings([(audio, {"local": {}})], first_day=day, at=at)
    return days


def test_a_day_outside_the_partitions_stops_no_sensor(
    world: World, strays: tuple[date, ...], tick: Tick, capfd: pytest.CaptureFixture[str]
) -> None:
    """What Dagster has no partition for is left out and told; all other work is asked for."""
    world.put("appointment.flac")
    day = _today()
    wanted = [("transcribe", f"{day}|assemblyai"), ("transcribe", f"{day}|local")]
    assert tick("new_recordings") == wanted
    assert tick("jobs_due") == [("catalogue", day)]
    told = capfd.readouterr().err
    for stray in strays:
        assert f"{stray} is outside the partitions" in told
    assert "partitions.start" in told


def test_a_day_outside_the_partitions_stops_no_schedule(
    world: World, strays: tuple[date, ...], instance: dg.DagsterInstance
) -> None:
    """The daily run of recent partitions leaves out what Dagster does not have."""
    assert len(strays) == 2
    world.put("appointment.flac")
    world.tp("discover")
    defs = build_definitions(Settings.load())
    schedule = defs.get_repository_def().get_schedule_def("settle_daily")
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.now(UTC),
        resources=defs.resources,
        repository_def=defs.get_repository_def(),
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests or []
    day = _today()
    assert [str(r.partition_key) for r in requests] == [f"{day}|assemblyai", f"{day}|local"]


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
