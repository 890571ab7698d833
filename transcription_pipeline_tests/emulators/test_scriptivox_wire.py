"""The emulated Scriptivox on the wire: keys, checks, limits, the list, uploads, exports, shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.scriptivox_wire import (
    JOB_S,
    JSON,
    URL,
    ScriptivoxWire,
    code_of,
)
from transcription_pipeline_tests.emulators.test_assemblyai_fidelity import differences_of

SAMPLES = Path(__file__).parents[1] / "samples" / "scriptivox"


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator."""
    with EmulatorServer("scriptivox", job_s=JOB_S, audio_s=30.0, word_count=30) as server:
        yield server


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """Its settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator without jobs or charges; its clock moves only when a test moves it."""
    server.reset()
    server.configure(**settings)
    server.control("clock", {"is_frozen": True})
    return server


@pytest.fixture
def client(emulator: EmulatorServer) -> ScriptivoxWire:
    """A client with a key."""
    return ScriptivoxWire(emulator.base_url)


def sample(name: str) -> Any:
    """Read one example of the vendor's pages."""
    return json.loads((SAMPLES / f"{name}.json").read_bytes())


def test_answers_have_the_published_keys_and_types(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """Submit, completed, failed, cancelled, upload, balance and errors look like the examples."""
    started = client.start(diarize=True, speaker_count=2)
    emulator.set_faults({"operation": "submit", "action": "job_error", "error": "INTERNAL_ERROR"})
    failed = client.start_job()
    emulator.set_faults()
    emulator.advance(JOB_S)
    stopped = client.start_job()
    done = client.look(started.json["id"])
    for ours, theirs in (
        (started.json, sample("created.200")),
        (done, sample("completed.200")),
        (done["result"], sample("completed.200")["result"]),
        (client.post(f"/transcribe/{stopped}/cancel", None).json, sample("cancelled.200")),
        (client.promise("meeting.mp3"), sample("upload.200")),
        (client.ask("GET", "/v1/balance").json, sample("balance.200")),
        (client.start(language="en-US").json, sample("error.402")),
    ):
        assert differences_of(ours, theirs) == []
        assert ours.keys() == theirs.keys()
    assert differences_of(client.look(failed), sample("failed.200")) == []
    turn, example = done["result"]["utterances"][0], sample("completed.200")["result"]
    assert turn.keys() == example["utterances"][0].keys()
    assert turn["words"][0].keys() == example["utterances"][0]["words"][0].keys()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "sk_live_1"}, 200),
        ({"authorization": "Bearer sk_live_1"}, 200),
        ({"x-api-key": "sk_live_1"}, 200),
        ({}, 401),
        ({"authorization": "Basic x y"}, 401),
        ({"authorization": "sk_live_2"}, 401),
        ({"authorization": "sk_live_3"}, 401),
    ],
)
def test_keys(emulator: EmulatorServer, headers: dict[str, str], status: int) -> None:
    """Raw, as Bearer or in its own header; unknown and revoked ones are refused."""
    emulator.configure(
        api_keys={"sk_live_1": "one", "sk_live_3": "one"}, revoked_keys=["sk_live_3"]
    )
    client = ScriptivoxWire(emulator.base_url, key=None)
    assert client.ask("GET", "/v1/balance", **headers).status == status


def test_jobs_of_others_are_unknown(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """Another account sees, cancels and deletes nothing of ours."""
    job, other = client.start_job(), ScriptivoxWire(emulator.base_url, key="other")
    for method, path in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
        answer = other.ask(method, f"/v1/transcribe/{job}{path}")
        assert code_of(answer) == (404, "TRANSCRIPTION_NOT_FOUND")
    assert other.page()["items"] == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "object"),
        ({}, "Exactly one"),
        ({"url": URL, "upload_id": "x"}, "Exactly one"),
        ({"url": "ftp://a.test/x"}, "http"),
        ({"url": "https://a.test/" + "x" * 2_048}, "2048"),
        ({"url": URL, "language": "en-US"}, "Invalid language"),
        ({"url": URL, "language": 5}, "type"),
        ({"url": URL, "speaker_count": 2}, "diarize"),
        ({"url": URL, "diarize": True, "speaker_count": 51}, "50"),
        ({"url": URL, "diarize": "yes"}, "type"),
        ({"url": URL, "webhook_url": "http://a.test"}, "HTTPS"),
        (b"{", "JSON"),
    ],
)
def test_a_bad_request_is_a_400(client: ScriptivoxWire, body: Any, said: str) -> None:
    """Every documented rule of the body is checked, and nothing is started."""
    answer = client.post("/transcribe", body)
    assert code_of(answer) == (400, "INVALID_REQUEST")
    assert said in answer.json["error"]["message"]
    assert client.page()["items"] == []


def test_other_refusals_have_their_own_codes(client: ScriptivoxWire) -> None:
    """Content type, size, path and method are refused as documented."""
    plain = client.ask("POST", "/v1/transcribe", {"url": URL}, **{"content-type": "text/plain"})
    assert code_of(plain) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert plain.headers["accept-post"] == "application/json"
    large = client.post("/transcribe", {"url": URL, "x": "x" * 103_000})
    assert code_of(large) == (413, "PAYLOAD_TOO_LARGE")
    assert code_of(client.ask("GET", "/v1/nothing")) == (404, "NOT_FOUND")
    wrong = client.ask("DELETE", "/v1/transcribe")
    assert code_of(wrong) == (405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "POST"


def test_each_endpoint_has_its_limit(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """The 61st list of a minute is refused with the seconds to wait; other endpoints go on."""
    answers = [client.ask("GET", "/v1/transcriptions") for _ in range(61)]
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert code_of(answers[-1]) == (429, "RATE_LIMIT_EXCEEDED")
    assert answers[-1].headers["retry-after"] == "60"
    assert client.ask("GET", "/v1/balance").status == 200
    emulator.advance(60)
    assert client.ask("GET", "/v1/transcriptions").status == 200


def test_the_edge_counts_everything(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """Three hundred requests a minute and address, whatever the key."""
    emulator.configure(limit_factor=0.1)
    statuses = [
        ScriptivoxWire(emulator.base_url, key=f"k{n}").ask("GET", "/v1/balance").status
        for n in range(31)
    ]
    assert statuses == [200] * 30 + [429]


def test_the_list_is_cut_by_a_cursor(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """Newest first, page after page, each job once; rows tell neither URL nor result."""
    jobs = [client.start_job(f"https://audio.test/{n}.mp3") for n in range(5)]
    seen, query = [], "limit=2"
    for _ in range(3):
        page = client.page(query)
        seen += [row["id"] for row in page["items"]]
        query = f"limit=2&cursor={page.get('next_cursor')}"
    assert seen == jobs[::-1]
    assert page["has_more"] is False
    assert "next_cursor" not in page
    assert not {"url", "result", "progress", "error"} & page["items"][0].keys()
    oldest = client.page("limit=2&order=asc")
    assert [row["id"] for row in oldest["items"]] == jobs[:2]
    rest = client.page(f"order=asc&cursor={oldest['next_cursor']}")
    assert [row["id"] for row in rest["items"]] == jobs[2:]


def test_the_list_is_filtered(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """By status, and by instants from (included) and to (excluded)."""
    first = client.start_job()
    emulator.advance(JOB_S)
    second = client.start_job()
    assert [row["id"] for row in client.page("status=completed")["items"]] == [first]
    assert [row["id"] for row in client.page("status=processing")["items"]] == [second]
    at = client.look(second)["created_at"]
    assert [row["id"] for row in client.page(f"from={at}")["items"]] == [second]
    assert [row["id"] for row in client.page(f"to={at}")["items"]] == [first]
    for bad in ("limit=0", "limit=201", "status=odd", "order=up", "from=x", "cursor=x"):
        assert code_of(client.ask("GET", f"/v1/transcriptions?{bad}"))[0] == 400


def test_a_lagging_list_shows_the_past(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """With a lag a new job is not listed yet, though a look finds it."""
    emulator.configure(list_lag_s=120.0)
    job = client.start_job()
    assert client.page()["items"] == []
    emulator.advance(121)
    assert [row["id"] for row in client.page()["items"]] == [job]


def test_an_upload_is_one_put_and_one_job(emulator: EmulatorServer, client: ScriptivoxWire) -> None:
    """The bytes go to the signed address; the id makes one job and no second one."""
    place = client.promise("meeting.mp3")
    assert place["headers"] == {"Content-Type": "audio/mpeg"}
    assert code_of(client.start(None, upload_id=place["upload_id"])) == (400, "FILE_NOT_UPLOADED")
    assert client.put(place, b"audio").status == 200
    job = client.start_job(None, "key", upload_id=place["upload_id"])
    again = client.start(None, upload_id=place["upload_id"])
    assert code_of(again) == (400, "UPLOAD_ALREADY_USED")
    assert client.start_job(None, "key", upload_id=place["upload_id"]) == job
    assert code_of(client.start(None, upload_id="x")) == (404, "UPLOAD_NOT_FOUND")
    late = client.promise()
    client.put(late, b"audio")
    emulator.advance(3_601)
    assert code_of(client.start(None, upload_id=late["upload_id"])) == (400, "UPLOAD_EXPIRED")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "audio/mpeg"}, 403),
        ({"authorization": "sk_live_1"}, 400),
        ({"x-api-key": "sk_live_1"}, 400),
    ],
)
def test_the_store_takes_what_it_signed_for(
    client: ScriptivoxWire, headers: dict[str, str], status: int
) -> None:
    """Another content type breaks the signature, and a key beside it is one too many."""
    assert client.put(client.promise(), b"audio", **headers).status == status


def test_a_store_address_dies_and_cannot_be_guessed(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """After an hour, with another signature or for another id nothing is taken."""
    place = client.promise()
    forged = {**place, "upload_url": place["upload_url"][:-1] + "x"}
    unknown = {**place, "upload_url": place["upload_url"].replace(place["upload_id"], "x")}
    assert client.put(forged, b"audio").status == 403
    assert client.put(unknown, b"audio").status == 403
    emulator.advance(3_601)
    assert client.put(place, b"audio").status == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "INVALID_FILENAME"),
        ({"filename": "a/b.mp3"}, "INVALID_FILENAME"),
        ({"filename": "x" * 300 + ".mp3"}, "INVALID_FILENAME"),
        ({"filename": "a.amr"}, "INVALID_MEDIA_FORMAT"),
        ({"filename": "mp3"}, "INVALID_MEDIA_FORMAT"),
    ],
)
def test_file_names_are_checked(client: ScriptivoxWire, body: Any, code: str) -> None:
    """A name is needed, and one of the 25 formats."""
    assert code_of(client.post("/upload", body)) == (400, code)


def test_captions_have_four_words_unless_told(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """SRT, VTT and text of a completed job, with the vendor's knobs and its small default."""
    job = client.start_job(diarize=True)
    path = f"/v1/transcribe/{job}?format="
    assert code_of(client.ask("GET", path + "srt")) == (409, "CONFLICT")
    emulator.advance(JOB_S)
    srt = client.ask("GET", path + "srt&include_speakers=false")
    assert srt.headers["content-type"].startswith("text/plain")
    blocks = srt.body.decode().split("\n\n")
    assert blocks[0].startswith("1\n00:00:00,")
    assert max(len(block.splitlines()[2].split()) for block in blocks if block) == 4
    vtt = client.ask("GET", path + "vtt&max_words=8&max_chars=20")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.body.startswith(b"WEBVTT\n\n00:00:00.")
    assert b"SPEAKER 1: " in vtt.body
    text = client.ask("GET", path + "text&include_timestamps=true&strip_chars=.").body.decode()
    assert text.startswith("[00:00:00")
    assert "." not in text.partition("] ")[2].splitlines()[0]
    plain = client.start_job(align=False)
    emulator.advance(JOB_S)
    whole = client.ask("GET", f"/v1/transcribe/{plain}?format=srt").body.decode()
    assert whole.startswith("1\n")
    for bad in ("doc", "srt&max_words=0"):
        assert code_of(client.ask("GET", path + bad)) == (400, "INVALID_REQUEST")


def test_words_and_speakers_follow_the_request(
    emulator: EmulatorServer, client: ScriptivoxWire
) -> None:
    """Diarize brings labels and always words; align off leaves words out; unasked is a choice."""
    both = client.start_job(diarize=True, align=False)
    bare, plain = client.start_job(align=False), client.start_job(language="de")
    emulator.advance(JOB_S)
    result = client.look(both)["result"]
    assert client.look(both)["align"] is True
    assert result["speakers"] == ["SPEAKER 1", "SPEAKER 2"]
    assert {word["speaker"] for turn in result["utterances"] for word in turn["words"]} == {
        "SPEAKER 1",
        "SPEAKER 2",
    }
    assert "words" not in client.look(bare)["result"]["utterances"][0]
    result = client.look(plain)["result"]
    assert result["language"] == "de"
    assert "speaker" not in result["utterances"][0]
    for choice, value in (("null", None), ("empty", "")):
        emulator.configure(unasked_speaker=choice)
        assert client.look(plain)["result"]["utterances"][0]["speaker"] == value


@pytest.mark.parametrize("choice", ["null", "absent"])
def test_what_has_no_value_yet_is_a_choice(
    emulator: EmulatorServer, client: ScriptivoxWire, choice: str
) -> None:
    """Fields of an unfinished job are null or missing, as configured: no page says which."""
    emulator.configure(unfinished_fields=choice)
    answer = client.look(client.start_job())
    assert ("completed_at" in answer) is (choice == "null")
    assert answer.get("completed_at") is None
    assert "result" not in answer


def test_health_of_headers(client: ScriptivoxWire) -> None:
    """JSON answers say so, and every answer is dated."""
    answer = client.ask("GET", "/v1/balance", **JSON)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["date"].endswith("GMT")
