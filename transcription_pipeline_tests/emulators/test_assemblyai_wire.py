"""The emulator answers as the vendor's pages and recordings say, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import JOB_S
from transcription_pipeline_tests.emulators.wire_client import WireClient

UNKNOWN = "Transcript lookup error, transcript id not found"


def test_a_submit_is_processing_and_later_completed(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """A job goes from processing to completed when its time is over, and not before."""
    submitted = client.submit(speaker_labels=True)
    assert submitted["status"] == "processing"
    assert submitted["text"] is None
    assert submitted["throttled"] is False
    assert "error" not in submitted
    assert submitted["content_safety_labels"] == {}
    emulator.advance(JOB_S - 0.1)
    assert client.get(submitted["id"])["status"] == "processing"
    emulator.advance(0.1)
    done = client.get(submitted["id"])
    assert done["status"] == "completed"
    assert done["error"] is None
    assert done["speech_model"] is None
    assert done["speech_model_used"] == "universal-3-5-pro"
    assert done["language_code"] == "en_us"
    assert done["content_safety_labels"]["status"] == "unavailable"
    assert done["audio_duration"] == 30


def test_words_utterances_and_text_say_the_same(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The measured invariants of real transcripts hold: same words, in order, inside the audio."""
    job = client.submit(speaker_labels=True)
    emulator.advance(JOB_S)
    done = client.get(job["id"])
    words = done["words"]
    assert done["text"] == " ".join(word["text"] for word in words)
    assert [w for u in done["utterances"] for w in u["words"]] == words
    assert done["confidence"] == pytest.approx(sum(w["confidence"] for w in words) / len(words))
    ends = [0, *(word["end"] for word in words)]
    assert all(end <= word["start"] < word["end"] for end, word in zip(ends, words, strict=False))
    assert words[-1]["end"] <= done["audio_duration"] * 1000
    assert {word["speaker"] for word in words} == {"A", "B"}


@pytest.mark.parametrize(
    ("flags", "speakers", "channels"),
    [
        ({}, {None}, {None}),
        ({"speaker_labels": True}, {"A", "B"}, {None}),
        ({"multichannel": True}, {"1", "2"}, {"1", "2"}),
        ({"multichannel": True, "speaker_labels": True}, {"1A", "2A"}, {"1", "2"}),
    ],
)
def test_labels_follow_the_flags(
    emulator: EmulatorServer,
    client: WireClient,
    flags: dict[str, bool],
    speakers: set[str | None],
    channels: set[str | None],
) -> None:
    """Speakers are letters, channel numbers or both, and channels are strings from "1"."""
    job = client.submit(**flags)
    emulator.advance(JOB_S)
    done = client.get(job["id"])
    assert {word["speaker"] for word in done["words"]} == speakers
    assert {word.get("channel") for word in done["words"]} == channels
    assert (done["utterances"] is not None) == bool(flags)
    assert done.get("audio_channels") == (2 if "multichannel" in flags else None)


def test_the_same_recording_says_the_same(emulator: EmulatorServer, client: WireClient) -> None:
    """A scripted transcript depends on the URL's path, not on its signature."""
    ids = [
        client.submit(f"https://audio.test/{path}")["id"]
        for path in ("a.mp3?X-Amz-Signature=1", "a.mp3?X-Amz-Signature=2", "b.mp3")
    ]
    emulator.advance(JOB_S)
    first, second, other = (client.get(one)["text"] for one in ids)
    assert first == second != other


def test_punctuation_and_capitals_can_be_switched_off(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Without punctuate and format_text the text is plain lower-case words."""
    job = client.submit(punctuate=False, format_text=False)
    emulator.advance(JOB_S)
    text = client.get(job["id"])["text"]
    assert text == text.lower()
    assert "." not in text


REFUSED: list[tuple[Any, str]] = [
    ({}, "Transcript creation error, audio_url not found"),
    ({"audio_url": "https://a.test/1", "format_text": "yes"}, "format_text must be a Boolean"),
    (
        {"audio_url": "https://a.test/1", "speech_models": ["best"]},
        (
            '"speech_models" must be a non-empty list containing one or more of: '
            '"universal-3-pro", "universal-2", "universal-3-5-pro"'
        ),
    ),
    (
        {"audio_url": "https://a.test/1", "metadata": {}},
        "Invalid endpoint schema, please refer to documentation for examples.",
    ),
    (
        {"audio_url": "https://a.test/1", "language_code": "en", "language_detection": True},
        "language_code cannot be used together with language_detection",
    ),
    (
        {"audio_url": "https://a.test/1", "language_detection": False},
        "language_detection must be true when language_code is not set",
    ),
    (
        {"audio_url": "https://a.test/1", "speakers_expected": 2},
        "speakers_expected requires speaker_labels",
    ),
    (
        {"audio_url": "https://a.test/1", "prompt": "x", "keyterms_prompt": ["y"]},
        "prompt cannot be used together with keyterms_prompt",
    ),
    (
        {"audio_url": "https://a.test/1", "redact_pii": True},
        "redact_pii requires redact_pii_policies",
    ),
]


@pytest.mark.parametrize(("body", "sentence"), REFUSED)
def test_a_bad_submit_is_refused_with_400(
    emulator: EmulatorServer, client: WireClient, body: Any, sentence: str
) -> None:
    """A submit the service cannot take is a 400 with its sentence, and makes no job."""
    answer = client.ask("POST", "/v2/transcript", body)
    assert (answer.status, answer.json) == (400, {"error": sentence})
    assert client.list()["transcripts"] == []


def test_models_can_be_required(emulator: EmulatorServer, client: WireClient) -> None:
    """As in spring 2026, a submit without models can be refused."""
    emulator.configure(models_required=True)
    answer = client.ask("POST", "/v2/transcript", {"audio_url": "https://a.test/1"})
    assert answer.status == 400
    assert answer.json["error"].startswith('"speech_models" must be')


@pytest.mark.parametrize("key", [None, "", "Bearer test-key"])
def test_a_missing_or_malformed_key_is_401(emulator: EmulatorServer, key: str | None) -> None:
    """The raw key is the header; nothing and a Bearer token are not authenticated."""
    answer = WireClient(emulator.base_url, key=key).ask("GET", "/v2/transcript")
    assert answer.status == 401
    assert answer.json == {"error": "Authentication error, API token missing/invalid"}


def test_an_unlisted_key_is_401(emulator: EmulatorServer, client: WireClient) -> None:
    """With configured keys only those are accepted, and keys of one project share its jobs."""
    emulator.configure(api_keys={"one": "p", "two": "p", "three": "q"})
    assert client.ask("GET", "/v2/transcript").status == 401
    job = WireClient(emulator.base_url, key="one").submit()
    assert WireClient(emulator.base_url, key="two").get(job["id"])["id"] == job["id"]
    foreign = WireClient(emulator.base_url, key="three").ask("GET", f"/v2/transcript/{job['id']}")
    assert (foreign.status, foreign.json["error"]) == (400, UNKNOWN)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/transcript/5551722-f677-48a6-9287-39c0aafd9ac1"),
        ("DELETE", "/v2/transcript/5551722-f677-48a6-9287-39c0aafd9ac1"),
        ("GET", "/v2/transcript/5551722-f677-48a6-9287-39c0aafd9ac1/sentences"),
        ("GET", "/v2/transcript/5551722-f677-48a6-9287-39c0aafd9ac1/srt"),
        ("GET", "/v2/transcript/"),
    ],
)
def test_an_unknown_id_is_400_not_404(client: WireClient, method: str, path: str) -> None:
    """The service has no 404 for transcripts."""
    answer = client.ask(method, path)
    assert (answer.status, answer.json) == (400, {"error": UNKNOWN})


def test_an_unknown_route_is_404(client: WireClient) -> None:
    """Everything outside the ten endpoints is a JSON 404, in whatever method."""
    for method, path in (("GET", "/v1/transcript"), ("PUT", "/v2/transcript"), ("GET", "/")):
        answer = client.ask(method, path)
        assert (answer.status, answer.json) == (404, {"error": "Not found"})


def test_an_unknown_subtitle_format_is_an_html_404(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """A subtitle format other than srt and vtt is the one 404 that is not JSON."""
    job = client.submit()
    emulator.advance(JOB_S)
    answer = client.ask("GET", f"/v2/transcript/{job['id']}/ass")
    assert (answer.status, answer.body) == (404, b"404: Not Found")
    assert answer.headers["content-type"].startswith("text/html")


def test_an_upload_gets_an_address_and_can_be_transcribed(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Raw bytes of any content type become a CDN address that a submit takes and echoes."""
    answer = client.ask("POST", "/v2/upload", b"not really audio")
    url = answer.json["upload_url"]
    assert url.startswith("https://cdn.assemblyai.com/upload/")
    job = client.submit(url)
    assert job["audio_url"] == url
    emulator.advance(JOB_S)
    assert client.get(job["id"])["status"] == "completed"


def test_an_empty_upload_is_422_in_plain_text(client: WireClient) -> None:
    """An empty body is refused in prose, not JSON."""
    answer = client.ask("POST", "/v2/upload", b"")
    assert answer.status == 422
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body.startswith(b"Upload failed, please try again.")


def test_another_projects_upload_is_403(emulator: EmulatorServer, client: WireClient) -> None:
    """A file belongs to the project whose key uploaded it."""
    url = client.ask("POST", "/v2/upload", b"x").json["upload_url"]
    stranger = WireClient(emulator.base_url, key="other")
    answer = stranger.ask("POST", "/v2/transcript", {"audio_url": url})
    assert (answer.status, answer.json) == (403, {"error": "Cannot access uploaded file"})


def test_an_expired_or_unknown_upload_fails_the_job(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Uploaded files are gone after a day; the job then fails, the submit does not."""
    url = client.ask("POST", "/v2/upload", b"x").json["upload_url"]
    emulator.advance(25 * 3_600)
    done = client.get(client.submit(url)["id"])
    assert done["status"] == "error"
    assert done["error"].startswith(f"Download error, unable to download {url}.")


def test_a_deleted_transcript_is_a_tombstone_that_looks_completed(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Delete leaves status completed, a sentence for a text, and two spellings of the sentinel."""
    job = client.submit()
    path = f"/v2/transcript/{job['id']}"
    assert client.ask("DELETE", path).status == 400  # still processing
    emulator.advance(JOB_S)
    first, second = client.ask("DELETE", path), client.ask("DELETE", path)
    assert first.status == second.status == 200
    assert first.json["is_deleted"] is True
    stone = client.get(job["id"])
    assert (stone["status"], stone["text"]) == ("completed", "Deleted by user.")
    assert stone["audio_url"] == "http://deleted_by_user"
    assert stone["words"] is None
    assert stone["audio_duration"] == 30
    assert client.list()["transcripts"][0]["audio_url"] == "deleted_by_user"
    assert client.ask("GET", f"{path}/sentences").status == 400


def test_a_transcript_is_unknown_after_thirty_days(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Retention ends in the lookup error, and the list no longer shows it."""
    job = client.submit()
    emulator.advance(31 * 86_400)
    answer = client.ask("GET", f"/v2/transcript/{job['id']}")
    assert (answer.status, answer.json["error"]) == (400, UNKNOWN)
    assert client.list()["transcripts"] == []


def test_sub_resources_need_a_completed_transcript(client: WireClient) -> None:
    """What is made of words is refused while there are none."""
    job = client.submit()
    for kind in ("sentences", "paragraphs", "srt", "vtt", "word-search?words=a"):
        answer = client.ask("GET", f"/v2/transcript/{job['id']}/{kind}")
        assert answer.status == 400
        assert "processing" in answer.json["error"]


def test_redacted_audio_is_promised_made_and_expires(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """400 while in progress, 202 until made, 200 for a day, 400 afterwards and when not asked for."""
    job = client.submit(redact_pii=True, redact_pii_audio=True, redact_pii_policies=["date"])
    path = f"/v2/transcript/{job['id']}/redacted-audio"
    assert "still in progress" in client.ask("GET", path).json["error"]
    emulator.advance(JOB_S)
    assert client.ask("GET", path).status == 202
    emulator.advance(3)
    ready = client.ask("GET", path).json
    assert ready["status"] == "redacted_audio_ready"
    assert ".mp3" in ready["redacted_audio_url"]
    emulator.advance(86_400)
    assert client.ask("GET", path).status == 400
    plain = client.submit()
    answer = client.ask("GET", f"/v2/transcript/{plain['id']}/redacted-audio")
    assert "doesn't exist" in answer.json["error"]


def test_redaction_hides_words_and_keeps_them_on_request(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Redacted words become signs everywhere; the unredacted fields appear only when asked for."""
    policies = {"redact_pii": True, "redact_pii_policies": ["date", "location", "person_name"]}
    emulator.configure(audio_s=600.0)
    hidden = client.submit(**policies)
    both = client.submit(**policies, redact_pii_return_unredacted=True)
    emulator.advance(JOB_S)
    hidden, both = client.get(hidden["id"]), client.get(both["id"])
    assert "####" in hidden["text"]
    assert "Monday" not in hidden["text"]
    assert not any("Monday" in word["text"] for word in hidden["words"])
    assert "unredacted_text" not in hidden
    assert both["text"] == hidden["text"]
    assert "Monday" in both["unredacted_text"]


def test_the_rate_limit_is_429_with_retry_after(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """Over the limit of a window the answer says how long to wait, and after that all is well."""
    emulator.configure(requests_per_5_min=2)
    assert [client.ask("GET", "/v2/transcript").status for _ in range(2)] == [200, 200]
    answer = client.ask("GET", "/v2/transcript")
    assert (answer.status, answer.json) == (429, {"error": "Too Many Requests"})
    emulator.advance(int(answer.headers["retry-after"]))
    assert client.ask("GET", "/v2/transcript").status == 200


def test_a_negative_balance_refuses_submits(emulator: EmulatorServer, client: WireClient) -> None:
    """The documented sentence comes with 400, and reading goes on."""
    emulator.configure(balance="refuses")
    answer = client.ask("POST", "/v2/transcript", {"audio_url": "https://a.test/1"})
    assert answer.status == 400
    assert answer.json["error"].startswith("Your current account balance is negative.")
    assert client.ask("GET", "/v2/transcript").status == 200


def test_the_webhook_secret_is_never_echoed(client: WireClient) -> None:
    """The header's name and that there is one are told; its value is not."""
    job = client.submit(
        webhook_url="https://hook.test/?attempt=1",
        webhook_auth_header_name="x-hook",
        webhook_auth_header_value="hush-hush",
    )
    answer = client.ask("GET", f"/v2/transcript/{job['id']}")
    assert answer.json["webhook_auth"] is True
    assert answer.json["webhook_auth_header_name"] == "x-hook"
    assert b"hush-hush" not in answer.body
