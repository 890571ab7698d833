"""Taking in an uploaded file: raw bytes, of any content type, with or without a known length.

The official SDKs differ in both (Python sends no content type, Node does; unknown lengths come
chunked), so neither is looked at. What the bytes are is found out only when a job uses them, as
with the real service; ``app.py`` is the caller.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from transcription_pipeline.emulators.assemblyai.jobs import Upload
from transcription_pipeline.emulators.assemblyai.refusals import UPLOAD_TOO_LARGE, Refusal
from transcription_pipeline.emulators.backstage import Backstage

_MAX_BYTES = 2_200_000_000
"""FAQ "What are the size and duration limits", 2026: 2.2 GB."""


async def receive_upload(
    chunks: AsyncIterator[bytes], project: str, backstage: Backstage, *, keeps: bool
) -> Upload | None:
    """Stream an upload in; keep its bytes only if some job will look at them.

    Returns:
        The upload, or None for an empty body.

    Raises:
        Refusal: It is larger than the service takes; neither code nor text is documented.
        ClientDisconnect: The client went away; nothing is kept.
    """
    upload_id = str(uuid.uuid4())
    path = backstage.folder / f"upload-{upload_id}" if keeps else None
    is_whole = False
    try:
        digest, size = await _receive(chunks, path)
        is_whole = size > 0
    finally:
        if path is not None and not is_whole:
            path.unlink(missing_ok=True)
    if not is_whole:
        return None
    return Upload(upload_id, project, digest, size, backstage.clock.now(), path)


async def _receive(chunks: AsyncIterator[bytes], path: Path | None) -> tuple[str, int]:
    digest, size = hashlib.blake2b(digest_size=16), 0
    file = path.open("wb") if path is not None else None
    try:
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            if size > _MAX_BYTES:
                raise Refusal(UPLOAD_TOO_LARGE)
            if file is not None:
                file.write(chunk)
    finally:
        if file is not None:
            file.close()
    return digest.hexdigest(), size
