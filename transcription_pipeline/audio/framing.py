"""What FFmpeg does not tell about a container: its proper name, and whether its end is missing.

What belongs here: a few magic numbers of WAV, MP4, Ogg, MP3 and WebM, read from bytes. What does
not: opening or demuxing anything. Pure; only ``probe.py`` calls it.
"""

from __future__ import annotations

from collections.abc import Callable

# Containers whose header states the length of what follows. Missing on purpose: raw streams
# (aac, amr, ac3), for which FFmpeg divides the size by a bit rate and calls it a duration.
_WITH_LENGTH = frozenset(
    {
        *("wav", "w64", "aiff", "caf", "flac", "asf", "avi", "wv", "ape", "tta"),
        *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"),
    }
)
# Sizes at which a recorder that cannot seek back says "unknown": 0 and anything near 2 or 4 GiB.
_UNKNOWN_RIFF_SIZE = 0x7FFF_0000
# A last block that was not flushed is no reason to refuse a recording.
_WHOLE_SHARE = 0.9
_OGG_LAST_PAGE = 0x04
_OGG_HEADER_BYTES = 27


def name_container(format_name: str, head: bytes) -> str:
    """Return one name where FFmpeg's demuxer covers a family of containers."""
    if format_name.startswith("mov,"):
        brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
        return {b"M4A ": "m4a", b"qt  ": "mov"}.get(brand, "mp4")
    if format_name.startswith("matroska"):
        return "webm" if b"webm" in head[:64] else "matroska"
    return format_name


def has_length_header(format_name: str, head: bytes) -> bool:
    """Say whether the duration is stated in the header, rather than estimated from a bit rate."""
    if format_name == "mp3":
        start = 0
        if head.startswith(b"ID3") and len(head) >= 10:
            # The tag's size is written in four bytes of seven bits.
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            start = 10 + size
        first_frame = head[start : start + 256]
        return any(mark in first_frame for mark in (b"Xing", b"Info", b"VBRI"))
    return format_name in _WITH_LENGTH


def is_cut_riff(head: bytes, size_bytes: int) -> bool:
    """Say whether a WAV promises more samples than the object has.

    FFmpeg shortens the duration of such a file without a word, so it has to be asked of the header.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    offset = 12
    while offset + 8 <= len(head):
        name = head[offset : offset + 4]
        length = int.from_bytes(head[offset + 4 : offset + 8], "little")
        if name == b"data":
            present = size_bytes - offset - 8
            return 0 < length < _UNKNOWN_RIFF_SIZE and present < length * _WHOLE_SHARE
        offset += 8 + length + length % 2  # chunks are padded to even lengths
    return False


def is_cut_mp4(peek: Callable[[int, int], bytes], size_bytes: int) -> bool:
    """Say whether this is an MP4 whose index is missing or whose last box runs past the end."""
    if peek(4, 4) != b"ftyp":
        return False
    offset = 0
    has_index = False
    for _ in range(1_000):  # a bound for hostile files; real ones have a handful of boxes
        header = peek(offset, 16)
        if len(header) < 8:
            break
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")  # a box beyond 4 GiB
        has_index = has_index or header[4:8] == b"moov"
        if length == 0:
            break  # "until the end of the file"
        offset += max(length, 8)
    return offset > size_bytes or not has_index


def is_last_ogg_page(tail: bytes) -> bool:
    """Say whether the object ends with a complete Ogg page that is marked as the last one."""
    start = tail.rfind(b"OggS")
    if start < 0 or len(tail) < start + _OGG_HEADER_BYTES:
        return False
    flags, segment_count = tail[start + 5], tail[start + 26]
    lacing = tail[start + _OGG_HEADER_BYTES : start + _OGG_HEADER_BYTES + segment_count]
    end = start + _OGG_HEADER_BYTES + segment_count + sum(lacing)
    return bool(flags & _OGG_LAST_PAGE) and len(lacing) == segment_count and end <= len(tail)
