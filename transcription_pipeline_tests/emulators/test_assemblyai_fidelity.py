"""The emulator's answers have the keys and types of the vendor's published examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import JOB_S, Shelf
from transcription_pipeline_tests.emulators.wire_client import WireClient

SAMPLES = Path(__file__).parents[1] / "samples" / "assemblyai"
ANALYSES = {
    "auto_highlights": True,
    "content_safety": True,
    "iab_categories": True,
    "entity_detection": True,
    "sentiment_analysis": True,
}
# The request behind the published submit answer, read off its echo.
REQUEST = ANALYSES | {
    "filter_profanity": True,
    "speaker_labels": True,
    "speaker_options": {
        "min_speakers_expected": 2,
        "max_speakers_expected": 2,
        "advanced_speaker_segmentation": True,
    },
    "language_detection": True,
    "language_confidence_threshold": 0.7,
    "speech_models": ["universal-3-pro", "universal-2"],
}


def sample(name: str) -> Any:
    """Read one published example."""
    return json.loads((SAMPLES / f"{name}.json").read_bytes())


def compare(ours: Any, theirs: Any, path: str, differences: list[str]) -> None:
    """Collect where our answer lacks a key or has another type; nulls and empties decide nothing."""
    if ours is None or theirs is None:
        return
    numbers = (int, float)
    both_numbers = type(ours) in numbers and type(theirs) in numbers
    if type(ours) is not type(theirs) and not both_numbers:
        differences.append(f"{path}: {type(ours).__name__}, not {type(theirs).__name__}")
    elif isinstance(theirs, dict) and not path.endswith(("summary", "severity_score_summary")):
        for name, value in theirs.items():
            if name not in ours:
                differences.append(f"{path}.{name}: missing")
            else:
                compare(ours[name], value, f"{path}.{name}", differences)
    elif isinstance(theirs, list) and theirs and ours:
        compare(ours[0], theirs[0], f"{path}[0]", differences)


def differences_of(ours: Any, theirs: Any) -> list[str]:
    """List all differences."""
    found: list[str] = []
    compare(ours, theirs, "$", found)
    return found


def test_submit_answers_like_the_published_example(client: WireClient) -> None:
    """Same keys (and no others but the ones listed) and, for the same request, the same values."""
    theirs = sample("submit-200")
    ours = client.submit(theirs["audio_url"], **REQUEST, speakers_expected=None)
    assert differences_of(ours, theirs) == []
    assert ours.keys() == theirs.keys()
    own = ("id", "project_id", "token_id", "speakers_expected")
    assert {k: v for k, v in ours.items() if k not in own} == {
        k: v for k, v in theirs.items() if k not in own
    }


def test_a_completed_transcript_has_the_published_keys_and_types(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Every key of the example transcript is there, analyses included."""
    emulator.configure(audio_s=281.0)
    job = client.submit(**REQUEST, domain="medical-v1", speech_threshold=0.1)
    emulator.advance(JOB_S)
    ours = client.get(job["id"])
    assert ours["status"] == "completed"
    assert differences_of(ours, sample("Transcript")) == []
    assert differences_of(ours["utterances"][0], sample("TranscriptUtterance")) == []
    assert type(ours["audio_duration"]) is int


def test_a_tombstone_has_exactly_the_published_keys(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The sanitised transcript is the example's, but for its id and what the job was."""
    job = client.submit(disfluencies=True)
    emulator.advance(JOB_S)
    client.ask("DELETE", f"/v2/transcript/{job['id']}")
    ours, theirs = client.get(job["id"]), sample("DeleteTranscriptResponse")
    assert ours == theirs | {"id": job["id"], "audio_duration": 30}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sentences", "SentencesResponse"),
        ("paragraphs", "ParagraphsResponse"),
        ("word-search?words=the", "WordSearchResponse"),
    ],
)
def test_exports_have_the_published_shape(
    emulator: EmulatorServer, client: WireClient, kind: str, name: str
) -> None:
    """Sentences, paragraphs and matches have the example's keys and no others."""
    job = client.submit()
    emulator.advance(JOB_S)
    ours, theirs = client.ask("GET", f"/v2/transcript/{job['id']}/{kind}").json, sample(name)
    assert differences_of(ours, theirs) == []
    assert ours.keys() == theirs.keys()
    first = next(key for key, value in theirs.items() if isinstance(value, list))
    assert ours[first], "the script should have something to show"
    assert ours[first][0].keys() == theirs[first][0].keys()


def test_list_upload_redaction_and_error_have_the_published_shape(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The small bodies have exactly the example's keys."""
    upload = client.ask("POST", "/v2/upload", b"x").json
    client.submit(upload["upload_url"])
    policies = {"redact_pii": True, "redact_pii_audio": True, "redact_pii_policies": ["date"]}
    job = client.submit(**policies)
    emulator.advance(JOB_S + 3)
    page = client.list("limit=1")
    redacted = client.ask("GET", f"/v2/transcript/{job['id']}/redacted-audio").json
    error = client.ask("POST", "/v2/transcript", {}).json
    for ours, theirs in (
        (upload, sample("UploadedFile")),
        (page, sample("TranscriptList")),
        (page["page_details"], sample("TranscriptList")["page_details"]),
        (page["transcripts"][0], sample("TranscriptList")["transcripts"][0]),
        (redacted, sample("RedactedAudioResponse")),
        (error, sample("Error")),
    ):
        assert ours.keys() == theirs.keys()
        assert differences_of(ours, theirs) == []


def test_the_webhook_body_has_the_published_shape(
    emulator: EmulatorServer, client: WireClient, shelf: Shelf
) -> None:
    """The notification has the example's two keys."""
    client.submit(webhook_url=shelf.url("/hook"))
    emulator.advance(JOB_S)
    assert shelf.posted_one.acquire(timeout=30)
    assert json.loads(shelf.posted[0][2]).keys() == sample("TranscriptReadyNotification").keys()
