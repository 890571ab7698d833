"""Fetching the audio a job names, at the moment the job starts, like the real service does.

What went wrong is told as a value with the HTTP status or the reason; the sentence a vendor makes
of it is the service's. Presigned URLs are sent byte for byte as they were given, because any
re-encoding would break their signature.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
from yarl import URL

_SNIFF_BYTES = 512
_CHUNK_BYTES = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=3_600, sock_connect=10, sock_read=60)

FetchFailure = Literal["status", "unreachable", "too_large"]


class FetchFailed(Exception):
    """The audio could not be had; ``status`` is the HTTP status when there was one."""

    def __init__(self, kind: FetchFailure, *, status: int = 0, reason: str = "") -> None:
        self.kind = kind
        self.status = status
        self.reason = reason
        super().__init__(f"{kind} {status} {reason}".strip())


async def fetch(session: aiohttp.ClientSession, url: str, path: Path, *, max_bytes: int) -> int:
    """Stream ``url`` into ``path`` and return the number of bytes.

    Raises:
        FetchFailed: Nothing usable was received; ``path`` may hold a part.
    """
    try:
        async with session.get(URL(url, encoded=True), timeout=_TIMEOUT) as response:
            if response.status >= 400:
                raise FetchFailed(
                    "status", status=response.status, reason=response.reason or "Unknown"
                )
            received = 0
            with path.open("wb") as file:
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    received += len(chunk)
                    if received > max_bytes:
                        raise FetchFailed("too_large")
                    file.write(chunk)
            return received
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise FetchFailed("unreachable", reason=type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Sound:
    """What a file turned out to be."""

    duration_ms: int | None
    """None when it holds no audio."""
    channel_count: int
    mime_type: str
    description: str
    """As the ``file`` command words it."""


async def listen(path: Path) -> Sound:
    """Find out, without decoding all of it, whether a file is audio and how long it is."""
    return await asyncio.to_thread(_listen, path)


def _listen(path: Path) -> Sound:
    with path.open("rb") as file:
        start = file.read(_SNIFF_BYTES)
    mime_type, description = _name(start)
    import av  # slow to load, and needed only by jobs that fetch

    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            duration_ms = _duration_ms(container, stream)
            return Sound(duration_ms, stream.channels, mime_type, description)
    except (av.error.FFmpegError, IndexError, ValueError):
        return Sound(None, 0, mime_type, description)


def _duration_ms(container: Any, stream: Any) -> int:
    """Read the length from the container, or count packets where it does not say."""
    if stream.duration and stream.time_base:
        return int(float(stream.duration * stream.time_base) * 1000)
    if container.duration:
        return int(container.duration // 1000)  # libav counts microseconds here
    end_s = 0.0
    for packet in container.demux(stream):
        if packet.pts is not None and packet.time_base is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return int(end_s * 1000)


def _name(start: bytes) -> tuple[str, str]:
    """Name the kind of file by its first bytes, roughly as the ``file`` command does."""
    lowered = start.lstrip().lower()
    if not start:
        return "application/x-empty", "empty"
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "text/html", "HTML document, ASCII text"
    if lowered.startswith((b"{", b"[")):
        return "application/json", "JSON data"
    if b"\0" not in start and all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        return "text/plain", "ASCII text"
    return "application/octet-stream", "data"
