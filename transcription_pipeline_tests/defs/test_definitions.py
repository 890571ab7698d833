"""What Dagster finds when it loads the code location."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from transcription_pipeline.definitions import build_definitions
from transcription_pipeline.settings import Settings
from transcription_pipeline.tables.schema import TABLES
from transcription_pipeline_tests.world import REPOSITORY, SECRET, World

ASSETS = {
    "recordings",
    "jobs",
    "uploaded_audio",
    "transcription_jobs",
    "raw_transcripts",
    "transcripts",
    "segments",
    "utterances",
    "words",
    "insights",
}


def test_the_graph_is_spelled_out(defs: dg.Definitions) -> None:
    """Assets, asset jobs, sensors, schedules and resources are these and no others."""
    repository = defs.get_repository_def()
    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == ASSETS
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert jobs == {"transcribe", "catalogue"}
    assert {sensor.name for sensor in repository.sensor_defs} == {"new_recordings", "jobs_due"}
    assert {schedule.name for schedule in repository.schedule_defs} == {"settle_daily"}
    assert set(defs.resources or {}) == {
        "ledger",
        "audio_bucket",
        "lake",
        "aitronos",
        "assemblyai",
        "local",
        "plaud",
        "scriptivox",
    }


def test_partitions_are_days_and_providers(defs: dg.Definitions) -> None:
    """Recordings are divided by day, everything of a provider by day and provider."""
    graph = defs.get_repository_def().asset_graph
    words = graph.get(dg.AssetKey("words")).partitions_def
    assert isinstance(words, dg.MultiPartitionsDefinition)
    assert words.partition_dimension_names == ["day", "provider"]
    assert isinstance(
        graph.get(dg.AssetKey("recordings")).partitions_def, dg.DailyPartitionsDefinition
    )


def test_lineage_runs_from_recordings_to_words(defs: dg.Definitions) -> None:
    """Each asset depends on what it is made from."""
    graph = defs.get_repository_def().asset_graph
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert parents["uploaded_audio"] == {"recordings"}
    assert parents["transcription_jobs"] == {"uploaded_audio"}
    assert parents["raw_transcripts"] == {"transcription_jobs"}
    assert parents["words"] == parents["transcripts"] == {"raw_transcripts"}


def test_columns_are_documented(defs: dg.Definitions) -> None:
    """Every table asset shows the registry's columns with their descriptions."""
    graph = defs.get_repository_def().asset_graph
    for name, table in TABLES.items():
        schema = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"]
        assert [c.name for c in schema.columns] == [c.name for c in table]
        assert all(c.description for c in schema.columns)


def test_loading_does_no_io(tmp_path: Path, world: World) -> None:
    """Loading the definitions opens no socket and creates no file."""
    script = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event in ('socket.connect', 'socket.bind', 'sqlite3.connect'):\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "import transcription_pipeline.definitions\n"
    )
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", script], env=world.environment, cwd=folder, check=True)
    assert list(folder.iterdir()) == []


def test_the_workspace_file_loads(tmp_path: Path, world: World) -> None:
    """``dagster definitions validate`` accepts the workspace as it is shipped."""
    home = tmp_path / "home"
    home.mkdir()
    command = ["definitions", "validate", "-w", str(REPOSITORY / "workspace.yaml")]
    result = subprocess.run(
        [sys.executable, "-m", "dagster", *command],
        env={**world.environment, "DAGSTER_HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_secrets_reach_dagster_by_name(defs: dg.Definitions) -> None:
    """The resource carries the variable's name; the value is in no snapshot."""
    assert os.environ["ASSEMBLYAI_API_KEY"] == SECRET
    assert SECRET not in repr(defs.resources)


def test_the_password_of_the_ledger_is_in_no_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dagster stores of the definitions, and shows without a login, opens no database."""
    monkeypatch.setenv("TRANSCRIPTION__LEDGER__URL", f"postgresql://tp:{SECRET}@db.example/tp")
    repository = build_definitions(Settings.load()).get_repository_def()
    snapshots = [
        dg.serialize_value(RepositorySnap.from_def(repository)),
        *(dg.serialize_value(job.get_job_snapshot()) for job in repository.get_all_jobs()),
    ]
    for snapshot in snapshots:
        assert str(world.folder / "lake") in snapshot, "a setting that is no secret is in it"
        assert SECRET not in snapshot
