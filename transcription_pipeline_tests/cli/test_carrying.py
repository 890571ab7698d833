"""``tp run`` when one partition is in trouble: the others go on, and what is paid for is published."""

from __future__ import annotations

import json
from pathlib import Path

from transcription_pipeline_tests.world import World


def _count(world: World) -> dict[str, tuple[int, int]]:
    """Return per provider how many jobs are published and in progress; some may be."""
    told = world.start("status", "--json").communicate(timeout=60)[0]
    counts = json.loads(told)["by_provider"]
    return {name: (c["published"], c["in_progress"]) for name, c in counts.items()}


def _find_words(world: World, provider: str) -> Path:
    (file,) = (world.folder / "lake" / "tables" / "words").glob(f"*/provider={provider}/*.parquet")
    return file


def test_a_broken_table_file_is_the_trouble_of_its_partition(world: World) -> None:
    """The rest is published, the line names day and provider, and mending the file is enough.

    What is stored is published even by a run that the provider refuses.
    """
    world.put("appointment.flac")
    world.tp("run")
    file = _find_words(world, "assemblyai")
    good = file.read_bytes()
    file.write_bytes(b"no table")
    world.put("launch.opus")
    told = world.tp("run", code=1)
    day = file.parts[-3].removeprefix("date=")
    assert f"{day}/assemblyai: a file cannot be read or written: ArrowInvalid" in told
    assert "Traceback" not in told
    assert _count(world) == {"assemblyai": (1, 1), "local": (2, 0)}

    file.write_bytes(good)
    world.put("appointment.flac", "again.flac")
    world.emulator.set_faults({"action": "status", "status": 401})
    assert "assemblyai: it refused the credentials" in world.tp("run", code=1)
    assert _count(world) == {"assemblyai": (2, 1), "local": (3, 0)}


def test_a_missing_key_hurts_no_other_provider(world: World) -> None:
    """A fallback that cannot be opened is told by exit code 2, once the rest is published."""
    routes = [{"match": "**", "providers": ["assemblyai", "local"], "fallback": ["scriptivox"]}]
    world.environment["TRANSCRIPTION__ROUTES"] = json.dumps(routes)
    world.put("appointment.flac")
    world.emulator.set_faults({"operation": "submit", "action": "status", "status": 400})
    world.tp("run", code=2)
    world.emulator.set_faults()
    world.put("launch.opus")
    told = world.tp("run", code=2)
    assert told.count("configuration: SCRIPTIVOX_API_KEY is not set") == 1
    assert _count(world) == {"assemblyai": (1, 0), "local": (2, 0), "scriptivox": (0, 1)}


def test_everybodys_trouble_ends_the_run(world: World) -> None:
    """Without room on the disk nothing paid is sent, and a line says so."""
    world.put("appointment.flac")
    world.environment["TRANSCRIPTION__ROUTES"] = json.dumps(
        [{"match": "**", "providers": ["assemblyai"]}]
    )
    told = world.tp("run", code=1, TRANSCRIPTION__RUNS__RESERVE_MIB=str(1 << 30))
    assert "/assemblyai: DiskFull: " in told
    assert _count(world) == {"assemblyai": (0, 1)}
    assert world.emulator.invoice() == []
