"""What the door to HTTP reads in headers and bodies, and what it lets out of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.answers import (
    MAX_RETRY_AFTER_S,
    Response,
    describe_error,
    parse_retry_after,
    redact,
)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff", b"[" * 100_000, b"{", b"9" * 5_000], ids=range(6)
)
def test_an_answer_that_is_no_json(body: bytes) -> None:
    """Anything but JSON is an unexpected response that repeats none of it."""
    with pytest.raises(UnexpectedResponse, match="not JSON") as caught:
        Response(200, {"Content-Type": "text/html; charset=x"}, body).json("acme", "look")
    assert "<html>" not in str(caught.value)
    assert describe_error(body)


NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("99999999999999999999", MAX_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=30), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=30), usegmt=True), MAX_RETRY_AFTER_S),
        ("Sat, 21 Nov 2026 10:00:10", 10.0),
        *(
            (senseless, None)
            for senseless in ("", "-1", "1.5", "soon", "٧", "inf", "1e3", "21 Nov")
        ),
        ("Sat, 21 Nov 2026 10:00:00 +99999999999999999999", None),
        ("Mon, 1 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds and dates are understood, bounded to a quarter of an hour; nonsense is no answer."""
    assert parse_retry_after({"Retry-After": value}, NOW) == seconds


@given(st.text() | st.integers().map(str) | st.datetimes().map(format_datetime))
def test_retry_after_of_anything(value: str) -> None:
    """Whatever the header says, the outcome is a bounded wait or none."""
    seconds = parse_retry_after({"Retry-After": value}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@given(st.text())
def test_redacted_text_is_one_harmless_line(text: str) -> None:
    """A redacted text has no URL, no control character, and at most two hundred characters."""
    line = redact(f"{text} https://b.s3.amazonaws.com/a?X-Amz-Signature=f00 {text}")
    assert "Signature" not in line
    assert "http" not in redact(text) or "://" not in redact(text)
    assert len(line) <= 200
    assert line.isprintable()


def test_a_providers_reason_is_kept_without_urls() -> None:
    """The reason stays readable; addresses in it are taken out."""
    body = b'{"error": "Download error for HTTPS://b/a.mp3?X-Amz-Signature=f00:\\n\\u001b[31m403"}'
    assert describe_error(body) == "Download error for <url> [31m403"
    assert describe_error(b'{"message": "no"}') == "no"
    assert describe_error(b'{"error": {"deep": 1}}') == "no reason given"


def test_a_content_type_is_not_repeated_as_it_is() -> None:
    """Header bytes that are no text, and addresses, reach no message."""
    kind = b"text/\xff https://x.example/?X-Amz-Signature=1".decode("utf-8", "surrogateescape")
    with pytest.raises(UnexpectedResponse) as raised:
        Response(200, {"Content-Type": kind}, b"<html>").json("plaud", "submit")
    assert str(raised.value).isprintable()
    assert "Signature" not in str(raised.value)
