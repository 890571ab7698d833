"""What a person decides: about held attempts, retries and erasures; the invoice is the witness."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import DecisionRefused, LeaseLost
from transcription_pipeline.ledger.holders import make_holder
from transcription_pipeline.tables import parquet
from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.engine.scenes import AitronosScene
from transcription_pipeline_tests.engine.test_aitronos import HELD_S
from transcription_pipeline_tests.s3_servers import S3Server

FAULT = {"operation": "submit", "nth": 1}
JOB_S = 300.0
"""By the emulator's clock, which only a test moves so far."""


@pytest.fixture(scope="module")
def aitronos() -> Iterator[EmulatorServer]:
    """One running emulator of a service that charges when it accepts."""
    with EmulatorServer("aitronos", job_s=0.05, word_count=20, refresh_s=0.0) as server:
        yield server


@pytest.fixture
def held(aitronos: EmulatorServer, moto: S3Server, tmp_path: Path) -> Iterator[AitronosScene]:
    """A world with one held attempt, whose request the service took without a trace in its echo."""
    aitronos.reset()
    aitronos.configure(echoed_url="absent", refunds_failures=True)
    scene = AitronosScene.build(aitronos, moto, tmp_path)
    assert isinstance(scene, AitronosScene)
    scene.put(["a.wav"])
    aitronos.set_faults({"action": "drop_after", **FAULT})
    scene.run()
    aitronos.set_faults()
    scene.pass_time(HELD_S)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "held"}
    yield scene
    scene.tools.ledger.close()


def _attempt_id(scene: Scene) -> str:
    (job,) = scene.jobs().values()
    attempt_id: str = job["attempt_id"]
    return attempt_id


def _evidence(scene: Scene) -> list[Any]:
    with scene.tools.ledger._read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, detail FROM evidence ORDER BY evidence_id")
        return [tuple(row) for row in rows]


def test_a_charged_attempt_is_collected(held: AitronosScene) -> None:
    """A person who found the job at the service gets its transcript, and nothing is paid again."""
    (line,) = held.emulator.invoice()
    job = line["provider_job_id"]
    decisions.resolve(held.tools, _attempt_id(held)[:10], provider_job_id=job, by="ada")
    assert held.run().counts["stored"] == 1
    assert held.write().published == 1
    assert len(held.emulator.invoice()) == 1
    assert ("accepted_by_person", "by ada") in _evidence(held)
    with pytest.raises(DecisionRefused, match="is published, not held"):
        decisions.resolve(held.tools, _attempt_id(held), provider_job_id=None, by="ada")


def test_an_uncharged_attempt_frees_the_job(held: AitronosScene) -> None:
    """A person who says that nothing was charged lets a second attempt be made."""
    decisions.resolve(held.tools, _attempt_id(held), provider_job_id=None, by="ada")
    assert held.run().counts["stored"] == 1
    (job,) = held.jobs().values()
    assert (job["attempt_count"], job["attempt_state"]) == (2, "stored")


def test_a_given_up_attempt_ends_the_job(held: AitronosScene) -> None:
    """Nothing is tried again, and the job says why."""
    decisions.resolve(held.tools, _attempt_id(held), provider_job_id=None, gives_up=True, by="ada")
    (job,) = held.jobs().values()
    assert (job["state"], job["cause"]) == ("failed", "given_up_by_person")
    assert held.run().due == 0


def test_nobody_is_freed_while_the_audio_can_be_fetched(held: AitronosScene) -> None:
    """A signed URL that lives is a request that may still be acted on; its death is the fence."""
    held.offset_s -= HELD_S
    with pytest.raises(DecisionRefused, match="can be fetched until"):
        decisions.resolve(held.tools, _attempt_id(held), provider_job_id=None, by="ada")
    held.offset_s += HELD_S


def test_a_decision_waits_for_the_partition(held: AitronosScene) -> None:
    """While a worker holds the partition nobody decides behind its back."""
    ledger, at = held.tools.ledger, held.tools.now()
    lease = ledger.acquire_lease(held.day, "aitronos", make_holder(), at=at, ttl_s=60)
    assert lease is not None
    with pytest.raises(DecisionRefused, match="another worker"):
        decisions.resolve(held.tools, _attempt_id(held), provider_job_id=None, by="ada")
    assert held.attempt_states() == {"a.wav": "held"}


def test_a_job_nobody_can_name_is_not_accepted(held: AitronosScene) -> None:
    """``--charged`` needs the provider's job where none is known; unknown attempts are told."""
    with pytest.raises(DecisionRefused, match="name the provider's job"):
        decisions.resolve(held.tools, _attempt_id(held), provider_job_id="", by="ada")
    with pytest.raises(DecisionRefused, match="no attempts match"):
        decisions.resolve(held.tools, "nothing", provider_job_id=None, by="ada")


def _retry(scene: Scene, *, may_cost_again: bool = False) -> tuple[int, int]:
    jobs = [job for job in scene.jobs().values() if job["state"] in ("failed", "quarantined")]
    revived, left = decisions.retry(scene.tools, jobs, may_cost_again=may_cost_again, by="ada")
    return len(revived), len(left)


def test_a_free_failure_is_retried(scene: Scene) -> None:
    """What was refused is sent again once a person says so, and is paid once."""
    scene.put(["a.wav", "b.wav"])
    scene.emulator.set_faults({"action": "status", "status": 400, **FAULT})
    scene.run()
    scene.emulator.set_faults()
    assert sorted(scene.attempt_states().values()) == ["rejected", "stored"]
    assert _retry(scene) == (1, 0)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


def test_what_may_have_cost_needs_a_second_word(held: AitronosScene) -> None:
    """A failure that nobody knows to be free is not retried by a plain ``retry``."""
    held.put(["b.wav"], seconds=2.0)
    held.emulator.configure(refunds_failures=False)
    held.emulator.set_faults({"action": "job_error", "operation": "submit"})
    held.run()
    held.emulator.set_faults()
    assert held.attempt_states()["b.wav"] == "failed"
    assert _retry(held) == (0, 1)
    assert _retry(held, may_cost_again=True) == (1, 0)
    held.run()
    assert held.attempt_states()["b.wav"] == "stored"


def test_a_quarantine_ends_with_a_clean_look(scene: Scene) -> None:
    """A recording that was put aside is looked into again; its audio decides."""
    scene.tools.audio.put("a.wav", b"not audio at all")
    pipeline.discover(scene.tools)
    scene.run()
    assert [job["state"] for job in scene.jobs().values()] == ["quarantined"]
    assert _retry(scene) == (1, 0)
    assert [job["state"] for job in scene.jobs().values()] == ["in_progress"]
    scene.run()
    assert [job["cause"] for job in scene.jobs().values()] == ["not_audio"]
    assert scene.emulator.invoice() == []


def test_an_unreadable_answer_is_read_again(scene: Scene) -> None:
    """A raw answer that could not be read is kept, and read again after a mend, for nothing."""
    scene.put(["a.wav"])
    scene.run()
    (job,) = scene.jobs().values()
    good = scene.tools.lake.get(job["raw_key"])
    scene.tools.lake.put(job["raw_key"], b"broken on the way")
    assert scene.write().published == 0
    assert scene.attempt_states() == {"a.wav": "bad_result"}
    scene.tools.lake.put(job["raw_key"], good)
    assert _retry(scene) == (1, 0)
    assert scene.write().published == 1
    scene.assert_each_is_paid_once()


def _rows(scene: Scene) -> dict[str, set[str]]:
    found = {}
    for table in TRANSCRIPT_TABLES:
        key = f"tables/{table.name}/date={scene.day}/provider={scene.provider}/part-0.parquet"
        rows = parquet.read_table(table, scene.tools.lake.get(key))
        found[table.name] = set(rows.column("recording_id").to_pylist())
    return found


def test_an_erasure_leaves_money_and_a_tombstone(scene: Scene) -> None:
    """Raw answer, rows and the provider's copy go; the cost stays, and nothing is made anew."""
    scene.put(["a.wav", "b.wav"])
    scene.run()
    scene.write()
    pipeline.write_catalogue(scene.tools, scene.day)
    before = {job["key"]: job for job in scene.tools.ledger.read_jobs()}
    gone, kept = (before[key]["recording_id"] for key in ("a.wav", "b.wav"))
    done = decisions.erase(scene.tools, gone, by="ada")
    assert (done.raw_answers, done.unconfirmed, len(done.confirmed)) == (1, [], 1)
    assert scene.tools.lake.find(before["a.wav"]["raw_key"]) is None
    assert scene.tools.lake.find(before["b.wav"]["raw_key"]) is not None
    assert all(ids <= {kept} for ids in _rows(scene).values())
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"]) == ("quarantined", "erased")
    assert job["cost_micros"] == before["a.wav"]["cost_micros"] > 0
    pipeline.discover(scene.tools)
    assert scene.run().due == 0
    rebuilt = pipeline.write(scene.tools, scene.day, scene.provider, is_rebuild=True)
    assert rebuilt is not None
    assert (rebuilt.published, rebuilt.bad_results) == (1, [])
    assert _retry(scene) == (0, 1)
    assert decisions.erase(scene.tools, gone, by="ada").raw_answers == 0
    assert scene.tools.ledger.count_states()["unaccounted"] == 0


def test_an_erasure_waits_for_the_worker(scene: Scene) -> None:
    """While a worker holds the partition nothing is erased; afterwards all of it, and for good."""
    scene.put(["a.wav"])
    scene.emulator.configure(job_s=JOB_S)
    (job,) = scene.jobs().values()
    erase = partial(decisions.erase, scene.tools, job["recording_id"], by="ada")

    async def meanwhile() -> None:
        run = asyncio.create_task(scene.transcribe())
        await _wait_until_accepted(scene)
        with pytest.raises(DecisionRefused, match="at work elsewhere"):
            await asyncio.to_thread(erase)
        assert scene.jobs()["a.wav"]["state"] == "in_progress"
        scene.pass_time(JOB_S)
        await run

    asyncio.run(meanwhile())
    assert scene.attempt_states() == {"a.wav": "stored"}
    assert erase().raw_answers == 1
    assert scene.write().published == 0


def test_a_worker_that_slept_through_an_erasure_changes_nothing(scene: Scene) -> None:
    """What it decides is refused, and what it kept is gone after the next erasure at the latest."""
    scene.put(["a.wav"])
    scene.emulator.configure(job_s=JOB_S)
    (job,) = scene.jobs().values()
    erase = partial(decisions.erase, scene.tools, job["recording_id"], by="ada")

    async def meanwhile() -> None:
        run = asyncio.create_task(scene.transcribe())
        await _wait_until_accepted(scene)
        scene.emulator.set_faults({"action": "status", "status": 400, "operation": "delete"})
        scene.offset_s += scene.tools.limits[scene.provider].lease_s + 1
        assert len((await asyncio.to_thread(erase)).unconfirmed) == 1
        scene.pass_time(JOB_S)
        with pytest.raises(LeaseLost):
            await run

    asyncio.run(meanwhile())
    job = scene.jobs()["a.wav"]
    assert (job["state"], job["cause"], job["raw_key"]) == ("quarantined", "erased", None)
    assert scene.write().published == 0
    assert len(scene.tools.lake.list_page("raw/").objects) == 1
    erase()
    assert scene.tools.lake.list_page("raw/").objects == ()


async def _wait_until_accepted(scene: Scene) -> None:
    while scene.attempt_states() != {"a.wav": "accepted"}:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.05)


def test_a_copy_that_is_not_confirmed_is_told(scene: Scene) -> None:
    """When the provider does not answer the erasure goes on here, and says what is left there."""
    scene.put(["a.wav"])
    scene.run()
    scene.write()
    (job,) = scene.jobs().values()
    scene.emulator.set_faults({"action": "status", "status": 400, "operation": "delete"})
    done = decisions.erase(scene.tools, job["recording_id"], by="ada")
    assert done.raw_answers == 1
    assert done.unconfirmed == [f"assemblyai/{job['provider_job_id']}: RequestRejected"]


def test_a_copy_that_nobody_can_name_is_told(held: AitronosScene) -> None:
    """A held request may have become a job there: the erasure goes on here, and says so."""
    (job,) = held.jobs().values()
    done = decisions.erase(held.tools, job["recording_id"], by="ada")
    assert done.unconfirmed == ["aitronos: held, nobody knows as which job"]
    assert ("provider_copy_unconfirmed", None) in _evidence(held)
    held.pass_time(3_600)
    assert held.run().due == 0


def test_what_is_on_its_way_is_not_erased(scene: Scene) -> None:
    """A request without an answer may become a copy that nobody could name."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"action": "drop_after", **FAULT})
    scene.run()
    (job,) = scene.jobs().values()
    with pytest.raises(DecisionRefused, match="is ambiguous"):
        decisions.erase(scene.tools, job["recording_id"], by="ada")
