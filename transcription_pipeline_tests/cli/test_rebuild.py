"""``tp rebuild`` when not everything can be read again."""

from __future__ import annotations

from pathlib import Path

from transcription_pipeline_tests.world import World


def _find_words(world: World, provider: str) -> Path:
    (file,) = (world.folder / "lake" / "tables" / "words").glob(f"*/provider={provider}/*.parquet")
    return file


def test_an_answer_that_is_lost_is_named(world: World) -> None:
    """Recording, provider and cause, for people and for programs; the exit code is 1."""
    world.environment["TRANSCRIPTION__ROUTES"] = '[{"match": "**", "providers": ["assemblyai"]}]'
    world.put("appointment.flac")
    world.put("launch.opus")
    world.tp("run")
    lost = next(job for job in world.json("jobs") if "appointment" in job["key"])["recording_id"]
    (answer,) = (world.folder / "lake" / "raw").rglob(f"*{lost}*/*")
    answer.write_bytes(b"no answer")
    (told,) = world.json("rebuild", code=1)["bad_results"]
    assert (told["recording_id"], told["provider"]) == (lost, "assemblyai")
    assert told["cause"] == "$: a raw answer lost from the lake"
    said = world.tp("rebuild", code=1)
    assert f"{lost} at assemblyai could not be read again: {told['cause']}" in said


def test_trouble_of_one_partition_hinders_no_other(world: World) -> None:
    """A key that is not set any more, a table file that is broken: told, and the rest is made anew."""
    world.put("appointment.flac")
    world.tp("run")
    paid, free = _find_words(world, "assemblyai"), _find_words(world, "local")
    day, good = paid.parts[-3].removeprefix("date="), paid.read_bytes()

    free.unlink()
    taken_out = {
        "TRANSCRIPTION__ROUTES": '[{"match": "**", "providers": ["local"]}]',
        "ASSEMBLYAI_API_KEY": "",
    }
    told = world.tp("rebuild", code=1, **taken_out)
    assert f"{day}/assemblyai: ConfigurationError: ASSEMBLYAI_API_KEY is not set" in told
    assert free.exists()
    assert paid.read_bytes() == good

    free.unlink()
    paid.write_bytes(b"no table")
    told = world.tp("rebuild", code=1)
    assert f"{day}/assemblyai: a file cannot be read or written: ArrowInvalid" in told
    assert "Traceback" not in told
    assert free.exists()
    paid.unlink()
    assert world.json("rebuild")["recordings"] == 1
    assert paid.read_bytes() == good
