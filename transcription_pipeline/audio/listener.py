"""One channel of audio being heard: where speech is, and which words it has.

What belongs here: voice activity and decoding with pocketsphinx, and the values they give. What
does not: files, channels side by side and child processes (``recognise.py``, the only caller).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import pocketsphinx

from transcription_pipeline.audio.decode import SAMPLE_RATE_HZ, Samples

# The strictest of four: it finds the same turns as the loosest with a quarter of the false alarms.
_VAD_MODE = 3
_BYTES_PER_MS = SAMPLE_RATE_HZ * 2 // 1_000
# Speech without a pause is cut after 30 s, so that memory stays bounded whatever is said.
_MAX_STRETCH_BYTES = 30_000 * _BYTES_PER_MS
# Quiet kept on both sides of a stretch. Measured on 35 synthetic sentences, before the samples'
# texts were chosen: 14.6 % word errors without, 8.5 % with 0.1 s, 9.6 % with 0.2 s.
_MARGIN_S = 0.1
# What must be remembered in silence: the endpointer decides 0.3 s late, plus the margin.
_KEPT_BYTES = 600 * _BYTES_PER_MS
# The acoustic model looks at speech in steps of 10 ms.
_FRAME_MS = 10
_ALTERNATE_PRONUNCIATION = re.compile(r"\(\d+\)$")
_FILLER = re.compile(r"^(<.*>|\[.*\]|\+\+.*\+\+)$")


class RecognisedWord(NamedTuple):
    """One word, with times from the start of the recording and a posterior from 0 to 1."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class RecognisedTurn:
    """One stretch of speech between two pauses on one channel; has at least one word."""

    start_ms: int
    end_ms: int
    text: str
    words: tuple[RecognisedWord, ...]


@cache
def _load_decoder() -> pocketsphinx.Decoder:
    """Load the model once per process: 0.4 s and 130 MB."""
    return pocketsphinx.Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")


class ChannelListener:
    """One channel being heard: cuts it into stretches of speech and recognises each at once.

    The cutting is that of pocketsphinx' ``Segmenter``, with two differences. A stretch gets the
    quiet around it: the endpointer notices soft first sounds late, and a decoder that never hears
    them invents a word. And the last stretch of a stream that ends exactly on a frame boundary is
    not lost.
    """

    def __init__(self) -> None:
        self._endpointer = pocketsphinx.Endpointer(vad_mode=_VAD_MODE, sample_rate=SAMPLE_RATE_HZ)
        self._heard = bytearray()
        """Samples from ``_heard_from`` on that may still become part of a stretch."""
        self._heard_from = 0
        """Offset of ``_heard`` in the channel, in bytes."""
        self._judged = 0
        """Offset up to which the endpointer has looked, in bytes; whole frames."""
        self._stretch_from: int | None = None
        """Offset at which the open stretch starts; None in silence."""
        self._turns: list[RecognisedTurn] = []

    def hear(self, samples: Samples) -> None:
        """Take the next samples of the channel."""
        self._heard += samples.tobytes()
        frame_bytes = self._endpointer.frame_bytes
        end = self._heard_from + len(self._heard)
        # Something is always left over for ``finish``: the endpointer needs a last frame to end.
        while self._judged + frame_bytes < end:
            frame = self._slice(self._judged, self._judged + frame_bytes)
            self._endpointer.process(frame)
            self._judged += frame_bytes
            self._follow()

    def finish(self, duration_ms: int) -> tuple[RecognisedTurn, ...]:
        """Take the end of the channel and return its turns, none of them outside the recording."""
        if self._heard:
            end = self._heard_from + len(self._heard)
            self._endpointer.end_stream(self._slice(self._judged, end))
            self._judged = end
            if self._stretch_from is not None:
                self._recognise_until(end)
        return tuple(_clip(turn, duration_ms) for turn in self._turns)

    def _slice(self, start: int, end: int) -> bytes:
        return bytes(self._heard[start - self._heard_from : end - self._heard_from])

    def _follow(self) -> None:
        """Open, cut or close a stretch after the endpointer has looked at one more frame."""
        if not self._endpointer.in_speech:
            if self._stretch_from is not None:
                speech_end = _to_offset(self._endpointer.speech_end + _MARGIN_S)
                self._recognise_until(min(speech_end, self._judged))
                self._stretch_from = None
            self._forget_before(self._judged - _KEPT_BYTES)
            return
        if self._stretch_from is None:
            speech_start = _to_offset(self._endpointer.speech_start - _MARGIN_S)
            self._stretch_from = max(speech_start, self._heard_from)
        if self._judged - self._stretch_from >= _MAX_STRETCH_BYTES:
            self._recognise_until(self._judged)
            self._stretch_from = self._judged
            self._forget_before(self._judged)

    def _forget_before(self, offset: int) -> None:
        if offset > self._heard_from:
            del self._heard[: offset - self._heard_from]
            self._heard_from = offset

    def _recognise_until(self, end: int) -> None:
        start = self._stretch_from or 0
        words = tuple(_recognise_speech(self._slice(start, end), start // _BYTES_PER_MS))
        self._forget_before(end)
        if words:
            text = " ".join(word.text for word in words)
            self._turns.append(RecognisedTurn(words[0].start_ms, words[-1].end_ms, text, words))


def _to_offset(seconds: float) -> int:
    return max(round(seconds * 1_000), 0) * _BYTES_PER_MS


def _recognise_speech(speech: bytes, start_ms: int) -> Iterator[RecognisedWord]:
    decoder = _load_decoder()
    # Forget the noise estimate of the last stretch, or confidences depend on what was heard before.
    decoder.start_stream()
    decoder.start_utt()
    # As one whole utterance the cepstral mean is taken from this speech alone; in pieces it would
    # be inherited from whatever was recognised before, and the answer would depend on the order.
    decoder.process_raw(speech, full_utt=True)
    decoder.end_utt()
    for segment in decoder.seg() or ():
        if _FILLER.match(segment.word):
            continue
        yield RecognisedWord(
            text=_ALTERNATE_PRONUNCIATION.sub("", segment.word),
            start_ms=start_ms + segment.start_frame * _FRAME_MS,
            end_ms=start_ms + (segment.end_frame + 1) * _FRAME_MS,
            # Rounding in log space can lift a certainty a hair above 1.
            confidence=round(min(max(segment.prob, 0.0), 1.0), 4),
        )


def _clip(turn: RecognisedTurn, duration_ms: int) -> RecognisedTurn:
    """Hold a turn to the recording's end, which its last 10 ms frame may cross."""
    if turn.end_ms <= duration_ms:
        return turn
    words = tuple(
        word._replace(
            start_ms=min(word.start_ms, duration_ms), end_ms=min(word.end_ms, duration_ms)
        )
        for word in turn.words
    )
    return RecognisedTurn(words[0].start_ms, words[-1].end_ms, turn.text, words)
