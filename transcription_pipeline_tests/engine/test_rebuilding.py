"""Tables made anew from the raw answers: what was paid for outlives an answer that is lost."""

from __future__ import annotations

from transcription_pipeline import pipeline
from transcription_pipeline.pipeline import Written
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES
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
