"""A file and a few fields as ``multipart/form-data``, in constant memory.

What belongs here: the frame around the bytes, as both of Aitronos's calls that take a file want it,
and the one of them that is free. What does not: the one that is paid (``aitronos_direct.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.aitronos_answers import NAME, UploadAnswer, read
from transcription_pipeline.providers.aitronos_books import STUB
from transcription_pipeline.providers.aitronos_options import CONTENT_TYPES
from transcription_pipeline.providers.base import Audio
from transcription_pipeline.providers.http import ProviderHttp


@dataclass(frozen=True, slots=True)
class Form:
    """The body of one request."""

    chunks: AsyncIterator[bytes]
    size_bytes: int
    headers: Mapping[str, str]


def make_form(
    audio: Audio,
    field: str,
    stem: str,
    chunks: AsyncIterator[bytes],
    fields: Mapping[str, str] | None = None,
) -> Form:
    """Wrap a recording, under a name of ours and never the customer's.

    Args:
        audio: What it is; its size is that of ``chunks``.
        field: Name of the field the file goes in.
        stem: Name of the file, without extension: letters and digits.
        chunks: The bytes.
        fields: What stands before the file; values without line breaks.
    """
    boundary = f"tp{stem}"
    container = audio.facts.container if audio.facts else "audio"
    kind = CONTENT_TYPES.get(container, "application/octet-stream")
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (fields or {}).items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
        f'filename="{stem}.{container}"\r\nContent-Type: {kind}\r\n\r\n'
    )
    parts = head.encode(), f"\r\n--{boundary}--\r\n".encode()
    return Form(
        _wrap(parts[0], chunks, parts[1]),
        len(parts[0]) + audio.size_bytes + len(parts[1]),
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )


async def upload(http: ProviderHttp, audio: Audio) -> str:
    """Hand a recording over and return the URL it got ("Upload audio": the field is ``file``).

    The vendor's packages call this a stub that may answer 501; then there is no way but URLs.
    """
    form = make_form(audio, "file", audio.recording_id, audio.open_stream())
    path, size_bytes = "/v1/audio/files/upload", form.size_bytes
    try:
        answer = await http.stream(
            "upload", "POST", path, form.chunks, size_bytes=size_bytes, headers=form.headers
        )
    except UnexpectedResponse as error:
        if error.status_code != 501:
            raise
        raise UnexpectedResponse(
            f"{STUB}; set delivery to url", provider=NAME, operation="upload", status_code=501
        ) from None
    return read(answer, UploadAnswer, "upload").data.file_url


async def _wrap(head: bytes, chunks: AsyncIterator[bytes], tail: bytes) -> AsyncIterator[bytes]:
    yield head
    async for chunk in chunks:
        yield chunk
    yield tail
