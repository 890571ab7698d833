"""The transcript object as submit, get and delete answer it.

The words of a long call are the cost of an answer, so they are written once per speech and request
shape and kept as bytes; the rest is joined to them per answer. Field names and nulls follow the
published examples of the API reference, 2026-08-18; ``app.py`` sends what this returns.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from transcription_pipeline.emulators.assemblyai.analyses import FLAGS, analyse, understand
from transcription_pipeline.emulators.assemblyai.jobs import AssemblyAISettings, Job
from transcription_pipeline.emulators.assemblyai.options import make_echo
from transcription_pipeline.emulators.assemblyai.wording import (
    View,
    make_sentences,
    make_turns,
    make_utterances,
    mean_confidence,
    merge,
    view_of,
)
from transcription_pipeline.emulators.backstage import seed_of
from transcription_pipeline.emulators.speech import Script, Speech

DELETED_TEXT = "Deleted by user."
DELETED_URL = "http://deleted_by_user"

# What a transcript has besides the echo of the request, before anything was heard.
_UNHEARD: dict[str, Any] = {
    "language_model": "assemblyai_default",
    "acoustic_model": "assemblyai_default",
    "translated_texts": None,
    "text": None,
    "words": None,
    "utterances": None,
    "confidence": None,
    "audio_duration": None,
    "webhook_status_code": None,
    "auto_highlights_result": None,
    # Recorded by the vendor's Go SDK tests: empty objects until the transcript is completed.
    "content_safety_labels": {},
    "iab_categories_result": {},
    "language_detection_results": None,
    "language_confidence": None,
    "throttled": False,
    "speech_model_used": None,
    "chapters": None,
    "sentiment_analysis_results": None,
    "entities": None,
    "summary": None,
    "custom_topics_results": None,
    "is_deleted": None,
    "error": None,
}
_HEARD = (
    "text",
    "words",
    "utterances",
    "confidence",
    "auto_highlights_result",
    "content_safety_labels",
    "iab_categories_result",
    "sentiment_analysis_results",
    "entities",
    "chapters",
    "summary",
)
"""Fields that come out of the speech, written by ``_write_heard``."""

# API reference, DELETE /v2/transcript/{id}: the sanitised transcript, field by field.
_TOMBSTONE_FALSE = (
    "language_detection",
    "multichannel",
    "webhook_auth",
    "auto_highlights",
    "redact_pii",
    "entity_detection",
    "summarization",
    "sentiment_analysis",
)
_TOMBSTONE_NULL = (
    "language_code",
    "language_confidence_threshold",
    "language_confidence",
    "words",
    "utterances",
    "confidence",
    "punctuate",
    "format_text",
    "webhook_status_code",
    "webhook_auth_header_name",
    "speed_boost",
    "auto_highlights_result",
    "audio_start_from",
    "audio_end_at",
    "filter_profanity",
    "redact_pii_audio",
    "redact_pii_audio_quality",
    "redact_pii_policies",
    "redact_pii_sub",
    "speaker_labels",
    "speaker_count",
    "error",
    "content_safety",
    "iab_categories",
    "content_safety_labels",
    "iab_categories_result",
    "custom_spelling",
    "cluster_id",
    "throttled",
    "custom_topics",
    "topics",
    "speech_threshold",
    "speech_model",
    "remove_audio_tags",
    "entities",
    "speakers_expected",
    "sentiment_analysis_results",
)


def make_answer(
    job: Job, status: str, settings: AssemblyAISettings, *, is_submit: bool = False
) -> bytes:
    """Write a job as JSON.

    Args:
        job: What to write.
        status: As it is now; an unknown word when the fault script says so.
        settings: For what the service detects.
        is_submit: The answer to the submit itself has no ``error`` (published example, 2026).
    """
    if job.deleted_at is not None:
        return msgspec.json.encode(make_tombstone(job))
    fields = {"id": job.id, "status": status} | make_echo(job.options) | _UNHEARD
    number = seed_of(job.account) % 90_000 + 10_000
    fields |= {"project_id": number, "token_id": number}
    if is_submit:
        del fields["error"]
    # Page "Rate limits", 2026: true while the job waits because of the concurrency limit.
    fields["throttled"] = status == "queued" and job.was_throttled
    fields["webhook_status_code"] = job.webhook_status_code
    if status == "error":
        fields["error"] = job.error
        fields["audio_duration"] = job.audio_s
    if status != "completed" or job.said is None:
        return msgspec.json.encode(fields)
    view = view_of(job.options)
    fields |= {
        "audio_duration": job.audio_s,
        "speech_model_used": job.model,
    }
    if view.multichannel:
        fields["audio_channels"] = job.said.channel_count
    if job.options["language_detection"]:
        fields["language_code"] = settings.detected_language
        fields["language_confidence"] = settings.language_confidence
    for name in _HEARD:
        del fields[name]
    wanted = frozenset(name for name in FLAGS if job.options.get(name))
    heard = write_heard(job.said, view, wanted)
    asked = job.options.get("speech_understanding")
    if asked:
        fields |= understand(asked.get("request", {}), msgspec.json.decode(heard))
    return msgspec.json.encode(fields)[:-1] + b"," + heard[1:]


def make_tombstone(job: Job) -> dict[str, Any]:
    """Write what is left of a deleted transcript. ``is_deleted`` is only in the DELETE's answer."""
    return {
        "id": job.id,
        "language_model": "assemblyai_default",
        "acoustic_model": "assemblyai_default",
        "status": "completed",
        "audio_url": DELETED_URL,
        "text": DELETED_TEXT,
        "audio_duration": job.audio_s,
        "webhook_url": DELETED_URL,
        "disfluencies": bool(job.options.get("disfluencies")),
        **dict.fromkeys(_TOMBSTONE_FALSE, False),
        **dict.fromkeys(_TOMBSTONE_NULL),
    }


@lru_cache(maxsize=512)
def write_heard(said: Script | Speech, view: View, wanted: frozenset[str]) -> bytes:
    """Write the fields that come out of the speech, as one JSON object."""
    speech = said.speak() if isinstance(said, Script) else said
    turns = make_turns(speech, view)
    words = merge(turns)
    text = " ".join(word["text"] for word in words)
    has_turns = view.speaker_labels or view.multichannel
    unredacted: dict[str, Any] = {}
    spoken = words
    if view.redact:
        clear = msgspec.json.decode(
            write_heard(said, replace(view, redact=None, return_unredacted=False), frozenset())
        )
        spoken = clear["words"]
    if view.return_unredacted:
        # API reference: three more fields, and only when they were asked for.
        unredacted = {f"unredacted_{name}": clear[name] for name in ("text", "words", "utterances")}
    heard = {
        # Silence: an empty text was seen in third-party tests; whether lists are empty or null and
        # confidence null or 0 is not documented; we chose empty and null.
        "text": text,
        "words": words,
        "utterances": make_utterances(turns) if has_turns else None,
        "confidence": mean_confidence(words),
    } | unredacted
    sentences = make_sentences(words) if wanted else ()
    heard |= analyse(wanted, text, words, sentences, spoken=spoken)
    return msgspec.json.encode(heard)
