"""Whatever AssemblyAI, or something in between, may send: a transcript or an error with its place."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.assemblyai_answer import MAX_DURATION_MS
from transcription_pipeline_tests.normalise.assemblyai_answers import (
    make_answer,
    make_turn,
    make_word,
    read,
    refuse,
)

WRONG: dict[str, list[Any]] = {
    "status": [None, 1, [], {}],
    "text": [1, [], {}, True],
    "confidence": ["0.5", [], True, -0.1, 1.5, 1e39],
    "audio_duration": ["12", [], True, -1, 1e300, MAX_DURATION_MS],
    "language_code": [1, []],
    "language_confidence": ["x", 2, -1],
    "speech_model_used": [1, {}],
    "audio_url": [1, []],
    "words": [1, "x", {}, [1], [None], [[]]],
    "utterances": [1, "x", {}, [1], [None]],
    "redact_pii": [1, "yes", []],
    "entities": [1, {}, [1], [{"text": 1}], [{"start": 1.5}], [{"end": -1}]],
    "sentiment_analysis_results": [1, {}, [1], [{"confidence": 2}], [{"channel": 1}]],
    "auto_highlights_result": [1, [], {"results": 1}, {"results": [{"rank": 1e300}]}],
    "chapters": [1, {}, [None], [{"gist": 1}], [{"start": MAX_DURATION_MS + 1}]],
    "summary": [1, [], {}],
    "iab_categories_result": [1, [], {"results": [{"labels": {}}]}, {"summary": {"a": "b"}}],
    "content_safety_labels": [1, [], {"results": [{"timestamp": 1}]}, {"summary": []}],
    "translated_texts": [1, [], {"de": 1}],
    "speech_understanding": [1, [], {"response": 1}, {"response": {"summarization": [1]}}],
}
WRONG_IN_WORD: dict[str, list[Any]] = {
    "text": [None, 1, []],
    "start": [None, "1", 1.5, True, -1, MAX_DURATION_MS + 1, 2**63, 2**70, "absent"],
    "end": [None, "1", 0.5, [], -1, MAX_DURATION_MS + 1, "absent"],
    "confidence": ["x", [], True, 1.01, -1],
    "speaker": [1, [], True],
    "channel": [1, [], "x", "٣", "-1", "999", "9" * 5_000],
}


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in WRONG.items() for v in values]
)
def test_a_wrong_type_is_an_error_with_its_path(field: str, value: Any) -> None:
    """Every documented field of a wrong type or range is refused, at its own path."""
    answer = make_answer(words=[make_word("a", 0, 1)])
    answer[field] = value
    assert refuse(answer).path.startswith(f"$.{field}")


@pytest.mark.parametrize("where", ["words", "utterances", "utterances.words"])
@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in WRONG_IN_WORD.items() for v in values]
)
def test_a_wrong_type_deep_inside(where: str, field: str, value: Any) -> None:
    """The same holds for every field of a word, of an utterance, and of a word in one."""
    word = make_word("a", 0, 1, channel="1")
    turn = make_turn(word, channel="1")
    target = turn if where == "utterances" else word
    target[field] = value
    if value == "absent":
        del target[field]
    answer = make_answer(words=[word]) if where == "words" else make_answer(utterances=[turn])
    assert refuse(answer).path != "$"


def test_times_that_run_backwards() -> None:
    """A word or turn that ends before it starts is refused at its place."""
    words = [make_word("a", 0, 1), make_word("b", 10, 9)]
    assert refuse(make_answer(words=words)).path == "$.words[1]"
    turn = make_turn(make_word("a", 10, 20), start=10, end=9)
    assert refuse(make_answer(utterances=[turn])).path == "$.utterances[0]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"completed"',
        b"<html>502</html>",
        b'{"status": "completed"',
        b'{"status": "completed", "x": NaN}',
        b"\xff\xfe{}",
        b'\xef\xbb\xbf{"status": "completed"}',
        b'{"status": "completed", "text": "\xed\xa0\x80"}',
        b'{"status": "completed", "text": "\xff"}',
        b"[" * 100_000,
        b'{"status": "completed", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"status": "completed", "audio_duration": ' + b"9" * 5_000 + b"}",
        b'{"status": "completed", "audio_duration": 1e400}',
        b'{"status": "completed", "words": [{"text": "a", "start": ' + b"9" * 5_000 + b"}]}",
    ],
    ids=range(16),
)
def test_hostile_bytes(body: bytes) -> None:
    """Whatever arrives instead of a transcript is a NormaliseError, never another exception."""
    refuse(body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"a\udc00", "a\ufffd"),
        (rb"\uD83D\uDE00!", "😀!"),
        (rb"\ud83d\ude00\ud83d", "😀\ufffd"),
        (rb"\ud800\ud83d\ude00", "\ufffd😀"),
        (rb"nul\u0000!", "nul\ufffd!"),
        (rb"\\u0000", r"\u0000"),
        (rb"\\\u0000", "\\\ufffd"),
        (rb"\\ud800\\", "\\ud800\\"),
    ],
)
def test_what_no_table_can_hold_is_replaced(escaped: bytes, text: str) -> None:
    """NUL and lone surrogates, in every text, become the replacement character; the rest stays."""
    body = (
        b'{"status": "completed", "text": "%b", "words": [{"text": "%b", "start": 0, "end": 1, '
        b'"speaker": "%b"}]}' % (escaped, escaped, escaped)
    )
    transcript = read(body)
    assert transcript.text == text
    assert transcript.words.text == [text]
    assert transcript.words.speaker_label == [text]


PLAIN = st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5)
NESTED = (
    PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)
)
WORDS = st.lists(st.dictionaries(st.sampled_from([*WRONG_IN_WORD]), PLAIN), max_size=3)


PARTS = """
    text start end labels label results summary timestamp timestamps rank count response
    summarization bullets sentiment channel confidence severity
"""
FINDINGS = st.recursive(
    PLAIN | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(PARTS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*WRONG, "id"]), NESTED | WORDS | FINDINGS), st.booleans())
def test_any_json_is_a_transcript_or_an_error(answer: dict[str, Any], is_completed: bool) -> None:
    """Whatever stands in the fields, the outcome is a transcript or a NormaliseError."""
    if is_completed:
        answer["status"] = "completed"
    with suppress(NormaliseError):
        read(answer)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(body: bytes) -> None:
    """Random bytes are refused as what they are."""
    refuse(body)
