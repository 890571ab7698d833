"""AssemblyAI through the engine: analyses become rows, redacted audio comes to the lake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import zstandard

from transcription_pipeline.analytics.views import open_views, run_query
from transcription_pipeline.audio.probe import probe
from transcription_pipeline.decisions import erase
from transcription_pipeline.domain.route import Route
from transcription_pipeline.pipeline import write
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.publishing import count_rows
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline_tests.engine.scene import PROVIDER, Scene

REDACTS = {
    "redact_pii": ["person_name", "location", "date"],
    "extra": {"redact_pii_audio": True},
}


def wish(scene: Scene, *, extra: dict[str, Any] | None = None, **options: Any) -> None:
    """Route what is discovered from now on with these options."""
    route = Route("**", (PROVIDER,), options=options, extra={PROVIDER: extra or {}})
    scene.tools = replace(scene.tools, routes=(route,))


def evidence(scene: Scene) -> list[tuple[str, str | None]]:
    """Return kind and cause of what was seen of side files."""
    (recording_id,) = scene.keys
    seen = scene.tools.ledger.read_evidence(recording_id)
    return [(row["kind"], row["cause"]) for row in seen if row["kind"] == "redacted_audio"]


def kept(scene: Scene) -> list[str]:
    """Return the keys of the redacted audio in the lake."""
    return [found.key for found in scene.tools.lake.list_page("redacted_audio/").objects]


def go(scene: Scene, **provider: Any) -> None:
    """Carry one recording to the tables, with a provider that does not wait long."""
    scene.use(**{"redacted_audio_wait_s": 5.0, "redacted_audio_look_s": 0.05, **provider})
    scene.put(["a.wav"])
    assert scene.run().counts["stored"] == 1
    assert scene.write().published == 1
    scene.assert_each_is_paid_once()


def test_insights_come_out_of_a_query(scene: Scene) -> None:
    """Every analysis that was asked for has rows in the view, and the counts are those told."""
    scene.emulator.configure(word_count=400)
    wish(scene, diarize=True, sentiment=True, entities=True, highlights=True, summary=True)
    go(scene)
    with open_views(scene.tools.lake) as views:
        by_kind = "SELECT kind, count(*), count(text) FROM insights GROUP BY kind ORDER BY kind"
        rows = run_query(views, by_kind).rows
        placed = "SELECT count(*) FROM insights JOIN words USING (recording_id, start_ms)"
        assert run_query(views, placed).rows[0][0] > 0
    assert [kind for kind, *_ in rows] == ["entity", "highlight", "sentiment", "summary"]
    assert all(count == texts > 0 for _, count, texts in rows)
    counted = count_rows(scene.tools, scene.day, PROVIDER)
    assert counted["insights"] == sum(count for _, count, _ in rows)


@pytest.mark.parametrize("quality", ["mp3", "wav"])
def test_redacted_audio_comes_to_the_lake(scene: Scene, quality: str) -> None:
    """What was asked for is fetched once it is made, and lies beside the answer by its attempt."""
    scene.emulator.configure(redacted_audio_s=0.3)
    extra = {"redact_pii_audio": True, "redact_pii_audio_quality": quality}
    wish(scene, redact_pii=["person_name"], extra=extra)
    go(scene)
    (key,) = kept(scene)
    (recording_id,) = scene.keys
    attempt_id = scene.jobs()["a.wav"]["attempt_id"]
    assert key.endswith(f"/{recording_id}/{attempt_id}.{quality}")
    body = scene.tools.lake.get(key)
    facts = probe(lambda start, length: body[start : start + length], len(body))
    assert facts.container == quality
    assert abs((facts.duration_ms or 0) - 30_000) < 200
    assert evidence(scene) == [("redacted_audio", None)]
    assert scene.emulator.request_counts()["redacted_file"] == 1
    erase(scene.tools, recording_id, by="ada")
    assert kept(scene) == []


def test_nobody_asked_for_redacted_audio(scene: Scene) -> None:
    """Redaction of the text alone asks for no file."""
    wish(scene, redact_pii=["person_name"])
    go(scene)
    assert kept(scene) == evidence(scene) == []
    assert "redacted_audio" not in scene.emulator.request_counts()


def test_redacted_audio_that_never_comes(scene: Scene) -> None:
    """The transcript is published without it, and why it is missing is evidence."""
    scene.emulator.configure(redacted_audio_s=10_000.0)
    wish(scene, **REDACTS)
    go(scene, redacted_audio_wait_s=0.2)
    assert kept(scene) == []
    assert evidence(scene) == [("redacted_audio", "redacted_audio_not_ready")]


FAULTS: list[tuple[dict[str, Any], str | None]] = [
    ({"operation": "redacted_audio", "action": "status", "status": 503, "times": 1}, None),
    ({"operation": "redacted_audio", "action": "drop_before", "times": 1}, None),
    ({"operation": "redacted_file", "action": "status", "status": 403, "times": 1}, None),
    ({"operation": "redacted_file", "action": "truncate", "times": 1}, None),
    ({"operation": "redacted_file", "action": "status", "status": 500}, "unavailable"),
    ({"operation": "redacted_audio", "action": "status", "status": 404}, "refused"),
    ({"operation": "redacted_audio", "action": "html", "status": 200}, "bad_answer"),
]


@pytest.mark.parametrize(("fault", "cause"), FAULTS)
def test_trouble_on_the_way(scene: Scene, fault: dict[str, Any], cause: str | None) -> None:
    """A stumble is tried again until the wait is over; the transcript is published anyway."""
    scene.emulator.configure(redacted_audio_s=0.0)
    scene.emulator.set_faults(fault)
    wish(scene, **REDACTS)
    patience = Patience(retry_wait_s=0.01, retries=2)
    go(scene, redacted_audio_wait_s=1.0, patience=patience)
    assert len(kept(scene)) == (cause is None)
    assert evidence(scene) == [("redacted_audio", cause and f"redacted_audio_{cause}")]


def test_a_wait_that_is_cut_short_begins_again(scene: Scene) -> None:
    """A run that ends meanwhile leaves the job as it was; the next one brings both, paid once."""
    scene.emulator.configure(redacted_audio_s=10_000.0)
    wish(scene, **REDACTS)
    scene.use(redacted_audio_wait_s=60.0, redacted_audio_look_s=0.05)
    scene.put(["a.wav"])
    assert scene.send().counts["window_ended"] == 1
    assert scene.attempt_states() == {"a.wav": "accepted"}
    scene.emulator.configure(redacted_audio_s=0.0)
    assert scene.run().counts["stored"] == 1
    assert len(kept(scene)) == 1
    root = Path(unquote(urlsplit(scene.tools.lake.root_uri).path))
    assert [path for path in (root / ".staging").rglob("*") if path.is_file()] == []
    scene.assert_each_is_paid_once()


def test_what_was_redacted_stays_out_of_every_table(scene: Scene) -> None:
    """The raw answer keeps the unredacted words that were asked for; no table has one of them."""
    scene.emulator.configure(word_count=400)
    extra = {"redact_pii_return_unredacted": True, "redact_pii_sub": "entity_name"}
    wish(scene, diarize=True, entities=True, redact_pii=["person_name", "location"], extra=extra)
    go(scene)
    raw = zstandard.decompress(scene.tools.lake.get(str(scene.jobs()["a.wav"]["raw_key"])))
    hidden = [name for name in (b"London", b"Berlin", b"Anna", b"John") if name in raw]
    assert hidden
    assert b"unredacted_words" in raw
    with open_views(scene.tools.lake) as views:
        for table in ("transcripts", "segments", "utterances", "words", "insights"):
            told = str(run_query(views, f"SELECT * FROM {table}").rows)
            assert not [name for name in hidden if name.decode() in told], table
        kinds = run_query(views, "SELECT kind, count(*) FROM insights GROUP BY 1").rows
    assert dict(kinds)["entity"] > dict(kinds)["pii"] > 0  # dates were not to be redacted


def test_a_lake_from_before_insights(scene: Scene) -> None:
    """Without a file the view is there and empty; a rebuild from raw answers fills it, unpaid."""
    wish(scene, sentiment=True)
    go(scene)
    count = "SELECT count(*) FROM insights"
    scene.tools.lake.delete(make_table_key("insights", scene.day, PROVIDER))
    with open_views(scene.tools.lake) as views:
        assert run_query(views, count).rows == [(0,)]
    assert count_rows(scene.tools, scene.day, PROVIDER)["insights"] == 0
    write(scene.tools, scene.day, PROVIDER, is_rebuild=True)
    with open_views(scene.tools.lake) as views:
        assert run_query(views, count).rows[0][0] > 0
    scene.assert_each_is_paid_once()
