"""What a run of the asset jobs leaves in Dagster: metadata, checks, failures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from transcription_pipeline.defs.partitions import make_key
from transcription_pipeline_tests.world import World


def _run(defs: dg.Definitions, instance: dg.DagsterInstance, provider: str) -> Any:
    day = datetime.now(UTC).date().isoformat()
    return defs.resolve_job_def("transcribe").execute_in_process(
        instance=instance, partition_key=make_key(day, provider), raise_on_error=False
    )


def _metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_every_materialisation_carries_its_numbers(
    world: World, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """Counts, hours, cost, requests, latencies, failures, rows and paths stand in the metadata."""
    world.put("appointment.flac")
    world.put("text.mp3")
    world.tp("discover")
    assert _run(defs, instance, "assemblyai").success
    raw = _metadata(instance, "raw_transcripts")
    assert (raw["due"], raw["pending"], raw["jobs"]) == (2, 0, 2)
    assert raw["requests"] > 0
    assert raw["audio_hours"] > 0
    assert raw["latency_p50_s"] > 0
    assert "published" not in raw["states"]
    failures = raw["failures"].records if hasattr(raw["failures"], "records") else raw["failures"]
    assert [dict(record.data)["cause"] for record in failures] == ["not_audio"]
    words = _metadata(instance, "words")
    assert words["dagster/row_count"] > 0
    assert words["path"].endswith("part-0.parquet")


def test_checks_pass_on_good_tables(
    world: World, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """Every asset check runs with the asset job and holds."""
    world.put("appointment.flac")
    world.tp("discover")
    result = _run(defs, instance, "local")
    evaluations = result.get_asset_check_evaluations()
    assert {evaluation.check_name for evaluation in evaluations} == {
        "every_published_job_has_its_row",
        "words_are_in_order",
        "every_word_is_inside_its_recording",
        "nothing_is_past_its_deadline",
        "no_recording_is_missing",
        "spend_is_within_budget",
        "providers_agree_roughly",
    }
    assert [e.check_name for e in evaluations if not e.passed] == []


def test_refused_credentials_hurt_only_their_provider(
    world: World, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """With a key the provider refuses, nothing is paid, nothing is lost, the other one goes on."""
    world.put("appointment.flac")
    world.tp("discover")
    world.emulator.set_faults({"operation": "submit", "action": "status", "status": 401})
    assert _run(defs, instance, "assemblyai").success
    status = world.json("status")
    assert status["by_provider"]["assemblyai"]["in_progress"] == 1
    assert world.emulator.invoice() == []
    assert _run(defs, instance, "local").success
    assert world.json("status")["by_provider"]["local"]["published"] == 1


def test_one_asset_may_be_materialised_alone(
    world: World, defs: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    """Assets of one op can be selected one by one."""
    world.put("appointment.flac")
    world.tp("discover")
    day = datetime.now(UTC).date().isoformat()
    assert _run(defs, instance, "local").success
    result = defs.resolve_job_def("transcribe").execute_in_process(
        instance=instance,
        partition_key=make_key(day, "local"),
        asset_selection=[dg.AssetKey("words")],
    )
    assert [m.asset_key for m in result.get_asset_materialization_events()] == [
        dg.AssetKey("words")
    ] or result.success
