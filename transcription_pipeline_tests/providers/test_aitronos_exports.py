"""Aitronos's free calls through a socket: paragraphs, captions, search, redacted audio, and stubs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline_tests.providers.aitronos_world import (
    JOB_ID,
    JOB_S,
    KEY,
    accept,
    ask,
    ask_canned,
    emulator,
    no_waiting,
    server,
    settings,
)

__all__ = ["emulator", "no_waiting", "server", "settings"]  # fixtures

CALLS = {
    "paragraphs": lambda p, job: p.get_paragraphs(job),
    "subtitles": lambda p, job: p.export(job, "srt"),
    "search": lambda p, job: p.search(job, "the"),
    "redacted_audio": lambda p, job: p.find_redacted_audio(job),
}
"""Operation → the call that makes it."""


def complete(emulator: EmulatorServer, **options: Any) -> str:
    """Let one job be completed, and seen so; return its id."""
    job_id = accept(emulator, **options)
    emulator.advance(JOB_S + 10)
    ask(emulator.base_url, lambda p: p.observe(job_id))
    return job_id


def test_paragraphs_cover_the_transcript(emulator: EmulatorServer) -> None:
    """All come at once, in order, with times in seconds."""
    job_id = complete(emulator)
    found = ask(emulator.base_url, lambda p: p.get_paragraphs(job_id))
    assert len(found) > 1
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert all(0 <= one.start < one.end <= 30 for one in found)
    text = ask(emulator.base_url, lambda p: p.export(job_id, "txt"))
    assert " ".join(one.text for one in found).split() == text.split()


def test_fewer_paragraphs_than_counted_are_an_error() -> None:
    """An answer that says of itself that something is missing is not shown as the whole."""
    body = b'{"success": true, "data": {"paragraphs": []}, "metadata": {"total_count": 2}}'
    with pytest.raises(UnexpectedResponse, match="0 paragraphs of 2"):
        ask_canned(200, body, lambda p: p.get_paragraphs(JOB_ID))


@pytest.mark.parametrize(
    ("kind", "start"), [("srt", r"1\n\d\d:\d\d:\d\d,\d{3} --> "), ("vtt", "WEBVTT"), ("txt", r"\w")]
)
def test_captions_are_the_service_s_own(emulator: EmulatorServer, kind: Any, start: str) -> None:
    """Files come as they are, and the knobs reach the service."""
    job_id = complete(emulator)
    assert re.match(start, ask(emulator.base_url, lambda p: p.export(job_id, kind)))
    narrow = ask(emulator.base_url, lambda p: p.export(job_id, "srt", max_chars_per_line=20))
    assert max(len(line) for line in narrow.splitlines() if "-->" not in line) <= 20
    with pytest.raises(RequestRejected):
        ask(emulator.base_url, lambda p: p.export(job_id, kind, max_lines=4))


def test_a_phrase_is_found_where_it_was_said(emulator: EmulatorServer) -> None:
    """Where search exists, each match has its words, times and confidence."""
    emulator.configure(stubs=[])
    job_id = complete(emulator)
    first = ask(emulator.base_url, lambda p: p.get_paragraphs(job_id))[0]
    phrase = " ".join(first.text.split()[:2])
    found = ask(emulator.base_url, lambda p: p.search(job_id, phrase))
    assert found[0].text == phrase
    assert found[0].start == first.start
    assert found[0].confidence is not None
    assert ask(emulator.base_url, lambda p: p.search(job_id, "zyzzyva")) == []
    with pytest.raises(RequestRejected):
        ask(emulator.base_url, lambda p: p.search(job_id, "six words are too many here"))


def test_redacted_audio_is_not_enabled_pending_or_available(emulator: EmulatorServer) -> None:
    """Where it exists the address comes with its end, and is not shown by accident."""
    emulator.configure(stubs=[])
    plain, redacting = accept(emulator), accept(emulator, redact_pii=["email"])
    told = ask(emulator.base_url, lambda p: p.find_redacted_audio(plain))
    assert (told.status, told.url, told.expires_at) == ("not_enabled", None, None)
    assert ask(emulator.base_url, lambda p: p.find_redacted_audio(redacting)).status == "pending"
    redacting = complete(emulator, redact_pii=["email"])
    told = ask(emulator.base_url, lambda p: p.find_redacted_audio(redacting))
    assert told.status == "available"
    assert told.url is not None
    assert told.url not in repr(told)
    assert told.expires_at is not None
    assert told.expires_at > datetime.fromtimestamp(emulator.control("clock")["now"], tz=UTC)


@pytest.mark.parametrize("operation", CALLS)
def test_a_stub_is_named_as_one(emulator: EmulatorServer, operation: str) -> None:
    """501 is asked for once, and the error says whose word it is that there is nothing there."""
    job_id = complete(emulator)
    emulator.configure(stubs=list(CALLS))
    with pytest.raises(UnexpectedResponse, match="call it a stub") as caught:
        ask(emulator.base_url, lambda p: CALLS[operation](p, job_id))
    assert (caught.value.status_code, caught.value.operation) == (501, operation)
    assert emulator.request_counts()[operation] == 1


def test_search_and_redacted_audio_are_stubs_by_default(emulator: EmulatorServer) -> None:
    """The emulator is as the vendor's packages say until it is switched."""
    job_id = complete(emulator)
    for operation in ("search", "redacted_audio"):
        with pytest.raises(UnexpectedResponse, match="stub"):
            ask(emulator.base_url, lambda p, name=operation: CALLS[name](p, job_id))


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("job_id", ["", "../x", "trans_a/b", "trans_é"])
def test_an_odd_id_enters_no_path(emulator: EmulatorServer, operation: str, job_id: str) -> None:
    """What is no id of theirs is refused before a request is made of it."""
    with pytest.raises(UnexpectedResponse, match="odd job id"):
        ask(emulator.base_url, lambda p: CALLS[operation](p, job_id))
    assert emulator.request_counts() == {}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"action": "status", "status": 401}, AuthenticationFailed),
        ({"action": "status", "status": 404}, RequestRejected),
        ({"action": "status", "status": 409}, ProviderUnavailable),
        ({"action": "status", "status": 500}, ProviderUnavailable),
        ({"action": "redirect"}, UnexpectedResponse),
        ({"action": "truncate"}, ProviderUnavailable),
    ],
    ids=lambda v: str(v.get("status", v["action"])) if isinstance(v, dict) else "",
)
def test_a_call_that_fails_is_a_typed_error(
    emulator: EmulatorServer, operation: str, rule: dict[str, Any], error: type[ProviderError]
) -> None:
    """Each failure has its kind, and none tells the key."""
    emulator.configure(stubs=[])
    emulator.set_faults({**rule, "operation": operation})
    with pytest.raises(error) as caught:
        ask(emulator.base_url, lambda p: CALLS[operation](p, JOB_ID))
    assert type(caught.value) is error
    assert KEY not in str(caught.value)
