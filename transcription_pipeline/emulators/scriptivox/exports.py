"""Subtitles and plain text of a completed job, as ``?format=srt|vtt|text`` answers them.

The knobs and their defaults are from the vendor's MCP server (src/tools/export-transcript.ts); four
words a caption is really the default. How speakers are written is not documented; ``SPEAKER 1: ``
here. ``app.py`` calls this for completed jobs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from transcription_pipeline.emulators.scriptivox.refusals import Refusal

_DEFAULTS = {"max_words": 4, "max_chars": 80, "max_duration": 10}
_SENTENCE_ENDS = (".", "?", "!")
Caption = list[dict[str, Any]]


def make_export(result: bytes, kind: str, query: Mapping[str, str], *, diarize: bool) -> str:
    """Write an export of one ``result``."""
    utterances = msgspec.json.decode(result)["utterances"]
    wish = query.get("include_speakers", "auto")
    has_speakers = diarize if wish == "auto" else wish == "true"
    strip = query.get("strip_chars", "")
    if kind == "text":
        is_timed = query.get("include_timestamps") == "true"
        lines = [_line(one, has_speakers=has_speakers, is_timed=is_timed) for one in utterances]
        return _strip("\n".join(lines), strip)
    knobs = {name: _read_count(query, name) for name in _DEFAULTS}
    is_sentence_aware = query.get("sentence_aware", "true") == "true"
    captions = [
        caption
        for one in utterances
        for caption in _cut(_words_of(one), knobs, is_sentence_aware=is_sentence_aware)
    ]
    mark = "," if kind == "srt" else "."
    blocks = []
    for number, caption in enumerate(captions, 1):
        text = _strip(" ".join(word["word"] for word in caption), strip)
        speaker = caption[0].get("speaker")
        if has_speakers and speaker:
            text = f"{speaker}: {text}"
        head = f"{number}\n" if kind == "srt" else ""
        times = f"{_time(caption[0]['start'], mark)} --> {_time(caption[-1]['end'], mark)}"
        blocks.append(f"{head}{times}\n{text}\n")
    return ("" if kind == "srt" else "WEBVTT\n\n") + "\n".join(blocks)


def _words_of(utterance: dict[str, Any]) -> Caption:
    # Without alignment there are no word times; the whole utterance is one caption.
    return utterance.get("words") or [{**utterance, "word": utterance["text"]}]


def _cut(words: Caption, knobs: Mapping[str, int], *, is_sentence_aware: bool) -> list[Caption]:
    captions: list[Caption] = []
    for word in words:
        last = captions[-1] if captions else []
        chars = sum(len(one["word"]) + 1 for one in last) + len(word["word"])
        is_full = (
            len(last) >= knobs["max_words"]
            or chars > knobs["max_chars"]
            or (last and word["end"] - last[0]["start"] > knobs["max_duration"])
            or (is_sentence_aware and last and last[-1]["word"].endswith(_SENTENCE_ENDS))
        )
        if not captions or is_full:
            captions.append([])
        captions[-1].append(word)
    return captions


def _read_count(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, str(_DEFAULTS[name]))
    if not (text.isascii() and text.isdigit() and int(text[:6]) > 0):
        raise Refusal("INVALID_REQUEST", f"{name} is invalid")
    return int(text[:6])


def _line(utterance: dict[str, Any], *, has_speakers: bool, is_timed: bool) -> str:
    time = f"[{_time(utterance['start'], '.')}] " if is_timed else ""
    speaker = f"{utterance['speaker']}: " if has_speakers and utterance.get("speaker") else ""
    return f"{time}{speaker}{utterance['text']}"


def _strip(text: str, chars: str) -> str:
    return text.translate({ord(char): None for char in chars})


def _time(seconds: float, mark: str) -> str:
    ms = round(seconds * 1000)
    clock = f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}"
    return f"{clock}{mark}{ms % 1000:03}"
