"""AssemblyAI's further analyses as findings; pure.

What belongs here: which part of an analysis becomes the label, the text and the score of a row. The
shapes are in ``assemblyai_answer.py``; ``assemblyai.py`` is the only caller.

Redaction is kept everywhere: the vendor redacts words, and says that other analyses may still hold
what was redacted (page "PII redaction", read 2026-11-21). So where redaction was asked for, whatever
an analysis quotes is read again from the redacted words of its time, and analyses of unknown shape
keep their name alone. Summaries and chapters are written by a model and stay as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, TypedDict

import msgspec

from transcription_pipeline.domain.transcript import Insights, Words
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.normalise.assemblyai_answer import (
    NAME,
    Answer,
    Highlight,
    Labels,
    Section,
    Span,
    Summarization,
    Understanding,
    read_channel,
)
from transcription_pipeline.normalise.decoding import decode

_SUMMARIZATION = msgspec.json.Decoder(Summarization)
_AT = "$.speech_understanding.response"
_PUNCTUATION = ".,;:?!'\"()"


def make_insights(answer: Answer, words: Words) -> Insights:
    """Collect the findings of every analysis that an answer brings.

    Analyses nobody asked for are null or empty. ``words`` are ordered by start. Raises
    ``NormaliseError`` for times that run backwards.
    """
    found = _Finder(words if answer.redact_pii else None)
    for index, entity in enumerate(answer.entities or ()):
        times = _times(entity, f"$.entities[{index}]")
        found.quote("entity", times, entity.text, label=entity.entity_type)
    for index, mood in enumerate(answer.sentiment_analysis_results or ()):
        found.quote(
            "sentiment",
            _times(mood, f"$.sentiment_analysis_results[{index}]"),
            mood.text,
            label=mood.sentiment,
            score=mood.confidence,
            speaker_label=mood.speaker,
            payload_json=_payload(channel=read_channel(mood.channel)),
        )
    highlights = answer.auto_highlights_result
    for index, phrase in enumerate((highlights and highlights.results) or ()):
        _add_highlight(found, phrase, f"$.auto_highlights_result.results[{index}]")
    for index, chapter in enumerate(answer.chapters or ()):
        found.rows.add(
            "chapter",
            **_times(chapter, f"$.chapters[{index}]"),
            label=chapter.gist,
            text=chapter.summary,
            payload_json=_payload(headline=chapter.headline),
        )
    if answer.summary:
        found.rows.add("summary", label=answer.summary_type, text=answer.summary)
    _add_labels(found, "topic", answer.iab_categories_result, "$.iab_categories_result")
    _add_labels(found, "content_safety", answer.content_safety_labels, "$.content_safety_labels")
    if answer.redact_pii:
        _add_redactions(found.rows, words)
    for language, text in sorted((answer.translated_texts or {}).items()):
        found.rows.add("translation", label=language, text=text)
    if answer.speech_understanding:
        _add_understanding(found, answer.speech_understanding)
    return found.rows


class _Times(TypedDict):
    start_ms: int | None
    end_ms: int | None


class _Finder:
    """Findings so far, and the redacted words that quotations are read from, if any."""

    def __init__(self, redacted: Words | None) -> None:
        self.rows = Insights()
        self.redacted = redacted

    def quote(self, kind: str, times: _Times, text: str | None, **rest: Any) -> None:
        """Add a finding with what was said there."""
        words = self.redacted
        if words is not None:
            first, last = times["start_ms"], times["end_ms"]
            text = None
            if first is not None and last is not None:
                inside = slice(
                    bisect_left(words.start_ms, first), bisect_left(words.start_ms, last)
                )
                text = " ".join(words.text[inside]) or None
        self.rows.add(kind, **times, text=text, **rest)


def _add_highlight(found: _Finder, phrase: Highlight, path: str) -> None:
    # A row for each place where it was said, so that it can be found in the recording.
    payload = _payload(count=phrase.count)
    for place, span in enumerate(phrase.timestamps or [Span()]):
        times = _times(span, f"{path}.timestamps[{place}]")
        found.quote("highlight", times, phrase.text, score=phrase.rank, payload_json=payload)


def _add_labels(found: _Finder, kind: str, labels: Labels | None, path: str) -> None:
    """Add a row per stretch and label, then a row per label for the whole recording."""
    if labels is None:
        return
    for index, result in enumerate(labels.results or ()):
        times = _times(result.timestamp or Span(), f"{path}.results[{index}].timestamp")
        for one in result.labels or ():
            score = one.relevance if one.confidence is None else one.confidence
            payload = _payload(severity=one.severity)
            found.quote(
                kind, times, result.text, label=one.label, score=score, payload_json=payload
            )
    severities = labels.severity_score_summary or {}
    for label, score in sorted((labels.summary or {}).items()):
        payload = _payload(severities=severities.get(label))
        found.rows.add(kind, label=label, score=score, payload_json=payload)


def _add_redactions(rows: Insights, words: Words) -> None:
    """Add a row per redacted word: ``[PERSON_NAME]``, or one ``#`` for each letter."""
    for index, said in enumerate(words.text):
        text = said.strip(_PUNCTUATION)
        is_named = text.startswith("[") and text.endswith("]") and text.isupper()
        if is_named or (text and not text.strip("#")):
            rows.add(
                "pii",
                start_ms=words.start_ms[index],
                end_ms=words.end_ms[index],
                speaker_label=words.speaker_label[index],
                label=text[1:-1].lower() if is_named else None,
            )


def _add_understanding(found: _Finder, understanding: Understanding) -> None:
    for name, raw in sorted((understanding.response or {}).items()):
        if bytes(raw) == b"null":
            continue
        if name == "summarization":
            _add_summary(found.rows, decode(_SUMMARIZATION, bytes(raw), NAME, at=f"{_AT}.{name}"))
        else:
            payload = bytes(raw).decode(errors="replace") if found.redacted is None else None
            found.rows.add("understanding", label=name, payload_json=payload)


def _add_summary(rows: Insights, told: Summarization) -> None:
    for index, part in enumerate(told.summary or ()):
        times = _times(part, f"{_AT}.summarization.summary[{index}]")
        rows.add("chapter", **times, label=part.headline, text=_text_of(part))
    if told.block_summary:
        rows.add("summary", label=told.summary_type, text=told.block_summary)


def _text_of(part: Section) -> str | None:
    return part.text or "\n".join(f"- {line}" for line in part.bullets or ()) or None


def _times(span: Span, path: str) -> _Times:
    if span.start is not None and span.end is not None and span.start > span.end:
        raise NormaliseError(NAME, path, f"times {span.start}..{span.end}")
    return {"start_ms": span.start, "end_ms": span.end}


def _payload(**values: Any) -> str | None:
    told = {name: value for name, value in values.items() if value is not None}
    return _encode(told) if told else None


def _encode(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
