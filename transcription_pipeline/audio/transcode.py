"""Audio of any container as mp3, for a provider that takes few formats, in bounded memory.

What belongs here: the choice of rate, channels and bit rate, and encoding with PyAV. What does not:
when to transcode and where the bytes come from and go to (the provider). Runs in a thread.
"""

from __future__ import annotations

import threading
from typing import IO

import av
import av.error

from transcription_pipeline.audio.decode import decode_resampled
from transcription_pipeline.audio.formats import open_audio
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import AudioError

_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000)
"""What mp3 knows (ISO/IEC 13818-3, and the 2.5 extension) up to where speech has nothing more."""
_NARROW_HZ = 16_000


def transcode_to_mp3(source: IO[bytes], target: IO[bytes], stop: threading.Event) -> None:
    """Read any audio from ``source`` and write it to ``target`` as mp3; same bytes in, same out.

    The rate is the next that mp3 has, 24 kHz at most; up to two channels stay apart. Per channel 64
    kbit/s, or 32 below 16 kHz, keep speech as it is. Packets that cannot be decoded are left out, as
    are pauses that were never sent, so what follows them moves up.

    Args:
        source: An open file at its start.
        target: An open file to be written from its start; seekable.
        stop: Set by whoever no longer wants the outcome; then ``target`` stays unfinished.

    Raises:
        AudioError: Terminal. Not audio, nothing in it can be decoded, or it changes half-way.
    """
    with open_audio(source) as given:
        try:
            _encode(given, target, stop)
        except av.error.FFmpegError as error:
            detail = f"cannot be encoded ({type(error).__name__})"
            raise AudioError(QuarantineReason.NOT_AUDIO, detail) from error


def _encode(given: av.container.InputContainer, target: IO[bytes], stop: threading.Event) -> None:
    stream = given.streams.audio[0]
    rate = next((r for r in _RATES_HZ if r >= stream.sample_rate), _RATES_HZ[-1])
    channel_count = min(stream.channels, 2)
    layout = "mono" if channel_count == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    # No ID3 tag and no encoder's name: nothing but the audio.
    options = {"id3v2_version": "0", "fflags": "+bitexact"}
    with av.open(target, "w", format="mp3", options=options) as made:
        encoder = made.add_stream("libmp3lame", rate=rate)
        encoder.layout = layout
        encoder.format = "fltp"
        encoder.bit_rate = channel_count * (32_000 if rate < _NARROW_HZ else 64_000)
        sample_count = 0
        for frame in decode_resampled(given, resampler):
            if stop.is_set():
                return
            frame.pts = sample_count
            sample_count += frame.samples
            made.mux(encoder.encode(frame))
        made.mux(encoder.encode(None))
