"""Aitronos's answers about one transcription, read into our shape; pure.

What belongs here: the meaning of the document that ``collect`` keeps, ``{"transcription": …,
"sentences": [page, …]}``, each answer inside it as received (docs.aitronos.com, "Get transcription"
and "Get sentences", read 2026-11-21). Unknown fields are skipped unread, absent ones are null, wrong
types are errors that name their JSON path. Times are seconds as fractions; money is synapses.

Turns: sentences are segments, as they are. Utterances are runs of one speaker without a pause of a
second (our one rule); no documented answer names a speaker or has words, so speakers are null unless
a sentence carries one all the same, and there are no words.
"""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import msgspec

from transcription_pipeline.domain.transcript import (
    ToldCost,
    Transcript,
    Turns,
    Words,
    join_turns,
)
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.aitronos_direct import (
    MAX_DURATION_S,
    NAME,
    normalise_direct,
)
from transcription_pipeline.normalise.decoding import decode

CURRENCY = "SYNAPSES"
MICROS = 1_000_000
FIELDS = frozenset({"transcription_id", "status", "model_key", "audio_metadata", "timestamps"})
"""Documented fields of ``transcription.data``."""
_MAX_SYNAPSES = 10**12

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_S)]
_Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Synapses = Annotated[int, msgspec.Meta(ge=0, le=_MAX_SYNAPSES)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Sentence(msgspec.Struct, gc=False):
    text: str
    start: _Seconds
    end: _Seconds
    # Neither is documented; read where they are there.
    speaker: str | None = None
    confidence: _Confidence | None = None


class _Sentences(msgspec.Struct, gc=False):
    sentences: list[_Sentence]
    transcription_id: str | None = None
    audio_duration_seconds: _Seconds | None = None


class _Metadata(msgspec.Struct, gc=False):
    total_count: _Count | None = None


class _Page(msgspec.Struct, gc=False):
    data: _Sentences
    metadata: _Metadata | None = None


class _Audio(msgspec.Struct, gc=False):
    # "Create transcription" has the long names, the field list of "Get transcription" short ones.
    duration_seconds: _Seconds | None = None
    duration: _Seconds | None = None
    language_code: str | None = None
    language: str | None = None


class _Data(msgspec.Struct, gc=False):
    status: str
    transcription_id: str | None = None
    model_key: str | None = None
    audio_metadata: _Audio | None = None


class _Billing(msgspec.Struct, gc=False):
    synapses_consumed: _Synapses | None = None
    synapses_refunded: _Synapses | None = None
    currency: str | None = None


class _Transcription(msgspec.Struct, gc=False):
    data: _Data
    billing: _Billing | None = None


class _Document(msgspec.Struct, gc=False):
    transcription: _Transcription
    sentences: list[_Page]


_DECODER = msgspec.json.Decoder(_Document)
_OURS = b'{"transcription":'
"""How the document begins that ``collect`` makes; the multipart form's answer is kept as it came."""


def normalise(body: bytes) -> Transcript:
    """Read one raw answer.

    Raises ``NormaliseError`` for a document that is not a completed transcription with all its
    sentences, and for an answer of the other form that is not whole.
    """
    if not body.lstrip().startswith(_OURS):
        return normalise_direct(body)
    document = decode(_DECODER, body, NAME)
    told = document.transcription.data
    if told.status != "completed":
        raise NormaliseError(
            NAME, "$.transcription.data.status", "a transcription that is not completed"
        )
    _check_whole(document)
    segments = _make_segments(document.sentences)
    audio = told.audio_metadata or _Audio()
    seconds = _first(
        audio.duration_seconds,
        audio.duration,
        *(page.data.audio_duration_seconds for page in document.sentences),
    )
    return Transcript(
        text=" ".join(segments.text),
        words=Words(),
        segments=segments,
        utterances=join_turns(segments),
        model=told.model_key,
        # As asked for, and "en" also means that it was to be detected ("Create transcription").
        language=audio.language_code or audio.language,
        duration_ms=None if seconds is None else _ms(seconds),
        told_cost=_read_cost(document.transcription.billing),
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _check_whole(document: _Document) -> None:
    """Refuse pages of another transcription, and fewer sentences than were counted."""
    if not document.sentences:
        raise NormaliseError(NAME, "$.sentences", "no page of sentences")
    own_id = document.transcription.data.transcription_id
    count = 0
    for index, page in enumerate(document.sentences):
        page_id = page.data.transcription_id
        if own_id is not None and page_id is not None and page_id != own_id:
            path = f"$.sentences[{index}].data.transcription_id"
            raise NormaliseError(NAME, path, "another transcription's sentences")
        count += len(page.data.sentences)
    totals = [p.metadata.total_count or 0 for p in document.sentences if p.metadata]
    if count < max(totals, default=0):
        raise NormaliseError(NAME, "$.sentences", f"{count} sentences of {max(totals)}")


def _make_segments(pages: list[_Page]) -> Turns:
    sentences = list(chain.from_iterable(page.data.sentences for page in pages))
    for index, one in enumerate(sentences):
        if one.start > one.end:
            path = f"$.sentences[...].data.sentences[{index}]"
            raise NormaliseError(NAME, path, f"times {one.start}..{one.end}")
    sentences.sort(key=lambda one: one.start)
    return Turns(
        start_ms=[_ms(one.start) for one in sentences],
        end_ms=[_ms(one.end) for one in sentences],
        text=[one.text for one in sentences],
        confidence=[one.confidence for one in sentences],
        speaker_label=[one.speaker or None for one in sentences],
        channel=[None] * len(sentences),
        word_count=[None] * len(sentences),
    )


def _read_cost(billing: _Billing | None) -> ToldCost | None:
    """Read what was taken and not given back; for how much audio it does not say."""
    if billing is None or billing.synapses_consumed is None:
        return None
    if billing.currency not in (None, "synapses"):
        path = "$.transcription.billing.currency"
        raise NormaliseError(NAME, path, "a currency other than synapses")
    kept = max(0, billing.synapses_consumed - (billing.synapses_refunded or 0))
    return ToldCost(kept * MICROS, CURRENCY)
