"""What an audio object is, and whether it is whole, from a few ranged reads of its content.

What belongs here: container, codec and duration, and every reason to put a recording aside before
money is spent on it. What does not: where the ranges come from (``storage/``) and the limits of a
single provider (its ``capabilities``). ``pipeline.py`` calls ``probe`` on every new recording.

Headers lie in one direction: a recorder writes the duration first and the audio after it, so a
file cut in half still announces its full length, and a provider would bill or reject it. Hence a
file small enough to be read is also demuxed, and what is there is compared with what was promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
import av.error

from transcription_pipeline.audio.formats import open_audio
from transcription_pipeline.audio.framing import (
    has_length_header,
    is_cut_mp4,
    is_cut_riff,
    is_last_ogg_page,
    name_container,
)
from transcription_pipeline.audio.ranges import RangeFile, ReadRange
from transcription_pipeline.domain.recording import AudioFacts, QuarantineReason
from transcription_pipeline.errors import AudioError

VERIFY_LIMIT_BYTES = 64 * 1024 * 1024
"""Up to this size the whole object is read and demuxed; beyond it the header is believed."""

MEASURE_LIMIT_BYTES = 1024 * 1024 * 1024
"""Up to this size an object whose header names no duration is read to find it."""

MIN_DURATION_MS = 160
"""The shortest audio any of the providers accepts (AssemblyAI, read 2026-11)."""

# Less than this share of the promised duration is a truncated file. Padding, priming samples and
# rounding stay within a percent; a recorder that died loses far more.
_WHOLE_SHARE = 0.9
# A stream of which none of the first packets can be decoded is not what its header says.
_TRIED_PACKET_COUNT = 50
# Every whole container starts and ends within these: the largest Ogg page is 65,307 bytes.
_HEAD_BYTES = _TAIL_BYTES = 64 * 1024
_MICROSECONDS_PER_MS = 1_000


def probe(read_range: ReadRange, size_bytes: int) -> AudioFacts:
    """Find out what the object is, from its content and never from its name.

    Args:
        read_range: ``read_range(start, length)`` returns exactly these bytes of the object. Its
            errors pass through unchanged: a store that does not answer says nothing of the audio.
        size_bytes: The object's size, from the listing.

    Raises:
        AudioError: Terminal. ``reason`` is the ``QuarantineReason`` to record.

    Effects:
        Up to ``VERIFY_LIMIT_BYTES`` the object is read once. Above, a handful of 64 KiB ranges.

    Safe to repeat:
        Yes.
    """
    if size_bytes == 0:
        raise AudioError(QuarantineReason.ZERO_BYTES, "the object is empty")
    file = RangeFile(read_range, size_bytes, budget_bytes=VERIFY_LIMIT_BYTES)
    try:
        facts = _probe_file(file)
    except AudioError:
        if file.failure is not None:
            raise file.failure from None  # FFmpeg took a failed read for the end of the file
        raise
    if file.failure is not None:
        raise file.failure
    if facts.duration_ms < MIN_DURATION_MS:
        detail = f"{facts.duration_ms} ms of audio, {MIN_DURATION_MS} ms are needed"
        raise AudioError(QuarantineReason.TOO_SHORT, detail)
    return facts


def _probe_file(file: RangeFile) -> AudioFacts:
    head = file.peek(0, _HEAD_BYTES)
    if is_cut_riff(head, file.size_bytes):
        raise AudioError(QuarantineReason.TRUNCATED, "the wav header promises more samples")
    if head.startswith(b"OggS"):
        # Ogg states no length; its writer marks the last page, and only that one.
        tail_start = max(file.size_bytes - _TAIL_BYTES, 0)
        if not is_last_ogg_page(file.peek(tail_start, _TAIL_BYTES)):
            raise AudioError(QuarantineReason.TRUNCATED, "the ogg stream has no last page")
    try:
        with open_audio(file) as container:
            return _read_facts(container, file, head)
    except AudioError as error:
        is_refused = error.reason == QuarantineReason.NOT_AUDIO
        if is_refused and is_cut_mp4(file.peek, file.size_bytes):
            # Most recorders write the index of an mp4 last; without it nothing can be found.
            raise AudioError(QuarantineReason.TRUNCATED, "the mp4 index is missing") from error
        raise


def _read_facts(container: av.container.InputContainer, file: RangeFile, head: bytes) -> AudioFacts:
    stream = container.streams.audio[0]
    format_name = container.format.name
    promised_ms = (container.duration or 0) // _MICROSECONDS_PER_MS
    duration_ms = promised_ms
    packets = _demux(container)
    if file.size_bytes <= VERIFY_LIMIT_BYTES or promised_ms <= 0:
        # Twice, because a file may keep its streams apart and send the reader to and fro.
        file.read_sequentially(2 * MEASURE_LIMIT_BYTES)
        present_ms = _measure_ms(packets, stream)
        if not has_length_header(format_name, head):
            duration_ms = present_ms
        elif present_ms < promised_ms * _WHOLE_SHARE:
            detail = f"{present_ms} of {promised_ms} ms are present"
            raise AudioError(QuarantineReason.TRUNCATED, detail)
        elif promised_ms < present_ms * _WHOLE_SHARE:
            duration_ms = present_ms  # a header written for the first fragment, or never updated
    else:
        _require_decodable(packets)
    return AudioFacts(
        container=name_container(format_name, head),
        codec=stream.codec_context.codec.canonical_name,
        sample_rate_hz=stream.sample_rate,
        channel_count=stream.channels,
        duration_ms=duration_ms,
    )


def _demux(container: av.container.InputContainer) -> Iterator[av.Packet]:
    """Yield the packets up to the end or the first one that cannot be read."""
    try:
        for packet in container.demux(container.streams.audio[0]):
            if packet.size:  # the last one is empty and only flushes the decoder
                yield packet
    except av.error.FFmpegError:
        return


def _require_decodable(packets: Iterator[av.Packet]) -> list[av.Packet]:
    """Return the packets read until one could be decoded.

    A few lucky bytes in any file look like the start of an mp3 frame; they do not decode.
    """
    tried = []
    for packet in packets:
        tried.append(packet)
        try:
            if packet.decode():
                return tried
        except av.error.FFmpegError:
            pass
        if len(tried) == _TRIED_PACKET_COUNT:
            break
    detail = f"none of the first {len(tried)} audio packets can be decoded"
    raise AudioError(QuarantineReason.NOT_AUDIO, detail)


def _measure_ms(packets: Iterator[av.Packet], stream: av.AudioStream) -> int:
    """Return how much audio is really there, without decoding it all.

    The larger of two measures: the sum of durations misses packets that state none and pauses that
    were not sent (opus in webm); the span of timestamps misses streams that start over.
    """
    total = 0
    first: int | None = None
    last = 0
    for packet in chain(_require_decodable(packets), packets):
        duration = packet.duration or 0
        total += duration
        if packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            last = max(last, packet.pts + duration)
    ticks = max(total, last - first) if first is not None else total
    return round(float(ticks * stream.time_base * 1_000))
