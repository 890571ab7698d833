"""Aitronos's document in our shape, and whatever else may arrive in its place."""

from __future__ import annotations

import copy
import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.transcript import ToldCost, Transcript
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.aitronos import MAX_DURATION_S, normalise
from transcription_pipeline.tables.build import build_tables

JOB_ID = "trans_a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"
# Assembled from the field list of "Get transcription" and the complete answer of "Create
# transcription" (docs.aitronos.com, read 2026-11-21); the page's own sample is not public to us.
TRANSCRIPTION: dict[str, Any] = {
    "success": True,
    "data": {
        "transcription_id": JOB_ID,
        "status": "completed",
        "model_key": "fvt-1",
        "audio_metadata": {
            "url": "https://storage.example.com/meeting-recording.mp3",
            "duration_seconds": 125.5,
            "language_code": "en",
        },
        "timestamps": {
            "created_at": "2026-03-02T10:30:00Z",
            "updated_at": "2026-03-02T10:31:00Z",
            "completed_at": "2026-03-02T10:31:00Z",
            "processing_time_seconds": 42.1,
        },
    },
    "billing": {"synapses_consumed": 126, "synapses_refunded": 0, "currency": "synapses"},
    "metadata": {"request_id": "req_1", "timestamp": "2026-03-02T10:32:00Z"},
    "actions": {"get_sentences": "https://api.aitronos.com/v1/audio/transcribe/x/sentences"},
}


def make_page(*sentences: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """Make one page of sentences ("Get sentences", field list)."""
    return {
        "success": True,
        "data": {
            "transcription_id": JOB_ID,
            "audio_duration_seconds": 125.5,
            "sentences": list(sentences),
        },
        "metadata": {
            "request_id": "req_2",
            "cache_hit": False,
            "total_count": len(sentences) if total is None else total,
            "returned_count": len(sentences),
        },
    }


def make_sentence(text: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    """Make one sentence."""
    return {"text": text, "start": start, "end": end, **more}


HI, BYE = make_sentence("Hi.", 0.25, 1.1), make_sentence("Bye now.", 2.5, 3.075)


def make_document(*pages: dict[str, Any], **data: Any) -> dict[str, Any]:
    """Make the document that ``collect`` keeps; ``data`` changes fields of the transcription."""
    transcription = copy.deepcopy(TRANSCRIPTION)
    transcription["data"] |= data
    return {"transcription": transcription, "sentences": list(pages)}


def read(document: Any) -> Transcript:
    """Normalise a document, and make sure that the tables can hold what came out."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    transcript = normalise(body)
    build_tables([({"recording_id": "r", "provider": "aitronos"}, transcript)])
    return transcript


def refuse(document: Any) -> NormaliseError:
    """Normalise a document that must be refused."""
    with pytest.raises(NormaliseError) as caught:
        read(document)
    assert caught.value.provider == "aitronos"
    assert caught.value.path.startswith("$")
    return caught.value


def test_a_documented_answer_in_our_shape() -> None:
    """Sentences become segments; a pause of a second parts utterances; the price is theirs."""
    transcript = read(make_document(make_page(HI, BYE)))
    assert transcript.text == "Hi. Bye now."
    assert (transcript.model, transcript.language) == ("fvt-1", "en")
    assert transcript.duration_ms == 125_500
    assert transcript.told_cost == ToldCost(126_000_000, "SYNAPSES", None)
    for turns in (transcript.segments, transcript.utterances):
        assert turns.start_ms == [250, 2_500]
        assert turns.end_ms == [1_100, 3_075]
        assert turns.text == ["Hi.", "Bye now."]
        assert turns.speaker_label == [None, None]
        assert turns.confidence == [None, None]
        assert turns.word_count == [None, None]
    assert len(transcript.words) == 0


def test_pages_are_one_text() -> None:
    """Pages are joined in order, and every one may be cut anywhere."""
    whole = read(make_document(make_page(HI, BYE)))
    pages = make_page(HI, total=2), make_page(BYE, total=2), make_page(total=2)
    assert read(make_document(*pages)) == whole


def test_short_pauses_do_not_part_an_utterance() -> None:
    """Sentences less than a second apart are one utterance, and stay two segments."""
    near = make_sentence("And?", 2.099, 2.2)
    transcript = read(make_document(make_page(HI, near)))
    assert transcript.segments.text == ["Hi.", "And?"]
    assert transcript.utterances.text == ["Hi. And?"]
    assert (transcript.utterances.start_ms, transcript.utterances.end_ms) == ([250], [2_200])


def test_speakers_that_are_there_are_read() -> None:
    """Where a sentence names a speaker it is kept, and parts utterances."""
    page = make_page(
        make_sentence("Hi.", 0, 1, speaker="A", confidence=0.5),
        make_sentence("Yes?", 1, 2, speaker="A", confidence=1),
        make_sentence("Bye.", 2, 3, speaker="B"),
    )
    utterances = read(make_document(page)).utterances
    assert utterances.speaker_label == ["A", "B"]
    assert utterances.text == ["Hi. Yes?", "Bye."]
    assert utterances.confidence == [0.75, None]


def test_silence_is_an_empty_transcript() -> None:
    """A page without sentences is a transcript without words."""
    transcript = read(make_document(make_page()))
    assert (transcript.text, len(transcript.segments)) == ("", 0)


def test_the_short_names_of_the_field_list() -> None:
    """``duration`` and ``language``, as "Get transcription" lists them, are understood."""
    audio = {"url": "https://x.test", "duration": 7.25, "language": "de"}
    transcript = read(make_document(make_page(), audio_metadata=audio))
    assert (transcript.duration_ms, transcript.language) == (7_250, "de")


@pytest.mark.parametrize(
    ("billing", "cost"),
    [
        (None, None),
        ({}, None),
        ({"synapses_consumed": 0}, ToldCost(0, "SYNAPSES")),
        ({"synapses_consumed": 10, "synapses_refunded": 4}, ToldCost(6_000_000, "SYNAPSES")),
        ({"synapses_consumed": 3, "synapses_refunded": 4}, ToldCost(0, "SYNAPSES")),
    ],
)
def test_the_cost_is_what_was_kept(billing: Any, cost: ToldCost | None) -> None:
    """What was taken less what was given back; null when nothing is said."""
    document = make_document(make_page(HI))
    document["transcription"]["billing"] = billing
    assert read(document).told_cost == cost


def test_everything_optional_may_be_missing() -> None:
    """The least that is a transcript: a status and a page."""
    least = {
        "transcription": {"data": {"status": "completed"}},
        "sentences": [{"data": {"sentences": [HI]}}],
    }
    transcript = read(least)
    assert (transcript.text, transcript.duration_ms) == ("Hi.", None)
    assert (transcript.model, transcript.told_cost) == (None, None)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (make_document(make_page(), status="failed"), "$.transcription.data.status"),
        (make_document(), "$.sentences"),
        (make_document(make_page(HI, total=2)), "$.sentences"),
        (make_document(make_page(), transcription_id="trans_2"), "$.sentences[0]"),
        (make_document(make_page(make_sentence("x", 2, 1))), "$.sentences[...]"),
        ({"sentences": []}, "$"),
        ({"transcription": TRANSCRIPTION}, "$"),
    ],
    ids=range(7),
)
def test_what_is_no_whole_transcript(document: Any, path: str) -> None:
    """Unfinished, mixed up, incomplete and backward answers are refused at their place."""
    assert refuse(document).path.startswith(path)


def test_another_currency_is_refused() -> None:
    """A price in anything but synapses would be counted wrongly."""
    document = make_document(make_page(HI))
    document["transcription"]["billing"]["currency"] = "CHF"
    assert refuse(document).path == "$.transcription.billing.currency"


WRONG: list[tuple[tuple[str | int, ...], list[Any]]] = [
    (("transcription",), [None, 1, [], "x"]),
    (("transcription", "data"), [None, 1, []]),
    (("transcription", "data", "status"), [None, 1, {}]),
    (("transcription", "data", "model_key"), [1, []]),
    (("transcription", "data", "audio_metadata"), [1, "x"]),
    (("transcription", "data", "audio_metadata", "duration_seconds"), ["1", -1, True, 1e300]),
    (("transcription", "data", "audio_metadata", "language_code"), [1, []]),
    (("transcription", "billing"), [1, []]),
    (("transcription", "billing", "synapses_consumed"), ["1", -1, 1.5, True, 2**70]),
    (("transcription", "billing", "synapses_refunded"), ["1", -1, 0.5, True]),
    (("sentences",), [None, 1, {}, [1], [None]]),
    (("sentences", 0, "data"), [None, 1, []]),
    (("sentences", 0, "data", "sentences"), [None, 1, {}, [1], [[]]]),
    (("sentences", 0, "metadata", "total_count"), ["1", -1, 1.5]),
    (("sentences", 0, "data", "sentences", 0, "text"), [None, 1, []]),
    (
        ("sentences", 0, "data", "sentences", 0, "start"),
        [None, "1", -1, True, MAX_DURATION_S + 1, 2**70],
    ),
    (("sentences", 0, "data", "sentences", 0, "end"), [None, "1", -0.1, []]),
    (("sentences", 0, "data", "sentences", 0, "speaker"), [1, [], True]),
    (("sentences", 0, "data", "sentences", 0, "confidence"), ["x", 2, -1, True]),
]


def put(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Copy a document with another value at one place."""
    changed = copy.deepcopy(document)
    target = changed
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value"), [(place, value) for place, values in WRONG for value in values]
)
def test_a_wrong_type_is_an_error_with_its_path(place: tuple[str | int, ...], value: Any) -> None:
    """Every field that is read is refused at its own path when of a wrong type or range."""
    names = [part for part in place if isinstance(part, str)]
    path = refuse(put(make_document(make_page(HI, BYE)), place, value)).path
    assert all(name in path for name in names), path


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"<html>", b"\xff{}", b"[" * 100_000, b'{"transcription": NaN}'],
    ids=range(7),
)
def test_hostile_bytes(body: bytes) -> None:
    """Whatever arrives instead of a document is a NormaliseError."""
    refuse(body)


def test_what_no_table_can_hold_is_replaced() -> None:
    """NUL and lone surrogates in a text become the replacement character."""
    body = json.dumps(make_document(make_page(HI))).replace("Hi.", r"a\u0000\ud800")
    assert read(body.encode()).text == "a\ufffd\ufffd"


def test_five_hundred_damaged_documents() -> None:
    """Documents with one to three places of a random wrong type are read or refused, never else."""
    chance = random.Random(19)
    whole = make_document(make_page(HI, total=2), make_page(BYE, total=2))
    junk: list[Any] = [None, True, -1, 2**70, 1e300, "x", "", [], {}, [None], {"a": 1}, [[HI]]]
    refused = 0
    for _ in range(500):
        document: Any = whole
        for _ in range(chance.randint(1, 3)):
            place = chance.choice(_places(document)) if _places(document) else ()
            if place:
                document = put(document, place, chance.choice(junk))
        try:
            read(document)
        except NormaliseError:
            refused += 1
    assert refused > 100


def _places(value: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the way to every value inside another."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = []
    for part, inner in items:
        found.append((*before, part))
        found += _places(inner, (*before, part))
    return found


TIMES = st.tuples(st.floats(0, 1_000, allow_nan=False), st.floats(0, 1_000, allow_nan=False)).map(
    sorted
)
SENTENCES = st.lists(
    st.builds(
        lambda text, times, who: make_sentence(text, *times, speaker=who),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
        TIMES,
        st.sampled_from([None, "A", "B"]),
    ),
    max_size=12,
)


@given(SENTENCES, st.integers(1, 5))
def test_no_sentence_is_lost(sentences: list[dict[str, Any]], size: int) -> None:
    """Whatever is said, however it is paged: all texts are kept, turns in order and inside."""
    pages = [
        make_page(*sentences[at : at + size], total=len(sentences))
        for at in range(0, len(sentences), size)
    ]
    transcript = read(make_document(*(pages or [make_page()])))
    assert sorted(transcript.segments.text) == sorted(one["text"] for one in sentences)
    assert " ".join(transcript.utterances.text) == transcript.text
    for turns in (transcript.segments, transcript.utterances):
        assert turns.start_ms == sorted(turns.start_ms)
        assert all(a <= b for a, b in zip(turns.start_ms, turns.end_ms, strict=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from([place for place, _ in WRONG]), JSON)
def test_any_json_anywhere_is_a_transcript_or_an_error(
    place: tuple[str | int, ...], value: Any
) -> None:
    """Whatever stands at a place, the outcome is a transcript or a NormaliseError."""
    with suppress(NormaliseError):
        read(put(make_document(make_page(HI, BYE)), place, value))
