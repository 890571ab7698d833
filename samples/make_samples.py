"""Make the sample recordings and their manifest: ``python samples/make_samples.py``.

What belongs here: voices, codecs, damage and object keys. What does not: the words
(``dialogues.py``). Run by hand when a sample changes, with ``flite`` (Debian: ``apt-get install
flite``) and this project's environment; the results are committed, the demo and the tests read
them. The same flite and PyAV make the same bytes again.

A file and an S3 key are two things: no file system takes every key, and one file may stand behind
several keys. ``manifest.json`` says which.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from dialogues import DIALOGUES
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
RATE_HZ = 16_000
VOICES = {"A": "slt", "B": "rms"}
# Below this the synthesiser's lead-in and tail count as silence (16 bit full scale: 32768).
QUIET = 150
TAIL_MS = 400
MAX_BYTES = 100_000

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Sample:
    """One dialogue in one file behind one key."""

    dialogue: str
    file: str
    key: str
    container: str
    codec: str
    encoder: str
    channels: int
    bit_rate: int | None = None
    rate_hz: int = RATE_HZ


GOOD = (
    Sample("delivery", "delivery.wav", "calls/delivery.wav",
           "wav", "pcm_mulaw", "pcm_mulaw", 1, rate_hz=8_000),
    Sample("appointment", "appointment.flac", "calls/front+desk+appointment.flac",
           "flac", "flac", "flac", 2),
    Sample("insurance", "insurance.mp3", "calls/insurance.mp3",
           "mp3", "mp3", "libmp3lame", 2, 48_000),
    Sample("hotel", "hotel.mp3", "calls/hotel.mp3",
           "mp3", "mp3", "libmp3lame", 1, 40_000),
    # An mp3 that says it is a wav: what a recording is, only its bytes can tell.
    Sample("kitchen", "kitchen-is-mp3.wav", "calls/kitchen.wav",
           "mp3", "mp3", "libmp3lame", 1, 40_000),
    Sample("budget", "budget.m4a", "meetings/budget.m4a",
           "ipod", "aac", "aac", 2, 56_000),
    Sample("launch", "launch.opus", "meetings/launch.opus",
           "ogg", "opus", "libopus", 2, 40_000),
    # The one dialogue in which a speaker interrupts the other.
    Sample("planning", "planning.webm", "meetings/planning call with finance.webm",
           "webm", "opus", "libopus", 2, 40_000),
    Sample("baker", "baker.ogg", "interviews/baker.ogg",
           "ogg", "vorbis", "vorbis", 2, 44_000),
    Sample("teacher", "teacher.webm", "interviews/teacher.webm",
           "webm", "opus", "libopus", 1, 32_000),
)  # fmt: skip

# Keys that break naive code, in front of recordings that are perfectly good.
ODD_KEYS = {
    "calls/inbound%2Fdelivery.wav": "delivery.wav",
    "interviews/Gespräch – 面談 – разговор.flac": "appointment.flac",
    # 900 bytes, of the 1,024 S3 allows.
    "meetings/" + "notes of a very long meeting about very long names/" * 17 + "launch-again-at-last.opus": "launch.opus",
}  # fmt: skip


def main() -> None:
    """Write every sample file and the manifest next to this script."""
    entries = [_make_good(sample) for sample in GOOD]
    by_file = {entry["file"]: entry for entry in entries}
    entries += [{**by_file[file], "key": key} for key, file in ODD_KEYS.items()]
    entries += [_make_silence(), *_make_bad()]
    for entry in entries:
        size = (HERE / entry["file"]).stat().st_size
        assert size < MAX_BYTES, (entry["file"], size)
        assert len(entry["key"].encode()) <= 1_000, entry["key"]
    manifest = json.dumps({"samples": entries}, indent=1, ensure_ascii=False)
    (HERE / "manifest.json").write_text(manifest + "\n", encoding="utf-8")


def _make_good(sample: Sample) -> dict[str, Any]:
    tracks, turns = _perform(sample.dialogue)
    if sample.channels == 1:
        # Turns hardly overlap, so the sum cannot clip.
        tracks = tracks.sum(axis=0, keepdims=True, dtype=np.int16)
        turns = [{**turn, "channel": None} for turn in turns]
    _encode(HERE / sample.file, tracks, sample)
    return {
        "file": sample.file,
        "key": sample.key,
        "container": "m4a" if sample.container == "ipod" else sample.container,
        "codec": sample.codec,
        "channels": sample.channels,
        "expected": "published",
        "duration_ms": tracks.shape[1] * 1_000 // RATE_HZ,
        "band": "full" if sample.rate_hz == RATE_HZ else "8k",
        "text": " ".join(turn["text"] for turn in turns),
        "turns": turns,
    }


def _perform(dialogue: str) -> tuple[Samples, list[dict[str, Any]]]:
    """Speak a dialogue: one track per speaker, and when each turn starts and ends."""
    spoken: list[tuple[int, int, Samples]] = []
    turns = []
    now = 0
    for speaker, pause_ms, text in DIALOGUES[dialogue]:
        samples = _speak(VOICES[speaker], text)
        start = now + pause_ms * RATE_HZ // 1_000
        now = start + len(samples)
        channel = "AB".index(speaker)
        spoken.append((channel, start, samples))
        turns.append(
            {
                "speaker": speaker,
                "channel": channel,
                "start_ms": start * 1_000 // RATE_HZ,
                "end_ms": now * 1_000 // RATE_HZ,
                "text": text,
            }
        )
    tracks = np.zeros((2, now + TAIL_MS * RATE_HZ // 1_000), dtype=np.int16)
    for channel, start, samples in spoken:
        tracks[channel, start : start + len(samples)] += samples
    return tracks, turns


def _speak(voice: str, text: str) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path)) as speech:
            assert speech.getframerate() == RATE_HZ
            samples = np.frombuffer(speech.readframes(speech.getnframes()), dtype=np.int16)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    return samples[loud[0] : loud[-1] + 1]


def _encode(path: Path, tracks: Samples, sample: Sample) -> None:
    """Encode bit-exactly: no encoder version, no random serial numbers in the file."""
    with av.open(
        str(path), "w", format=sample.container, container_options={"fflags": "+bitexact"}
    ) as output:
        layout = "mono" if sample.channels == 1 else "stereo"
        stream = output.add_stream(
            sample.encoder, rate=sample.rate_hz, layout=layout, options={"strict": "experimental"}
        )
        stream.codec_context.flags |= Flags.bitexact
        if sample.bit_rate:
            stream.bit_rate = sample.bit_rate
        for frame in _make_frames(tracks, layout, stream):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _make_frames(tracks: Samples, layout: str, stream: Any) -> Iterator[av.AudioFrame]:
    interleaved = np.ascontiguousarray(tracks.T).reshape(1, -1)
    whole = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
    whole.sample_rate = RATE_HZ
    whole.pts = 0
    context = stream.codec_context
    resampler = av.AudioResampler(
        format=context.format,
        layout=layout,
        rate=stream.rate,
        frame_size=context.frame_size or 4096,
    )
    yield from resampler.resample(whole)
    yield from resampler.resample(None)


def _make_silence() -> dict[str, Any]:
    silence = Sample("", "silence.flac", "calls/silence.flac", "flac", "flac", "flac", 1)
    _encode(HERE / silence.file, np.zeros((1, RATE_HZ), dtype=np.int16), silence)
    return {
        "file": silence.file,
        "key": silence.key,
        "container": "flac",
        "codec": "flac",
        "channels": 1,
        "expected": "published",
        "duration_ms": 1_000,
        "band": "full",
        "text": "",
        "turns": [],
    }


def _make_bad() -> Iterator[dict[str, Any]]:
    flac = (HERE / "appointment.flac").read_bytes()
    apology = "This file was meant to be a recording. Somebody saved a note under its name.\n"
    for file, reason, content in (
        ("zero-bytes.mp3", "zero_bytes", b""),
        ("text.mp3", "not_audio", apology.encode()),
        ("truncated.flac", "truncated", flac[: len(flac) * 45 // 100]),
    ):
        (HERE / file).write_bytes(content)
        yield {
            "file": file,
            "key": f"calls/{file}",
            "expected": "quarantined",
            "quarantine_reason": reason,
        }


if __name__ == "__main__":
    main()
