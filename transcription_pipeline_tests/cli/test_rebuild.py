"""``tp rebuild`` when not every answer can be read again."""

from __future__ import annotations

from transcription_pipeline_tests.world import World


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
