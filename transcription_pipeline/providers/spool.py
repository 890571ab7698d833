"""A folder that plays the part of a provider's own books, where the provider has none to ask.

What belongs here: answers under the id of their attempt, there whole or not at all, and audio for as
long as it is handed over. What does not: where answers come from (``local.py`` and
``aitronos_direct.py``, the only callers). All workers of a provider need the same folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.base import Audio

# Names in the spool are made of attempt ids; anything else could name a file outside it.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCRAP_SUFFIX = ".scrap"
# No recording takes a day; older scraps were left by a killed process.
_SCRAP_AGE_S = 24 * 3600


class Spool:
    """One folder; it is made when the first thing is put into it."""

    def __init__(self, folder: Path, *, provider: str) -> None:
        self._folder = folder
        self._provider = provider
        self._is_swept = False

    def path_of(self, attempt_id: str, extension: str = ".json") -> Path:
        """Return where an attempt's answer lies, if there is one.

        Raises:
            UnexpectedResponse: An id that no attempt has, as a person may have typed it.
        """
        if not _SAFE_ID.fullmatch(attempt_id):
            raise UnexpectedResponse(
                f"not an attempt id: {attempt_id!r}", provider=self._provider, operation="spool"
            )
        return self._folder / f"{attempt_id}{extension}"

    @asynccontextmanager
    async def borrow(self, attempt_id: str, audio: Audio) -> AsyncIterator[Path]:
        """Bring the audio to a scrap file and remove it afterwards.

        Raises ``StorageError`` and ``OSError`` where it cannot be read or kept.
        """
        name = self.path_of(attempt_id).stem
        await asyncio.to_thread(self._prepare)
        # Unique names: another process may be at work on the same attempt, with the same result.
        with tempfile.NamedTemporaryFile(
            dir=self._folder, prefix=f"{name}.audio.", suffix=_SCRAP_SUFFIX
        ) as scrap:
            async for chunk in audio.open_stream():
                await asyncio.to_thread(scrap.write, chunk)
            await asyncio.to_thread(scrap.flush)
            yield Path(scrap.name)

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._is_swept:
            self._is_swept = True
            oldest = time.time() - _SCRAP_AGE_S
            for scrap in self._folder.glob(f"*{_SCRAP_SUFFIX}"):
                if scrap.stat().st_mtime < oldest:
                    scrap.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write so that the file is whole and stays, or is not there: temporary, fsync, rename."""
    scrap: IO[bytes]
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f"{path.stem}.", suffix=_SCRAP_SUFFIX, delete=False
    ) as scrap:
        scrap.write(content)
        scrap.flush()
        os.fsync(scrap.fileno())
    Path(scrap.name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself, too, must survive a power cut
    finally:
        os.close(folder)
