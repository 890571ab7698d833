"""Aitronos emulated: the life of a job, and the choices where the pages are silent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.clock import Clock
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.aitronos_wire import (
    JOB_S,
    PATH,
    ask,
    complete,
    create,
    emulator,
    make_body,
    server,
    settings,
)

__all__ = ["emulator", "server", "settings"]  # fixtures


def test_a_job_is_refreshed_every_ten_seconds_by_gets(emulator: EmulatorServer) -> None:
    """The state shown is the last refresh's, which only a get ten seconds later renews."""
    path = create(emulator)
    emulator.advance(9)
    early = ask(emulator, "GET", path).json
    assert (early["data"]["status"], early["metadata"]["upstream_refreshed"]) == (
        "processing",
        False,
    )
    emulator.advance(JOB_S)
    listed = ask(emulator, "GET", PATH).json["data"]["transcriptions"][0]
    assert listed["status"] == "processing"
    late = ask(emulator, "GET", path).json
    assert (late["data"]["status"], late["metadata"]["upstream_refreshed"]) == ("completed", True)
    assert ask(emulator, "GET", PATH).json["data"]["transcriptions"][0]["status"] == "completed"


def test_answers_may_be_cached(emulator: EmulatorServer) -> None:
    """Running answers keep for 5 s, finished ones for a day; an ETag is answered with 304."""
    path = create(emulator)
    assert ask(emulator, "GET", path).headers["cache-control"] == "public, max-age=5"
    emulator.advance(JOB_S + 10)
    answer = ask(emulator, "GET", path)
    assert answer.headers["cache-control"] == "public, max-age=86400"
    again = ask(emulator, "GET", path, if_none_match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("kind", ["sentences", "paragraphs"])
def test_pieces_come_in_pages(emulator: EmulatorServer, kind: str) -> None:
    """Pieces have text and seconds, and pages of any size make the same whole."""
    path = complete(emulator, make_body(privacy_settings={"pii_redaction_enabled": True}))
    answer = ask(emulator, "GET", f"{path}/{kind}")
    whole = answer.json["data"][kind]
    assert answer.headers["x-pii-redacted"] == "true"
    assert answer.json["metadata"]["total_count"] == len(whole) > 1
    assert all(set(one) == {"text", "start", "end"} for one in whole)
    assert all(0 <= one["start"] <= one["end"] <= 125.5 for one in whole)
    paged: list[Any] = []
    while len(paged) < len(whole):
        page = ask(emulator, "GET", f"{path}/{kind}?limit=2&offset={len(paged)}").json
        paged += page["data"][kind]
    assert paged == whole
    assert ask(emulator, "GET", f"{path}/{kind}?limit=1001").status == 422


@pytest.mark.parametrize("tail", ["sentences", "paragraphs", "subtitles/srt"])
def test_nothing_is_to_be_had_before_the_end(emulator: EmulatorServer, tail: str) -> None:
    """What needs a completed transcription is 409 before."""
    assert ask(emulator, "GET", f"{create(emulator)}/{tail}").status == 409


def test_speakers_and_text_where_they_are_set(emulator: EmulatorServer) -> None:
    """Neither field is documented; a setting names it, and speakers need diarization."""
    emulator.configure(text_field="text", speaker_field="speaker")
    body = make_body(speaker_analysis={"diarization_enabled": True})
    path = complete(emulator, body)
    pieces = ask(emulator, "GET", f"{path}/sentences").json["data"]["sentences"]
    assert {one["speaker"] for one in pieces} == {"A", "B"}
    text = " ".join(one["text"] for one in pieces)
    assert ask(emulator, "GET", path).json["data"]["text"] == text
    plain = ask(emulator, "GET", f"{complete(emulator)}/sentences").json["data"]["sentences"]
    assert "speaker" not in plain[0]


def test_subtitles_are_plain_text(emulator: EmulatorServer) -> None:
    """Captions are raw text of three formats, within the documented ranges."""
    path = complete(emulator)
    srt = ask(emulator, "GET", f"{path}/subtitles/srt?max_chars_per_line=20&max_lines=1")
    assert srt.headers["content-type"].startswith("text/plain")
    assert re.match(rb"1\n\d\d:\d\d:\d\d,\d{3} --> ", srt.body)
    vtt = ask(emulator, "GET", f"{path}/subtitles/vtt")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.body.startswith(b"WEBVTT\n\n1\n00:00:")
    assert b"-->" not in ask(emulator, "GET", f"{path}/subtitles/txt").body
    for bad in ("doc", "srt?max_lines=4", "srt?max_chars_per_line=61", "srt?chars_per_caption=x"):
        assert ask(emulator, "GET", f"{path}/subtitles/{bad}").status == 422


@pytest.mark.parametrize("tail", ["search?query=a", "redacted-audio", "upload"])
def test_stubs_answer_501(emulator: EmulatorServer, tail: str) -> None:
    """What the vendor's packages call stubs is not implemented, unless that is switched."""
    path = complete(emulator)
    if tail == "upload":
        answer = ask(emulator, "POST", "/v1/audio/files/upload", b"")
    else:
        answer = ask(emulator, "GET", f"{path}/{tail}")
    assert (answer.status, answer.json["error"]["type"]) == (501, "server_error")


def test_search_where_it_is_implemented(emulator: EmulatorServer) -> None:
    """An exact phrase is found with its times; long queries and queued jobs are refused."""
    emulator.configure(stubs=[])
    path = complete(emulator)
    first = ask(emulator, "GET", f"{path}/sentences").json["data"]["sentences"][0]
    word = first["text"].split()[0]
    data = ask(emulator, "GET", f"{path}/search?query={word}").json["data"]
    assert data["total_count"] == len(data["matches"]) > 0
    assert data["matches"][0]["start"] == first["start"]
    for bad in ("", "query=", "query=a+b+c+d+e+f", f"query={'x' * 129}"):
        assert ask(emulator, "GET", f"{path}/search?{bad}").status == 422
    emulator.configure(queue_s=60.0)
    assert ask(emulator, "GET", f"{create(emulator)}/search?query=a").status == 409


def test_redacted_audio_where_it_is_implemented(emulator: EmulatorServer) -> None:
    """It is not enabled, pending or available, with a link that ends."""
    emulator.configure(stubs=[])
    redacting = make_body(privacy_settings={"pii_redaction_enabled": True})
    path = create(emulator)
    assert ask(emulator, "GET", f"{path}/redacted-audio").json["data"]["status"] == "not_enabled"
    path = create(emulator, redacting)
    assert ask(emulator, "GET", f"{path}/redacted-audio").json["data"]["status"] == "pending"
    data = ask(emulator, "GET", f"{complete(emulator, redacting)}/redacted-audio").json["data"]
    assert data["status"] == "available"
    assert "expires_at" in data


def test_an_uploaded_file_can_be_transcribed(emulator: EmulatorServer) -> None:
    """A multipart file gets a URL that a create request takes, and nobody else's does."""
    emulator.configure(stubs=[])
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        b"RIFF\x00\xff\r\n--b--\r\n"
    )
    kind = "multipart/form-data; boundary=b"
    answer = ask(emulator, "POST", "/v1/audio/files/upload", form, content_type=kind)
    url = answer.json["data"]["file_url"]
    create(emulator, make_body(url))
    other = ask(emulator, "POST", PATH, make_body(url), x_api_key="ak_other")
    assert other.json["error"]["code"] == "INVALID_AUDIO_URL"
    assert ask(emulator, "POST", "/v1/audio/files/upload", b"x").status == 422


def test_the_list_has_pages_and_filters(emulator: EmulatorServer) -> None:
    """Rows have no URL; limit, offset and status cut them; the order is switchable."""
    ids = []
    for _ in range(3):
        ids.append(create(emulator).rpartition("/")[2])
        emulator.advance(1)
    page = ask(emulator, "GET", f"{PATH}?limit=2").json["data"]
    assert [one["transcription_id"] for one in page["transcriptions"]] == ids[:0:-1]
    assert set(page["transcriptions"][0]) == {
        *("transcription_id", "status", "model_key", "synapses_consumed"),
        *("audio_duration_seconds", "created_at"),
    }
    told = page["pagination"]
    assert (told["total_count"], told["returned_count"], told["has_more"]) == (3, 2, True)
    assert set(told["links"]) == {"first", "current", "next", "previous"}
    emulator.configure(list_order="oldest")
    rest = ask(emulator, "GET", f"{PATH}?limit=2&offset=2").json["data"]
    assert [one["transcription_id"] for one in rest["transcriptions"]] == ids[2:]
    assert ask(emulator, "GET", f"{PATH}?status=failed").json["data"]["transcriptions"] == []
    for bad in ("limit=0", "limit=101", "offset=-1", "status=done"):
        assert ask(emulator, "GET", f"{PATH}?{bad}").status == 422


def test_the_list_lags_where_that_is_set(emulator: EmulatorServer) -> None:
    """A new job is listed only when the lag is over."""
    emulator.configure(list_lag_s=60.0)
    create(emulator)
    assert ask(emulator, "GET", PATH).json["data"]["transcriptions"] == []
    emulator.advance(61)
    assert len(ask(emulator, "GET", PATH).json["data"]["transcriptions"]) == 1


def test_a_deleted_job_is_gone(emulator: EmulatorServer) -> None:
    """Delete confirms, and afterwards neither the job nor a row of it is there; it stays paid."""
    path = create(emulator)
    data = ask(emulator, "DELETE", path).json["data"]
    assert (data["deleted"], data["deleted_upstream"]) == (True, True)
    assert ask(emulator, "GET", path).status == 404
    assert ask(emulator, "DELETE", path).status == 404
    assert ask(emulator, "GET", PATH).json["data"]["transcriptions"] == []
    assert len(emulator.invoice()) == 1


@pytest.mark.parametrize("refunds", [True, False])
def test_a_failed_job_is_refunded_or_not(emulator: EmulatorServer, refunds: bool) -> None:
    """A failed job shows what came back, and has no error field."""
    emulator.configure(refunds_failures=refunds)
    emulator.set_faults({"action": "job_error", "operation": "submit"})
    path = create(emulator)
    emulator.advance(JOB_S + 10)
    body = ask(emulator, "GET", path).json
    assert body["data"]["status"] == "failed"
    assert body["billing"]["synapses_refunded"] == (126 if refunds else 0)
    assert "error" not in body["data"]
    (line,) = emulator.invoice()
    assert line["amount_micros"] == 126_000_000
    assert line["refunded_micros"] == (126_000_000 if refunds else 0)
    total = emulator.control("invoice")["total_micros"]
    assert total == (0 if refunds else 126_000_000)


def test_the_rate_limit_where_it_is_set(emulator: EmulatorServer) -> None:
    """Beyond the limit per minute there is 429 with Retry-After, until the minute is over."""
    emulator.configure(requests_per_min=2)
    assert [ask(emulator, "GET", PATH).status for _ in range(2)] == [200, 200]
    refused = ask(emulator, "GET", PATH)
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    emulator.advance(60)
    assert ask(emulator, "GET", PATH).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/audio/models", 404),
        ("GET", "/", 404),
        ("PUT", PATH, 405),
        ("GET", f"{PATH}/trans_0", 404),
    ],
)
def test_what_is_not_there(emulator: EmulatorServer, method: str, path: str, status: int) -> None:
    """Unknown paths, methods and ids are refused in the envelope."""
    answer = ask(emulator, method, path)
    assert (answer.status, answer.json["success"]) == (status, False)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Jobs, charges, refunds and words survive in the journal; an unfinished job is finished."""
    journal = tmp_path / "journal"
    told: dict[str, Any] = {"job_s": JOB_S, "audio_s": 20.0, "refresh_s": 0.0}
    clock = Clock(frozen_at=1_800_000_000.0)
    with EmulatorServer("aitronos", state=journal, clock=clock, **told) as first:
        done = create(first)
        first.advance(JOB_S)
        words = ask(first, "GET", done).json["data"]["status"]
        assert words == "completed"
        sentences = ask(first, "GET", f"{done}/sentences").json["data"]
        first.set_faults({"action": "job_error", "operation": "submit", "nth": 1})
        create(first)
        first.advance(JOB_S)
        waiting, lines = create(first), first.invoice()
        moved = clock.now()
    clock = Clock(frozen_at=moved)
    with EmulatorServer("aitronos", state=journal, clock=clock, **told) as second:
        assert second.invoice() == lines
        assert [line["refunded_micros"] > 0 for line in lines] == [False, True, False]
        ask(second, "GET", done)
        assert ask(second, "GET", f"{done}/sentences").json["data"] == sentences
        second.advance(JOB_S)
        assert ask(second, "GET", waiting).json["data"]["status"] == "completed"
