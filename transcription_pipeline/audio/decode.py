"""Audio of any container as 16 kHz samples, one row per channel, in bounded memory.

What belongs here: demuxing, decoding and resampling with PyAV. What does not: judging whether a
recording may be sent to a provider (``probe.py``), finding words (``recognise.py``) and encoding
(``transcode.py``); the latter two are the callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from transcription_pipeline.audio.formats import SeekableBytes, open_audio
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import AudioError

SAMPLE_RATE_HZ = 16_000
"""What the acoustic model of the local recogniser was trained on."""

Samples = NDArray[np.int16]


def decode_channels(source: Path | SeekableBytes) -> Iterator[Samples]:
    """Yield the recording as consecutive blocks of shape ``(channel_count, n)``, 16 kHz, int16.

    A generator of blocks, not one array per channel: a few megabytes of FLAC can hold twelve hours
    of silence, which is gigabytes of samples. Every block has the same number of rows, and there
    is at least one block.

    A packet that cannot be decoded is skipped, as every player does: a damaged second in an hour
    of speech must not lose the hour. How much is missing was judged before, by ``probe``.

    Args:
        source: A local file, or an open binary file positioned at its start.

    Raises:
        AudioError: Terminal. Not audio, no audio stream, or not one packet could be decoded.
    """
    name = str(source) if isinstance(source, Path) else source
    with open_audio(name) as container:
        # The layout stays as it is: a speaker per channel is how the recogniser tells them apart.
        resampler = av.AudioResampler(format="s16p", rate=SAMPLE_RATE_HZ)
        for frame in decode_resampled(container, resampler):
            yield frame.to_ndarray()


def decode_resampled(
    container: av.container.InputContainer, resampler: av.AudioResampler
) -> Iterator[av.AudioFrame]:
    """Yield the first audio stream as the resampler makes it; damage is skipped as said above.

    Raises:
        AudioError: Terminal. Not one packet could be decoded, or the stream changes half-way.
    """
    block_count = 0
    for frame in _decode_frames(container):
        frame.pts = None  # samples are counted; broken timestamps would stall the resampler
        for block in _resample(resampler, frame):
            block_count += 1
            yield block
    if not block_count:
        raise AudioError(QuarantineReason.NOT_AUDIO, "not one audio packet could be decoded")
    yield from _resample(resampler, None)


def _decode_frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    stream = container.streams.audio[0]
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return  # the file ends in the middle of a packet; what was read before it stands
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from frames


def _resample(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
    try:
        resampled = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError) as error:
        # ValueError: the stream changes its sample rate or channel count half-way.
        detail = f"samples cannot be converted ({type(error).__name__})"
        raise AudioError(QuarantineReason.NOT_AUDIO, detail) from error
    for part in resampled:
        if part.samples:
            yield part
