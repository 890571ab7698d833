"""Plaud's answer becomes a transcript, or an error that names the place; never anything else."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import Transcript, Turns, Words
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.plaud import MAX_DURATION_S, normalise
from transcription_pipeline.tables.build import build_tables

SAMPLES = Path(__file__).parent.parent / "samples" / "plaud"


def make_answer(*rows: dict[str, Any], shape: str = "segments", **data: Any) -> dict[str, Any]:
    """Make a finished answer of one shape; ``data`` adds to it or replaces what is in it."""
    return {"transcription_id": "t", "status": "SUCCESS", "data": {shape: list(rows)} | data}


def make_row(text: str = "Hi.", start: float = 0, end: float = 1, **rest: Any) -> dict[str, Any]:
    """Make one segment or result."""
    return {"start": start, "end": end, "text": text, **rest}


def read(answer: Any) -> Transcript:
    """Normalise an answer, and make sure that the tables can hold what came out."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    transcript = normalise(body)
    build_tables([({"recording_id": "r", "provider": "plaud"}, transcript)])
    return transcript


def refuse(answer: Any) -> NormaliseError:
    """Normalise an answer that must be refused."""
    with pytest.raises(NormaliseError) as caught:
        read(answer)
    assert caught.value.provider == "plaud"
    assert caught.value.path.startswith("$")
    return caught.value


def test_the_page_s_example() -> None:
    """Segments with a speaker, field by field."""
    turn = Turns(
        start_ms=[0],
        end_ms=[4_200],
        text=["Meeting started at 10am."],
        confidence=[None],
        speaker_label=["Speaker 1"],
        channel=[None],
        word_count=[None],
    )
    transcript = read((SAMPLES / "segments.200.json").read_bytes())
    segments = copy.deepcopy(turn)
    segments.language = [None]
    assert transcript == Transcript(
        text="Meeting started at 10am...",
        words=Words(),
        segments=segments,
        utterances=turn,
        language="en",
        duration_ms=1_843_000,
    )


def test_the_other_shape() -> None:
    """Results with a speaker's id and a language each; embeddings stay in the raw answer."""
    transcript = read((SAMPLES / "results.200.json").read_bytes())
    assert transcript.text == "Good morning. Shall we begin? Yes, let us. The budget first."
    assert (transcript.language, transcript.language_confidence) == ("en", 0.98)
    assert (transcript.duration_ms, transcript.confidence, transcript.model) == (12_000, None, None)
    assert len(transcript.words) == 0
    assert transcript.segments == Turns(
        start_ms=[250, 2_750, 3_900, 6_125],
        end_ms=[2_500, 4_000, 5_125, 11_500],
        text=["Good morning.", "Shall we begin?", "Yes, let us.", "The budget first."],
        confidence=[None] * 4,
        speaker_label=["Speaker 1", "Speaker 1", "Speaker 2", "Speaker 2"],
        channel=[None] * 4,
        word_count=[None] * 4,
        language=["en-US"] * 4,
    )
    # A pause of a second ends a turn, a speaker's change does too.
    assert transcript.utterances == Turns(
        start_ms=[250, 3_900, 6_125],
        end_ms=[4_000, 5_125, 11_500],
        text=["Good morning. Shall we begin?", "Yes, let us.", "The budget first."],
        confidence=[None] * 3,
        speaker_label=["Speaker 1", "Speaker 2", "Speaker 2"],
        channel=[None] * 3,
        word_count=[None] * 3,
    )


def test_the_language_of_a_segment_reaches_its_table() -> None:
    """What is told per segment is kept per segment."""
    transcript = read((SAMPLES / "results.200.json").read_bytes())
    tables = build_tables([({"recording_id": "r", "provider": "plaud"}, transcript)])
    assert tables["segments"]["language"].to_pylist() == ["en-US"] * 4


@pytest.mark.parametrize("name", ["pending.200.json", "failure.200.json"])
def test_unfinished_and_failed_jobs_are_no_transcripts(name: str) -> None:
    """Only SUCCESS is one."""
    assert refuse((SAMPLES / name).read_bytes()).path == "$.status"


@pytest.mark.parametrize("data", [None, {}, {"language": "en", "duration": 3}, {"text": None}])
def test_success_without_anything_said_is_refused(data: Any) -> None:
    """Money was spent and nothing came: an error at its place, never an empty transcript."""
    assert refuse({"status": "SUCCESS", "data": data}).path == "$.data"
    assert refuse({"status": "SUCCESS"}).path == "$.data"


@pytest.mark.parametrize("data", [{"text": ""}, {"segments": []}, {"results": [], "text": ""}])
def test_silence_is_an_empty_transcript(data: dict[str, Any]) -> None:
    """An empty text, or an empty list, is silence."""
    transcript = read({"status": "SUCCESS", "data": data})
    assert (transcript.text, len(transcript.segments), len(transcript.utterances)) == ("", 0, 0)


def test_a_text_alone_is_a_transcript_without_times() -> None:
    """Where only the text came nothing else is made up."""
    transcript = read({"status": "SUCCESS", "data": {"text": "Hi you."}})
    assert transcript.text == "Hi you."
    assert len(transcript.segments) == len(transcript.utterances) == 0


@pytest.mark.parametrize("shape", ["segments", "results"])
@pytest.mark.parametrize("speaker", [{}, {"speaker": None}, {"speaker_id": ""}])
def test_a_speaker_nobody_asked_for_is_null(shape: str, speaker: dict[str, Any]) -> None:
    """Absent, null and empty are the same: no label."""
    transcript = read(make_answer(make_row(**speaker), shape=shape))
    assert transcript.segments.speaker_label == transcript.utterances.speaker_label == [None]


def test_both_shapes_at_once() -> None:
    """The list that has more is read, so that nothing said is lost."""
    rows = [make_row("a", 0, 1), make_row("b", 1, 2)]
    assert read(make_answer(*rows[:1], results=rows)).segments.text == ["a", "b"]
    assert read(make_answer(*rows, results=rows[:1])).segments.text == ["a", "b"]
    assert read(make_answer(*rows, results=None)).segments.text == ["a", "b"]


def test_segments_are_ordered_by_start() -> None:
    """Overlapping segments are put in the order they began."""
    late = make_row("b", 2, 3, speaker="Speaker 1")
    early = make_row("a", 1, 4, speaker="Speaker 2")
    transcript = read(make_answer(late, early))
    assert transcript.segments.text == ["a", "b"]
    assert transcript.text == "a b"


@pytest.mark.parametrize(
    ("whole", "rows", "expected"),
    [
        ("en", [("en-US", 0.9), ("en-US", 0.9)], ("en", 0.9)),
        (None, [("ja", 0.9), ("ja", 0.9)], ("ja", 0.9)),
        ("en", [("en", 0.9), ("en", 0.8)], ("en", None)),
        ("en", [("de", 0.9)], ("en", None)),
        (None, [("en", 0.9), ("de", 0.9)], (None, None)),
        ("en", [(None, 0.9)], ("en", None)),
        ("en", [("en_GB", 0)], ("en", 0)),
        ("en", [("en", None)], ("en", None)),
        ("en", [], ("en", None)),
    ],
)
def test_the_language_of_the_whole(
    whole: str | None, rows: list[tuple[str | None, float | None]], expected: tuple[Any, Any]
) -> None:
    """Its confidence is known only where all segments say the same of the same language."""
    found = [make_row(language=tag, language_probability=share) for tag, share in rows]
    transcript = read(make_answer(*found, shape="results", language=whole, text=""))
    assert (transcript.language, transcript.language_confidence) == expected


def test_absent_is_null_and_unknown_is_skipped() -> None:
    """Only status and something said are needed."""
    answer = make_answer(make_row(words=[1], score=2), new={"deep": [1]}) | {"message": None}
    transcript = read(answer)
    assert (transcript.language, transcript.duration_ms, transcript.told_cost) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0.0004, 0), (0.0006, 1), (1.2345, 1_234), (59.9996, 60_000), (7, 7_000)]
)
def test_seconds_become_whole_milliseconds(seconds: float, ms: int) -> None:
    """Times are rounded to the nearest millisecond."""
    assert read(make_answer(make_row(start=seconds, end=70))).segments.start_ms == [ms]


@pytest.mark.parametrize("shape", ["segments", "results"])
def test_times_that_cannot_be(shape: str) -> None:
    """A segment that ends before it starts, or lies before or far behind all audio, is refused."""
    rows = [make_row(), make_row(start=0.9, end=0.8)]
    assert refuse(make_answer(*rows, shape=shape)).path == f"$.data.{shape}[1]"
    for start, end in ((-0.1, 1.0), (0.0, MAX_DURATION_S + 1.0)):
        path = refuse(make_answer(make_row(start=start, end=end), shape=shape)).path
        assert path.startswith(f"$.data.{shape}[0].")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>502</html>",
        b'{"status": "SUCCESS"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"status": "SUCCESS", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"status": "SUCCESS", "data": {"text": "a", "duration": 1e400}}',
        b'{"status": "SUCCESS", "data": {"text": "a", "duration": NaN}}',
        b'{"status": "SUCCESS", "data": {"text": "a", "duration": Infinity}}',
        b'{"status": "SUCCESS", "data": {"text": "a", "duration": ' + b"9" * 5_000 + b"}}",
        b'{"status": "SUCCESS", "data": "text"}',
    ],
    ids=range(13),
)
def test_hostile_bytes(body: bytes) -> None:
    """Whatever arrives instead of a transcript is a NormaliseError, never another exception."""
    refuse(body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"\uD83D\uDE00!", "😀!"),
        (rb"nul\u0000!", "nul\ufffd!"),
        (rb"\\u0000", r"\u0000"),
    ],
)
def test_what_no_table_can_hold_is_replaced(escaped: bytes, text: str) -> None:
    """NUL and lone surrogates become the replacement character; the rest stays."""
    body = (
        b'{"status": "SUCCESS", "data": {"text": "%b", "segments": [{"text": "%b", "start": 0, '
        b'"end": 1, "speaker": "%b"}]}}' % (escaped, escaped, escaped)
    )
    transcript = read(body)
    assert transcript.text == text
    assert transcript.utterances.text == transcript.segments.speaker_label == [text]


WRONG = [None, True, -1, -0.5, 1.5, 10**30, MAX_DURATION_S * 2, "x", "1", [], [1], {}, {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List every place in a JSON value, however deep."""
    yield path
    if isinstance(value, (dict, list)):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, step))


@pytest.mark.parametrize("name", ["segments.200.json", "results.200.json"])
def test_five_hundred_wrong_answers_raise_nothing_else(name: str) -> None:
    """Any value at any place of a sample: a transcript, or an error with a path inside it."""
    example = json.loads((SAMPLES / name).read_bytes())
    chance, refusals = random.Random(0), []
    spots = [path for path in places(example) if path]
    for _ in range(500):
        answer: Any = copy.deepcopy(example)
        for path in chance.sample(spots, chance.randint(1, 3)):
            inner = answer
            with suppress(TypeError, KeyError, IndexError):
                for step in path[:-1]:
                    inner = inner[step]
                inner[path[-1]] = copy.deepcopy(chance.choice(WRONG))
        try:
            read(answer)
        except NormaliseError as error:
            refusals.append(error.path)
    assert 200 < len(refusals) < 500
    assert all(path.startswith("$") for path in refusals)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an answer of either shape, its rows in any order."""
    texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
    shape = draw(st.sampled_from(["segments", "results"]))
    name = "speaker" if shape == "segments" else "speaker_id"
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, 20_000))
        end = start + draw(st.integers(0, 3_000))
        speaker = draw(st.sampled_from([None, "Speaker 1", "Speaker 2"]))
        rows.append(make_row(draw(texts), start / 1000, end / 1000, **{name: speaker}))
    return make_answer(*rows, shape=shape)


@given(answers())
def test_no_text_is_lost(answer: dict[str, Any]) -> None:
    """Every row is there once, in order, and inside exactly the utterances of its speaker."""
    transcript = read(answer)
    segments, turns = transcript.segments, transcript.utterances
    rows = next(value for value in answer["data"].values() if isinstance(value, list))
    expected = Counter(
        (round(r["start"] * 1000), round(r["end"] * 1000), r["text"].replace("\0", "\ufffd"))
        for r in rows
    )
    assert Counter(zip(segments.start_ms, segments.end_ms, segments.text, strict=True)) == expected
    assert segments.start_ms == sorted(segments.start_ms)
    assert turns.start_ms == sorted(turns.start_ms)
    assert " ".join(turns.text) == " ".join(segments.text) == transcript.text
    for start, end, label in zip(
        segments.start_ms, segments.end_ms, segments.speaker_label, strict=True
    ):
        assert any(
            turns.start_ms[at] <= start
            and end <= turns.end_ms[at]
            and turns.speaker_label[at] == label
            for at in range(len(turns))
        )


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(body: bytes) -> None:
    """Random bytes are refused as what they are."""
    refuse(body)
