"""Every further analysis of AssemblyAI becomes rows, and nothing that was redacted comes with them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.domain.transcript import INSIGHT_KINDS, Insights
from transcription_pipeline.normalise import find_unknown_fields
from transcription_pipeline.tables.build import build_tables
from transcription_pipeline_tests.normalise.assemblyai_answers import (
    make_answer,
    make_word,
    read,
    refuse,
)

EXAMPLE = Path(__file__).parent.parent / "samples" / "assemblyai" / "Transcript.json"
CANARY = "Rumpelstiltskin"
TIMES = {"start": 100, "end": 900}


def rows_of(answer: Any, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the findings of an answer, without what is null in them."""
    found = read(answer).insights
    names = [field.name for field in fields(Insights)]
    assert {len(getattr(found, name)) for name in names} == {len(found)}
    assert set(found.kind) <= set(INSIGHT_KINDS)
    rows = [{name: getattr(found, name)[i] for name in names} for i in range(len(found))]
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in rows
        if kind in (None, row["kind"])
    ]


def test_the_vendors_example() -> None:
    """Entities, key phrases, topics and sensitive matters read as they stand in the description."""
    example = json.loads(EXAMPLE.read_bytes()) | {"redact_pii": False}
    rows = rows_of(example)
    assert [r for r in rows if r["kind"] == "entity"] == [
        {
            "kind": "entity",
            "label": e["entity_type"],
            "text": e["text"],
            "start_ms": e["start"],
            "end_ms": e["end"],
        }
        for e in example["entities"]
    ]
    phrases = [r for r in rows if r["kind"] == "highlight"]
    results = example["auto_highlights_result"]["results"]
    assert len(phrases) == sum(len(phrase["timestamps"]) for phrase in results)
    assert phrases[0] == {
        "kind": "highlight",
        "text": "air quality alerts",
        "start_ms": 3_978,
        "end_ms": 5_114,
        "score": 0.08,
        "payload_json": '{"count":1}',
    }
    topics = [r for r in rows if r["kind"] == "topic"]
    told = example["iab_categories_result"]
    assert len(topics) == len(told["results"][0]["labels"]) + len(told["summary"])
    assert topics[0] == {
        "kind": "topic",
        "label": "Home&Garden>IndoorEnvironmentalQuality",
        "text": told["results"][0]["text"],
        "start_ms": 250,
        "end_ms": 28_840,
        "score": 0.988274097442627,
    }
    whole = {r["label"]: r["score"] for r in topics if "start_ms" not in r}
    assert whole == told["summary"]
    in_part, *in_all = [r for r in rows if r["kind"] == "content_safety"]
    assert (in_part["label"], in_part["score"]) == ("disasters", 0.8142836093902588)
    assert json.loads(in_part["payload_json"]) == {"severity": 0.4093044400215149}
    assert [r["label"] for r in in_all] == ["disasters", "health_issues"]
    severities = json.loads(in_all[0]["payload_json"])["severities"]
    assert severities == example["content_safety_labels"]["severity_score_summary"]["disasters"]


DOCUMENTED: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "sentiment": (
        {
            "sentiment_analysis_results": [
                TIMES
                | {"text": "Fine.", "sentiment": "POSITIVE", "confidence": 0.8, "speaker": "A"},
                {"text": "No.", "start": None, "end": 5, "sentiment": "NEGATIVE", "channel": "2"},
            ]
        },
        [
            {
                "label": "POSITIVE",
                "text": "Fine.",
                "score": 0.8,
                "speaker_label": "A",
                "start_ms": 100,
                "end_ms": 900,
            },
            {"label": "NEGATIVE", "text": "No.", "end_ms": 5, "payload_json": '{"channel":1}'},
        ],
    ),
    "chapter": (
        {"chapters": [TIMES | {"gist": "Fires", "headline": "Smoke over", "summary": "It burns."}]},
        [
            {
                "label": "Fires",
                "text": "It burns.",
                "start_ms": 100,
                "end_ms": 900,
                "payload_json": '{"headline":"Smoke over"}',
            }
        ],
    ),
    "summary": (
        {"summary": "- It burns.", "summary_type": "bullets"},
        [{"label": "bullets", "text": "- It burns."}],
    ),
    "highlight": (
        {"auto_highlights_result": {"status": "success", "results": [{"text": "fire"}]}},
        [{"text": "fire"}],
    ),
    "translation": (
        {"translated_texts": {"de": "Feuer", "es": "fuego"}},
        [{"label": "de", "text": "Feuer"}, {"label": "es", "text": "fuego"}],
    ),
    "understanding": (
        {
            "speech_understanding": {
                "request": {"speaker_identification": {"speaker_type": "name"}},
                "response": {
                    "speaker_identification": {"status": "success", "mapping": {"A": "Ann"}},
                    "translation": None,
                },
            }
        },
        [
            {
                "label": "speaker_identification",
                "payload_json": '{"status": "success", "mapping": {"A": "Ann"}}',
            }
        ],
    ),
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_documented_shapes(kind: str) -> None:
    """Each analysis gives its label, text, score and times; what has no column is in the payload."""
    told, expected = DOCUMENTED[kind]
    assert rows_of(make_answer(**told)) == [{"kind": kind} | row for row in expected]


def test_a_summary_in_parts() -> None:
    """The newer summary gives chapters, in sentences or points, and one for all of it."""
    parts = [
        TIMES | {"headline": "One", "text": "Said."},
        TIMES | {"headline": "Two", "bullets": ["a", "b"]},
    ]
    summarization = {"status": "success", "summary": parts, "block_summary": "All."}
    answer = make_answer(speech_understanding={"response": {"summarization": summarization}})
    assert [(r["kind"], r.get("label"), r["text"]) for r in rows_of(answer)] == [
        ("chapter", "One", "Said."),
        ("chapter", "Two", "- a\n- b"),
        ("summary", None, "All."),
    ]
    summarization["summary"] = 5
    assert refuse(answer).path == "$.speech_understanding.response.summarization.summary"


@pytest.mark.parametrize(
    "nothing", [None, {}, {"status": "unavailable", "results": [], "summary": {}}]
)
def test_what_nobody_asked_for_is_no_row(nothing: Any) -> None:
    """Null, empty and unavailable analyses are no findings."""
    answer = make_answer(
        entities=None,
        chapters=[],
        summary="",
        sentiment_analysis_results=None,
        translated_texts=None,
        speech_understanding=nothing if not nothing else None,
        auto_highlights_result=nothing,
        iab_categories_result=nothing,
        content_safety_labels=nothing,
    )
    assert rows_of(answer) == []


@pytest.mark.parametrize("field", ["entities", "sentiment_analysis_results", "chapters"])
def test_times_that_run_backwards(field: str) -> None:
    """A finding that ends before it starts is refused at its place."""
    assert refuse(make_answer(**{field: [TIMES, {"start": 5, "end": 4}]})).path == f"$.{field}[1]"


def test_nothing_redacted_reaches_a_table() -> None:
    """What was redacted stands in eight places of an answer, and in no column of any table."""
    words = [
        make_word("I'm", 0, 100, speaker="A"),
        make_word("[PERSON_NAME],", 100, 500, speaker="A"),
        make_word("#####", 500, 900, speaker="A"),
        make_word("here.", 900, 1_000, speaker="A"),
    ]
    quoted = TIMES | {"text": CANARY}
    labelled = {"text": CANARY, "labels": [{"label": "x", "relevance": 0.5}], "timestamp": TIMES}
    answer = make_answer(
        words=words,
        redact_pii=True,
        redact_pii_return_unredacted=True,
        unredacted_text=CANARY,
        unredacted_words=[make_word(CANARY, 100, 500)],
        unredacted_utterances=[quoted],
        entities=[quoted | {"entity_type": "person_name"}, {"text": CANARY}],
        sentiment_analysis_results=[quoted],
        auto_highlights_result={"results": [{"text": CANARY, "timestamps": [TIMES]}]},
        iab_categories_result={"results": [labelled]},
        content_safety_labels={"results": [labelled]},
        speech_understanding={"response": {"speaker_identification": {"mapping": {"A": CANARY}}}},
    )
    tables = build_tables([({"recording_id": "r", "provider": "assemblyai"}, read(answer))])
    assert CANARY not in str([table.to_pylist() for table in tables.values()])
    rows = rows_of(answer)
    named, unplaced, *_ = rows
    assert named["text"] == "[PERSON_NAME], #####"
    assert "text" not in unplaced
    assert rows_of(answer, "understanding") == [
        {"kind": "understanding", "label": "speaker_identification"}
    ]
    place = {"kind": "pii", "speaker_label": "A"}
    assert rows_of(answer, "pii") == [
        place | {"start_ms": 100, "end_ms": 500, "label": "person_name"},
        place | {"start_ms": 500, "end_ms": 900},
    ]


def test_unknown_fields_are_named() -> None:
    """New fields are told by name; what is no name is not repeated, and no value ever is."""
    example = json.loads(EXAMPLE.read_bytes())
    assert find_unknown_fields("assemblyai", json.dumps(example).encode()) == ()
    new = {"mood": CANARY, f"the text {CANARY}": 1, "weather": 2}
    assert find_unknown_fields("assemblyai", json.dumps(example | new).encode()) == (
        "(no name)",
        "mood",
        "weather",
    )
    submitted = (EXAMPLE.parent / "submit-200.json").read_bytes()
    assert find_unknown_fields("assemblyai", submitted) == ()
    assert find_unknown_fields("assemblyai", b"{") == find_unknown_fields("nobody", b"{}") == ()
    nested = {"transcription": {"data": {"status": "completed", "mood": 1}}}
    assert find_unknown_fields("aitronos", json.dumps(nested).encode()) == ("mood",)
