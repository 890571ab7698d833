"""No record that a library logs carries a key, whoever listens."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from transcription_pipeline import log_redaction

SECRET = "canary-key-51af"
SIGNED = "https://b.s3.amazonaws.com/in/a.wav?X-Amz-Signature=0123abcd&x-tp-attempt=77"


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """What a handler on the root logger writes at DEBUG."""
    factory, text = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(text)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    log_redaction.redact_logs([SECRET, "abc"])
    log_redaction.redact_logs()  # twice is once
    yield text
    root.removeHandler(handler)
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


LOUD = logging.getLogger("some.http.client")


@pytest.mark.parametrize(
    ("message", "arguments", "left"),
    [
        ('HTTP Request: GET %s "200 OK"', (SIGNED,), "https://b.s3.amazonaws.com/in/a.wav?…"),
        ("connect postgresql://ada:pass-word@db/ledger", (), "postgresql://…@db/ledger"),
        ("key is %r", (SECRET,), "key is '…'"),
        ("headers: {'Authorization': 'Bearer xyz123', 'Accept': '*'}", (), "'Accept': '*'"),
        ("X-Client-Api-Key: xyz123", (), "X-Client-Api-Key: …"),
        ('"GET /bucket/a.wav?X-Amz-Signature=0123abcd HTTP/1.1" 200', (), "/bucket/a.wav?…"),
    ],
)
def test_keys_are_taken_out(
    heard: io.StringIO, message: str, arguments: tuple[str, ...], left: str
) -> None:
    """What is left says what happened, and opens nothing."""
    LOUD.debug(message, *arguments)
    told = heard.getvalue()
    assert left in told
    for key in (SECRET, "0123abcd", "pass-word", "xyz123"):
        assert key not in told


def test_an_error_with_a_key_in_it_is_told_without_it(heard: io.StringIO) -> None:
    """Tracebacks repeat the text of errors; such a one is cut to its text, made safe."""
    try:
        raise ValueError(f"no answer from {SIGNED}")
    except ValueError:
        LOUD.exception("request failed")
    assert (
        "request failed: no answer from https://b.s3.amazonaws.com/in/a.wav?…" in heard.getvalue()
    )
    assert "0123abcd" not in heard.getvalue()


@pytest.mark.parametrize("message", ["12 of 30 done", "is it well? yes", "abc", "a=b?c"])
def test_everything_else_is_left_alone(heard: io.StringIO, message: str) -> None:
    """Ordinary sentences, questions, and values too short to be secrets."""
    LOUD.info(message)
    assert heard.getvalue() == message + "\n"
