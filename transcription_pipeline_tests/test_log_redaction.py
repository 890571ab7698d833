"""No record that a library logs carries a key, whoever listens."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

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


def _fail() -> None:
    raise ValueError(f"no answer from {SIGNED}")


def _fail_by_cause() -> None:
    try:
        _fail()
    except ValueError as error:
        raise RuntimeError("gave up") from error


def _fail_meanwhile() -> None:
    try:
        _fail()
    except ValueError:
        raise RuntimeError("could not even tidy up")  # noqa: B904 - the context is the point


def _fail_in_a_group() -> None:
    errors: list[Exception] = []
    for step in (_fail, _fail_by_cause):
        try:
            step()
        except (ValueError, RuntimeError) as error:
            errors.append(error)
    raise ExceptionGroup("two of them", [errors[0], ExceptionGroup("within", errors[1:])])


@pytest.mark.parametrize("step", [_fail, _fail_by_cause, _fail_meanwhile, _fail_in_a_group])
def test_an_error_with_a_key_in_it_is_told_without_it(
    heard: io.StringIO, step: Callable[[], None]
) -> None:
    """Wherever a traceback repeats the text of an error; all else of it is left."""
    try:
        step()
    except (ValueError, RuntimeError, ExceptionGroup):
        LOUD.exception("request failed")
    told = heard.getvalue()
    assert told.startswith("request failed\n")
    assert "ValueError: no answer from https://b.s3.amazonaws.com/in/a.wav?…" in told
    assert f"in {step.__name__}" in told
    assert "0123abcd" not in told


@pytest.mark.usefixtures("heard")
def test_an_error_without_a_key_stays_an_error() -> None:
    """Whoever listens gets it as it is, not only its text."""
    error = ValueError("no answer")
    told = (ValueError, error, None)
    record = LOUD.makeRecord(LOUD.name, logging.ERROR, __file__, 1, "failed", (), told)
    assert record.exc_info == told


@pytest.mark.parametrize("message", ["12 of 30 done", "is it well? yes", "abc", "a=b?c"])
def test_everything_else_is_left_alone(heard: io.StringIO, message: str) -> None:
    """Ordinary sentences, questions, and values too short to be secrets."""
    LOUD.info(message)
    assert heard.getvalue() == message + "\n"
