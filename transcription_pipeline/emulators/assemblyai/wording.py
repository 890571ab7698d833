"""From speech to AssemblyAI's words, utterances, sentences and paragraphs.

Here are the vendor's labels, capitals, full stops and redactions; times stay the speech's own, in
integer milliseconds. Everything is a pure function of the speech and of how the request wants it
seen; ``answers.py`` and ``exports.py`` use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transcription_pipeline.emulators.speech import Speech, Turn

_PARAGRAPH_SENTENCES = 5
"""Not documented; the vendor's example paragraphs have four to six sentences."""
_ALWAYS_CAPITAL = {"i", "anna", "john", "london", "berlin", "monday", "friday"}

# Which words a script's speech has something to say about: entity type by word. An emulator does
# not understand text; this is a stand-in that gives the documented shapes something to hold.
ENTITIES = {
    "anna": "person_name",
    "john": "person_name",
    "london": "location",
    "berlin": "location",
    "monday": "date",
    "friday": "date",
}


@dataclass(frozen=True, slots=True)
class View:
    """How a request wants the speech written down."""

    speaker_labels: bool = False
    multichannel: bool = False
    punctuate: bool = True
    format_text: bool = True
    start_ms: int = 0
    end_ms: int | None = None
    spelling: tuple[tuple[str, str], ...] = ()
    redact: str | None = None
    """``hash`` or ``entity_name``; None: nothing is redacted."""
    redact_policies: frozenset[str] = frozenset()
    return_unredacted: bool = False


def view_of(options: dict[str, Any]) -> View:
    """Read a request's wishes."""
    spelling = tuple(
        (said.lower(), rule["to"])
        for rule in options.get("custom_spelling") or ()
        for said in rule.get("from", ())
    )
    redacts = options.get("redact_pii", False)
    return View(
        speaker_labels=options.get("speaker_labels", False),
        # API reference: dual_channel is the old name of multichannel.
        multichannel=options.get("multichannel", False) or options.get("dual_channel", False),
        punctuate=options.get("punctuate", True),
        format_text=options.get("format_text", True),
        start_ms=options.get("audio_start_from", 0),
        end_ms=options.get("audio_end_at"),
        spelling=spelling,
        redact=options.get("redact_pii_sub", "hash") if redacts else None,
        redact_policies=frozenset(options.get("redact_pii_policies", ()) if redacts else ()),
        return_unredacted=options.get("redact_pii_return_unredacted", False),
    )


def make_turns(speech: Speech, view: View) -> list[list[dict[str, Any]]]:
    """Write every turn as a list of word objects, turns ordered by start.

    A word's ``speaker`` and ``channel`` follow the request: nothing asked, null and no channel;
    speaker_labels, letters; multichannel, the channel's number in both; both, number and letter.
    """
    letters: dict[Any, str] = {}
    turns = []
    for turn in speech.turns:
        # Page "Transcribe multiple audio channels" and the vendor's Node integration test:
        # channels are strings counted from "1"; with both flags speakers are "1A", "1B", "2A".
        channel = str(turn.channel + 1)
        speaker = None
        if view.multichannel and view.speaker_labels:
            number = sum(1 for known in letters if known[0] == turn.channel)
            letter = letters.setdefault((turn.channel, turn.voice), _letter(number))
            speaker = channel + letter
        elif view.multichannel:
            speaker = channel
        elif view.speaker_labels:
            speaker = letters.setdefault(turn.voice, _letter(len(letters)))
        words = list(_write(turn, view, speaker, channel if view.multichannel else None))
        if words:
            turns.append(words)
    return turns


def _letter(number: int) -> str:
    """Label a speaker A to Z, then AA; what follows Z is not documented."""
    letter = chr(ord("A") + number % 26)
    return letter if number < 26 else _letter(number // 26 - 1) + letter


def _write(
    turn: Turn, view: View, speaker: str | None, channel: str | None
) -> Iterator[dict[str, Any]]:
    starts_sentence = True
    spelling = dict(view.spelling)
    for word in turn.words:
        if word.start_ms < view.start_ms or (view.end_ms is not None and word.end_ms > view.end_ms):
            continue
        text = spelling.get(word.text, word.text)
        if view.format_text and (starts_sentence or text in _ALWAYS_CAPITAL):
            text = text[:1].upper() + text[1:]
        if view.redact and ENTITIES.get(word.text) in view.redact_policies:
            # Page "PII redaction": hash gives one # per letter, entity_name the type in brackets.
            entity = ENTITIES[word.text].upper()
            text = "#" * len(text) if view.redact == "hash" else f"[{entity}]"
        if view.punctuate and word.ends_sentence:
            text += "."
        starts_sentence = word.ends_sentence
        written: dict[str, Any] = {
            "text": text,
            "start": word.start_ms,
            "end": max(word.end_ms, word.start_ms + 1),
            "confidence": word.confidence,
            "speaker": speaker,
        }
        if channel is not None:
            written["channel"] = channel
        yield written


def merge(turns: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Put the words of all turns in order of their start."""
    words = [word for turn in turns for word in turn]
    words.sort(key=lambda word: word["start"])
    return words


def make_utterances(turns: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Make one utterance of each turn."""
    return [
        _span(words)
        | {"speaker": words[0]["speaker"], "words": words}
        | ({"channel": words[0]["channel"]} if "channel" in words[0] else {})
        for words in turns
    ]


def make_sentences(words: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cut words after every full stop, per speaker and channel, ordered by start."""
    open_ones: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    done: list[list[dict[str, Any]]] = []
    for word in words:
        whose = (word.get("speaker"), word.get("channel"))
        open_ones.setdefault(whose, []).append(word)
        if re.search(r"[.?!]$", word["text"]):
            done.append(open_ones.pop(whose))
    done += open_ones.values()
    done.sort(key=lambda sentence: sentence[0]["start"])
    return [
        _span(sentence)
        | {"words": sentence, "speaker": sentence[0]["speaker"]}
        | ({"channel": sentence[0]["channel"]} if "channel" in sentence[0] else {})
        for sentence in done
    ]


def make_paragraphs(sentences: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put sentences together, a few at a time."""
    paragraphs = []
    for first in range(0, len(sentences), _PARAGRAPH_SENTENCES):
        group = sentences[first : first + _PARAGRAPH_SENTENCES]
        words = [word for sentence in group for word in sentence["words"]]
        paragraphs.append(_span(words) | {"words": words})
    return paragraphs


def mean_confidence(words: Sequence[dict[str, Any]]) -> float | None:
    """Average the words' confidence; FAQ "What is confidence score": that is the transcript's."""
    return sum(word["confidence"] for word in words) / len(words) if words else None


def _span(words: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "text": " ".join(word["text"] for word in words),
        "start": words[0]["start"],
        "end": max(word["end"] for word in words),
        "confidence": mean_confidence(words),
    }
