"""``tp resolve``, ``tp retry`` and ``tp erase`` as a person uses them."""

from __future__ import annotations

import sqlite3

from transcription_pipeline_tests.world import World


def test_a_person_retries_and_erases(world: World) -> None:
    """A refused job is retried; then everything said in it is gone, and its cost is not."""
    world.environment["TRANSCRIPTION__ROUTES"] = '[{"match": "**", "providers": ["assemblyai"]}]'
    world.put("appointment.flac")
    world.emulator.set_faults({"operation": "submit", "action": "status", "status": 400})
    world.json("run", code=1)
    assert "request_rejected" in world.tp("jobs", "--state", "failed")
    world.emulator.set_faults()
    assert "say which" in world.tp("retry", code=2)
    (job,) = world.json("retry", "--cause", "request_rejected")["revived"]
    world.json("run")
    (told,) = world.json("jobs")
    assert (told["job_id"], told["state"], told["attempt_count"]) == (job, "published", 2)
    assert world.json("query", "select count(*) n from words") == [{"n": 30}]

    assert "Aborted" in world.tp("erase", "inbox/appointment.flac", code=1)
    erased = world.json("erase", "inbox/appointment.flac", "--yes", "--by", "ada")
    assert (erased["raw_answers"], len(erased["confirmed"])) == (1, 1)
    assert world.json("query", "select count(*) n from words") == [{"n": 0}]
    (spent,) = world.json("cost")
    assert spent["cost_micros"] > 0
    assert world.json("run")["quarantined"] == 1
    assert len(world.emulator.invoice()) == 1


def test_a_held_attempt_names_the_next_command(world: World) -> None:
    """Held: recording, provider, when, what it may have cost, and what to type."""
    world.environment["TRANSCRIPTION__ROUTES"] = '[{"match": "**", "providers": ["assemblyai"]}]'
    world.put("appointment.flac")
    world.emulator.configure(job_s=10_000.0)
    world.json("run", TRANSCRIPTION__RUNS__POLL_WINDOW_S="2")
    world.emulator.advance(9_000)
    # Nobody waits twelve hours here: the deadline is moved instead.
    with sqlite3.connect(world.folder / "ledger.db") as database:
        database.execute("UPDATE attempts SET deadline_at = created_at")
    world.json("run", code=1)
    (job,) = world.json("jobs")
    assert job["state"] == "held"
    told = world.tp("jobs", "--state", "held")
    assert f"tp resolve {job['attempt_id'][:12]} --charged {job['provider_job_id']}" in told
    assert "inbox/appointment.flac at assemblyai, sent 20" in told
    assert " USD: " in told
    assert "stuck_past_deadline" in told
    assert "say one of" in world.tp("resolve", job["attempt_id"], code=2)
    world.emulator.advance(2_000)
    world.tp("resolve", job["attempt_id"], "--charged")
    world.json("run")
    assert len(world.emulator.invoice()) == 1
    assert "not held" in world.tp("resolve", job["attempt_id"], "--not-charged", code=1)


def test_an_erasure_goes_on_past_what_it_cannot_reach(world: World) -> None:
    """A provider without a key, a broken table file: told, all else is gone, and repeated it ends."""
    world.put("appointment.flac")
    world.tp("run")
    (paid,) = (job for job in world.json("jobs") if job["provider"] == "assemblyai")
    tables = world.folder / "lake" / "tables"
    (file,) = (tables / "words").glob("*/provider=assemblyai/*.parquet")
    file.write_bytes(b"no table")
    erased = world.json(
        "erase",
        "inbox/appointment.flac",
        "--yes",
        code=1,
        TRANSCRIPTION__ROUTES='[{"match": "**", "providers": ["local"]}]',
        ASSEMBLYAI_API_KEY="",
    )
    place = f"{paid['day']}/assemblyai"
    assert erased["unconfirmed"] == [
        f"assemblyai/{paid['provider_job_id']}: ASSEMBLYAI_API_KEY is not set",
        f"rows of {place}: a file cannot be read or written: ArrowInvalid",
    ]
    assert (erased["raw_answers"], erased["tables"]) == (2, [f"{paid['day']}/local"])
    file.unlink()
    erased = world.json("erase", "inbox/appointment.flac", "--yes")
    assert f"assemblyai/{paid['provider_job_id']}" in erased["confirmed"]
    assert erased["tables"] == [place, f"{paid['day']}/local"]
    assert world.json("query", "select count(*) n from words") == [{"n": 0}]
