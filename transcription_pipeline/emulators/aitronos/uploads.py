"""Receiving a file as ``multipart/form-data``: in the field ``file`` ("Upload audio"), or to be heard.

The formats are those of the page; its limit of size is not documented, and neither is how the format
is found out: nobody looks here. ``app.py`` calls this.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

from starlette.requests import Request

from transcription_pipeline.emulators.aitronos.jobs import Upload
from transcription_pipeline.emulators.aitronos.refusals import Refusal


@dataclass(slots=True)
class Form:
    """What one request brought."""

    upload: Upload
    file_stem: str
    fields: dict[str, str]


async def receive_form(request: Request, field: str, account: str, folder: Path | None) -> Form:
    """Take the file of one request and what stands beside it; keep it where there is a folder."""
    kind = request.headers.get("content-type", "")
    head = b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n"
    message = message_from_bytes(head + await request.body(), policy=HTTP)
    upload, stem, fields = None, "", {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        if name == field and isinstance(content, bytes):
            upload, stem = _keep(content, account, folder), Path(part.get_filename("")).stem
        elif isinstance(content, bytes):
            fields[name] = content.decode("utf-8", "replace")
    if upload is None:
        raise Refusal("VALIDATION_ERROR", f"{field} is missing.")
    return Form(upload, stem, fields)


def _keep(content: bytes, account: str, folder: Path | None) -> Upload:
    upload_id = uuid.uuid4().hex
    path = folder / f"upload-{upload_id}" if folder else None
    if path is not None:
        path.write_bytes(content)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Upload(upload_id, account, digest, path)
