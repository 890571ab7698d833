"""The vendor's own SDK, pointed at the emulator, finds nothing amiss.

Its strict parsing is the point: it raises on a wrong type, an unknown model or a float where it
wants whole seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import assemblyai as aai
import pytest

from transcription_pipeline.audio.probe import probe
from transcription_pipeline.emulators.server import EmulatorServer


@pytest.fixture
def sdk(emulator: EmulatorServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[aai.Transcriber]:
    """A transcriber of the official SDK that talks to the emulator."""
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    emulator.control("clock", {"is_frozen": False})
    emulator.configure(job_s=0.05)
    aai.settings.base_url = emulator.base_url
    aai.settings.api_key = "sdk-key"
    aai.settings.polling_interval = 0.05
    client = aai.Client(settings=aai.settings)
    yield aai.Transcriber(client=client)
    client.http_client.close()


def test_the_sdk_uploads_and_transcribes(sdk: aai.Transcriber, tmp_path: Path) -> None:
    """A local file goes up and comes back as words of two speakers."""
    audio = tmp_path / "call.mp3"
    audio.write_bytes(b"audio" * 100_000)
    transcript = sdk.transcribe(str(audio), aai.TranscriptionConfig(speaker_labels=True))
    assert transcript.status == aai.TranscriptStatus.completed
    assert transcript.utterances
    assert {turn.speaker for turn in transcript.utterances} == {"A", "B"}
    assert transcript.text == " ".join(word.text for word in transcript.words or [])
    assert transcript.audio_duration == 30


def test_the_sdk_reads_every_export(sdk: aai.Transcriber) -> None:
    """Sentences, paragraphs, word search and both subtitle formats parse."""
    transcript = sdk.transcribe("https://audio.test/a.mp3")
    sentences, paragraphs = transcript.get_sentences(), transcript.get_paragraphs()
    assert " ".join(one.text for one in sentences) == transcript.text
    assert " ".join(one.text for one in paragraphs) == transcript.text
    word = (transcript.words or [])[3].text.strip(".").lower()
    match = transcript.word_search([word])[0]
    assert match.text == word
    assert 3 in match.indexes
    srt, vtt = transcript.export_subtitles_srt(32), transcript.export_subtitles_vtt()
    assert srt.startswith("1\n00:00:00,")
    assert max(len(line) for line in srt.splitlines()) <= 32
    assert vtt.startswith("WEBVTT\n\n00:00.")


def test_the_sdk_parses_every_analysis(sdk: aai.Transcriber) -> None:
    """All stand-in analyses have the shapes the SDK's types demand."""
    config = aai.TranscriptionConfig(
        speaker_labels=True,
        auto_highlights=True,
        content_safety=True,
        iab_categories=True,
        sentiment_analysis=True,
        entity_detection=True,
        summarization=True,
        speech_understanding=aai.SpeechUnderstandingRequest(
            request=aai.SpeechUnderstandingFeatureRequests(
                summarization=aai.types.SummarizationRequest(summary_type="bullets"),
                translation=aai.TranslationRequest(target_languages=["de"]),
                speaker_identification=aai.SpeakerIdentificationRequest(speaker_type="name"),
            )
        ),
    )
    transcript = sdk.transcribe("https://audio.test/analyses.mp3", config)
    assert transcript.status == aai.TranscriptStatus.completed, transcript.error
    assert transcript.sentiment_analysis
    assert transcript.auto_highlights is not None
    assert transcript.content_safety is not None
    assert transcript.content_safety.results
    told = transcript.json_response["speech_understanding"]["response"]
    assert told["summarization"]["block_summary"] == transcript.summary
    assert transcript.json_response["translated_texts"]["de"]
    assert transcript.iab_categories is not None
    assert transcript.summary


def test_the_sdk_fetches_redacted_audio(
    sdk: aai.Transcriber, emulator: EmulatorServer, tmp_path: Path
) -> None:
    """The SDK polls for the redacted audio, and saves the file behind its signed address."""
    emulator.configure(redacted_audio_s=0.2)
    config = aai.TranscriptionConfig().set_redact_pii(
        policies=[aai.PIIRedactionPolicy.person_name], redact_audio=True
    )
    transcript = sdk.transcribe("https://audio.test/redacted.mp3", config)
    place = tmp_path / "redacted.mp3"
    transcript.save_redacted_audio(str(place))
    body = place.read_bytes()
    facts = probe(lambda start, length: body[start : start + length], len(body))
    assert facts.container == "mp3"
    assert abs((facts.duration_ms or 0) - 30_000) < 200


def test_the_sdk_pages_through_the_list(sdk: aai.Transcriber) -> None:
    """The SDK's own way of paging sees every transcript once."""
    ids = [sdk.submit(f"https://audio.test/{number}.mp3").id for number in range(5)]
    parameters = aai.ListTranscriptParameters(limit=2)
    seen: list[str] = []
    while True:
        page = sdk.list_transcripts(parameters)
        seen += [row.id for row in page.transcripts]
        before = page.page_details.before_id_of_prev_url
        if before is None:
            break
        parameters.before_id = before
    assert seen == ids[::-1]


def test_the_sdk_deletes(sdk: aai.Transcriber) -> None:
    """The tombstone parses as a transcript."""
    transcript = sdk.transcribe("https://audio.test/a.mp3")
    assert transcript.id is not None
    stone = aai.Transcript.delete_by_id(transcript.id)
    assert stone.text == "Deleted by user."


def test_the_sdk_reports_refusals_and_failed_jobs(
    sdk: aai.Transcriber, emulator: EmulatorServer
) -> None:
    """A refusal raises with the vendor's sentence; a failed job does not raise."""
    with pytest.raises(aai.types.TranscriptError, match="transcript id not found") as caught:
        aai.Transcript.get_by_id("nobody")
    assert caught.value.status_code == 400
    emulator.set_faults({"operation": "submit", "action": "job_error", "error": "no such luck"})
    failed = sdk.transcribe("https://audio.test/a.mp3")
    assert (failed.status, failed.error) == (aai.TranscriptStatus.error, "no such luck")
