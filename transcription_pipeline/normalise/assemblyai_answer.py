"""The shape of AssemblyAI's transcript object: the fields that are read, and the names that are known.

What belongs here: types and bounds of what ``GET /v2/transcript/{id}`` answers (API reference of
2026-08-18 and the types of the vendor's Python SDK 1.8.2, read 2026-11-21). What does not: what they
mean, which is ``assemblyai.py``'s for speech and ``assemblyai_insights.py``'s for analyses.

Every field of an analysis may be absent or null: recorded answers lack some that the reference
calls required, and no transcript is to be lost for it. ``unredacted_*`` fields have no place here, so
nothing that was redacted can reach a table through them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from transcription_pipeline.errors import NormaliseError

NAME = "assemblyai"
_MAX_CHANNELS = 64
MAX_DURATION_MS = 48 * 3600 * 1000
"""No recording is longer: a time beyond it is an error, not a word."""

Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_DURATION_MS)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Score = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Duration = Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_MS / 1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]

_FIELDS = """
    acoustic_model audio_channels audio_duration audio_end_at audio_start_from audio_url
    auto_chapters auto_highlights auto_highlights_result boost_param chapters cluster_id confidence
    content_safety content_safety_confidence content_safety_labels custom_spelling custom_topics
    custom_topics_results disfluencies domain dual_channel entities entity_detection error
    filter_profanity format_text iab_categories iab_categories_result id is_deleted keyterms_prompt
    keyterms_prompt_options language_code language_codes language_confidence
    language_confidence_threshold language_detection language_detection_options
    language_detection_results language_model metadata multichannel project_id prompt punctuate
    redact_pii redact_pii_audio redact_pii_audio_options redact_pii_audio_quality
    redact_pii_policies redact_pii_return_unredacted redact_pii_sub redact_static_entities
    remove_audio_tags sentiment_analysis sentiment_analysis_results speaker_count speaker_labels
    speaker_options speakers_expected speech_model speech_model_used speech_models speech_threshold
    speech_understanding speed_boost status summarization summary summary_model summary_type
    temperature text throttled token_id topics translated_texts unredacted_text
    unredacted_utterances unredacted_words utterances webhook_auth webhook_auth_header_name
    webhook_status_code webhook_url word_boost words
    """
FIELDS = frozenset(_FIELDS.split())
"""Top-level fields that are documented or were recorded."""


class Word(msgspec.Struct, gc=False):
    """One word."""

    text: str
    start: Time
    end: Time
    confidence: Share | None = None
    speaker: str | None = None
    channel: str | None = None


class Utterance(msgspec.Struct, gc=False):
    """One turn."""

    text: str
    start: Time
    end: Time
    confidence: Share | None = None
    speaker: str | None = None
    channel: str | None = None
    words: list[Word] = []


class Span(msgspec.Struct, gc=False):
    """From when to when."""

    start: Time | None = None
    end: Time | None = None


class Entity(Span, gc=False):
    """Something named in the speech."""

    entity_type: str | None = None
    text: str | None = None


class Sentiment(Span, gc=False):
    """The mood of one sentence; ``start`` was recorded as null."""

    text: str | None = None
    sentiment: str | None = None
    confidence: Share | None = None
    speaker: str | None = None
    channel: str | None = None


class Highlight(msgspec.Struct, gc=False):
    """A key phrase and where it was said; recorded without ``rank``."""

    text: str | None = None
    count: Count | None = None
    rank: Score | None = None
    timestamps: list[Span] | None = None


class Highlights(msgspec.Struct, gc=False):
    """All key phrases."""

    results: list[Highlight] | None = None


class Chapter(Span, gc=False):
    """One chapter."""

    gist: str | None = None
    headline: str | None = None
    summary: str | None = None


class Label(msgspec.Struct, gc=False):
    """What a stretch is about: a topic with its relevance, or a sensitive matter."""

    label: str | None = None
    relevance: Score | None = None
    confidence: Share | None = None
    severity: Score | None = None


class Labelled(msgspec.Struct, gc=False):
    """A stretch and its labels."""

    text: str | None = None
    labels: list[Label] | None = None
    timestamp: Span | None = None


class Labels(msgspec.Struct, gc=False):
    """Topics or sensitive matters; ``{}`` or ``unavailable`` where nobody asked for them."""

    results: list[Labelled] | None = None
    summary: dict[str, Score] | None = None
    severity_score_summary: dict[str, dict[str, Score]] | None = None


class Section(Span, gc=False):
    """A part of a summary made by ``speech_understanding``."""

    headline: str | None = None
    text: str | None = None
    bullets: list[str] | None = None


class Summarization(msgspec.Struct, gc=False):
    """A summary made by ``speech_understanding``, in parts and as a whole."""

    summary: list[Section] | None = None
    block_summary: str | None = None
    summary_type: str | None = None


class Understanding(msgspec.Struct, gc=False):
    """What ``speech_understanding`` answered, analysis by analysis."""

    response: dict[str, msgspec.Raw] | None = None


class Answer(msgspec.Struct, gc=False):
    """A transcript, its ``words`` left unread: they stand in its utterances, too."""

    status: str
    text: str | None = None
    audio_url: str | None = None
    confidence: Share | None = None
    audio_duration: Duration | None = None
    language_code: str | None = None
    language_confidence: Share | None = None
    speech_model_used: str | None = None
    utterances: list[Utterance] | None = None
    redact_pii: bool | None = None
    entities: list[Entity] | None = None
    sentiment_analysis_results: list[Sentiment] | None = None
    auto_highlights_result: Highlights | None = None
    chapters: list[Chapter] | None = None
    summary: str | None = None
    summary_type: str | None = None
    iab_categories_result: Labels | None = None
    content_safety_labels: Labels | None = None
    translated_texts: dict[str, str] | None = None
    speech_understanding: Understanding | None = None


class Spoken(msgspec.Struct, gc=False):
    """The words of a transcript that has no turns."""

    words: list[Word] | None = None


def read_channel(name: str | None) -> int | None:
    """Return a channel's number: theirs are strings counted from 1, ours integers from 0."""
    if not name:
        return None
    if not (name.isascii() and name.isdecimal() and len(name) <= 2 and int(name) <= _MAX_CHANNELS):
        raise NormaliseError(NAME, "$.words[...].channel", "not a channel number")
    return int(name) - 1 if int(name) else None
