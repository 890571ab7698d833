"""Tables made anew from the raw answers: what was paid for outlives an answer that is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.pipeline import Written
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.tables.parquet import count_rows, read_table
from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES, WORDS
from transcription_pipeline_tests.engine.scene import Scene

KEYS = ["a.wav", "b.wav", "c.wav"]


def rebuild(scene: Scene) -> Written:
    """Make the partition's tables anew."""
    written = pipeline.write(scene.tools, scene.day, scene.provider, is_rebuild=True)
    assert written is not None
    return written


def read_files(scene: Scene) -> dict[str, bytes]:
    """Return the bytes of each table's file."""
    keys = {t.name: make_table_key(t.name, scene.day, scene.provider) for t in TRANSCRIPT_TABLES}
    return {name: scene.tools.lake.get(key) for name, key in keys.items()}


def test_a_lost_answer_keeps_its_rows(scene: Scene) -> None:
    """Whichever raw answers are gone, a rebuild names them and loses no row; nobody is asked."""
    scene.put(KEYS)
    scene.run()
    scene.write()
    before, requests = read_files(scene), scene.emulator.request_counts()
    jobs = scene.jobs()
    lost: set[str] = set()
    for key in sorted(KEYS, key=lambda key: str(jobs[key]["recording_id"]), reverse=True):
        scene.tools.lake.delete(jobs[key]["raw_key"])
        lost.add(jobs[key]["recording_id"])
        rebuilt = rebuild(scene)
        assert read_files(scene) == before
        assert rebuilt.published == len(KEYS) - len(lost)
        assert dict(rebuilt.bad_results) == dict.fromkeys(
            lost, "$: a raw answer lost from the lake"
        )
    assert set(scene.attempt_states().values()) == {"published"}
    assert scene.emulator.request_counts() == requests


def test_what_this_ledger_has_no_answer_of_keeps_its_rows(scene: Scene, tmp_path: Path) -> None:
    """A ledger that took the lake over makes anew what it collected, and loses no other row."""
    scene.put(KEYS)
    scene.run()
    scene.write()
    before = {name: count_rows(file) for name, file in read_files(scene).items()}
    scene.tools.audio.delete(KEYS[0])  # a new ledger cannot know of it
    scene.tools.ledger.close()
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    decisions.adopt(scene.tools, by="ada")
    scene.run()
    rebuilt = rebuild(scene)
    assert rebuilt.published == len(KEYS) - 1
    assert rebuilt.rows == before
    assert len(scene.emulator.invoice()) == len(KEYS)


def test_what_is_erased_has_no_rows(scene: Scene) -> None:
    """An erasure that was killed after its tombstone is not undone by a rebuild."""
    scene.put(KEYS)
    scene.run()
    scene.write()
    erased = scene.jobs()[KEYS[0]]["recording_id"]
    scene.tools.ledger.record_erasure(erased, by="ada", at=scene.tools.now())
    assert rebuild(scene).rows["transcripts"] == len(KEYS) - 1
    rows = read_table(WORDS, read_files(scene)["words"])
    assert erased not in rows.column("recording_id").to_pylist()


def test_what_became_readable_is_published(scene: Scene) -> None:
    """An answer that was lost when it was to be written, and is back, has rows and is published."""
    scene.put(["a.wav"])
    scene.run()
    (job,) = scene.jobs().values()
    answer = scene.tools.lake.get(job["raw_key"])
    scene.tools.lake.delete(job["raw_key"])
    assert len(scene.write().bad_results) == 1
    assert scene.jobs()["a.wav"]["state"] == "failed"
    scene.tools.lake.put(job["raw_key"], answer)
    rebuilt = rebuild(scene)
    assert (rebuilt.published, rebuilt.rows["transcripts"], rebuilt.bad_results) == (1, 1, [])
    (job,) = scene.jobs().values()
    assert (job["state"], job["attempt_state"], job["cause"]) == ("published", "published", None)
    assert job["cost_micros"] > 0
