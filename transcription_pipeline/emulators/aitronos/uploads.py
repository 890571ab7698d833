"""Receiving a file as ``multipart/form-data``, in the field ``file`` ("Upload audio").

The formats are those of the page; its limit of size is not documented, and neither is how the format
is found out: nobody looks here. ``app.py`` calls this.
"""

from __future__ import annotations

import hashlib
import uuid
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

from starlette.requests import Request

from transcription_pipeline.emulators.aitronos.jobs import Upload
from transcription_pipeline.emulators.aitronos.refusals import Refusal


async def receive_upload(request: Request, account: str, folder: Path | None) -> Upload:
    """Take the file of one request, and keep it where there is a folder."""
    kind = request.headers.get("content-type", "")
    head = b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n"
    message = message_from_bytes(head + await request.body(), policy=HTTP)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return _keep(content, account, folder)
    raise Refusal("VALIDATION_ERROR", "file is missing.")


def _keep(content: bytes, account: str, folder: Path | None) -> Upload:
    upload_id = uuid.uuid4().hex
    path = folder / f"upload-{upload_id}" if folder else None
    if path is not None:
        path.write_bytes(content)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Upload(upload_id, account, digest, path)
