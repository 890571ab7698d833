"""A remote object as a seekable file for FFmpeg, fetched in blocks and never more than allowed.

What belongs here: blocks, a small cache and the budget of bytes. What does not: the store behind
``read_range`` and any knowledge of audio. Only ``probe.py`` calls it.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable

from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import AudioError

ReadRange = Callable[[int, int], bytes]
"""``read_range(start, length)`` returns exactly these bytes of the object, or raises."""

# Headers are small and scattered: a larger block would fetch what nobody looks at.
_HEADER_BLOCK_BYTES = 64 * 1024
# Reading everything is a matter of round trips: a request per mebibyte instead of sixteen.
_SEQUENTIAL_BLOCK_BYTES = 1024 * 1024
# Enough for a file that interleaves a few places; 16 MiB at most.
_CACHED_BLOCK_COUNT = 16


class RangeFile:
    """A read-only binary file over ranged reads. It has no name, so nothing can be told from one.

    FFmpeg sees any error of a callback as the end of the file; ``failure`` keeps what it really
    was, so that an unreachable store is not mistaken for a truncated recording.
    """

    def __init__(self, read_range: ReadRange, size_bytes: int, *, budget_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.failure: Exception | None = None
        self._read_range = read_range
        self._budget_bytes = budget_bytes
        self._block_bytes = _HEADER_BLOCK_BYTES
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0

    def read_sequentially(self, budget_bytes: int) -> None:
        """Expect everything to be read from here on: larger blocks, and a budget of its own."""
        self._budget_bytes = budget_bytes
        self._block_bytes = _SEQUENTIAL_BLOCK_BYTES
        self._blocks.clear()

    def peek(self, start: int, length: int) -> bytes:
        """Return bytes without moving; fewer at the end of the object."""
        end = min(start + length, self.size_bytes)
        parts = []
        while start < end:
            block_start = start - start % self._block_bytes
            block = self._get_block(block_start)
            part = block[start - block_start : end - block_start]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes, as a file does."""
        wanted = self.size_bytes - self._position if length < 0 else length
        try:
            content = self.peek(self._position, wanted)
        except Exception as error:
            self.failure = error
            raise
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; positions beyond the end read nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def _get_block(self, start: int) -> bytes:
        block = self._blocks.get(start)
        if block is not None:
            self._blocks.move_to_end(start)
            return block
        length = min(self._block_bytes, self.size_bytes - start)
        self._budget_bytes -= length
        if self._budget_bytes < 0:
            raise AudioError(
                QuarantineReason.TOO_LARGE, "too much has to be read to find its length"
            )
        block = self._read_range(start, length)
        if len(block) != length:
            raise AudioError(
                QuarantineReason.TRUNCATED, f"{len(block)} bytes at {start}, {length} were listed"
            )
        self._blocks[start] = block
        if len(self._blocks) > _CACHED_BLOCK_COUNT:
            self._blocks.popitem(last=False)
        return block
