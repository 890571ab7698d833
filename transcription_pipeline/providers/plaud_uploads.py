"""Plaud's multipart upload: a recording in, the address to submit out.

What belongs here: the order of its three steps, parts, when an upload starts over, and mp3 made of
what is not taken; none of it is paid. What does not: transport (``http.py``), encoding
(``audio/transcode.py``) and what a refusal means for a job (``plaud.py``, the only caller). Wire
rules are from docs.plaud.ai (File Upload API), read 2026-11-21, unless a comment names another
source. Request keys are snake_case, answers and what stands in ``part_list`` PascalCase.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from hashlib import md5
from typing import IO, Any, TypeVar

import msgspec

from transcription_pipeline.audio.transcode import transcode_to_mp3
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import (
    AudioError,
    AuthenticationFailed,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedResponse,
)
from transcription_pipeline.providers.base import Audio
from transcription_pipeline.providers.http import ProviderHttp
from transcription_pipeline.providers.plaud_answers import NAME, Uploaded, UploadPlan, read
from transcription_pipeline.providers.plaud_options import find_filetype
from transcription_pipeline.providers.plaud_tokens import Tokens

MAX_CHUNK_BYTES = 16 * 1024 * 1024
"""Two of them are in memory per upload. The page's samples say 5 MiB."""
UPLOADS_AT_ONCE = 8
TRIES = 3
"""How often one upload is begun, which costs nothing."""
_READ_BYTES = 1024 * 1024
_PATH = "/open/partner/files/upload"
T = TypeVar("T")


class Uploads:
    """The files of one user."""

    def __init__(self, door: ProviderHttp, tokens: Tokens) -> None:
        self._door = door
        self._tokens = tokens
        self._at_once = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._takes_m4a = True

    async def hand_over(self, audio: Audio) -> Uploaded:
        """Upload a recording as it is, or as mp3 where its format is not taken.

        Raises:
            RequestRejected: Terminal. This upload is not taken.
            AudioError: Terminal. It cannot be transcoded, or is not as long as it was listed.
            ProviderError: For now there is no upload.
        """
        async with self._at_once:
            filetype = find_filetype(audio.facts)
            if filetype == "mp3":
                return await self._upload(audio.open_stream, audio.size_bytes, "mp3")
            if filetype == "m4a" and self._takes_m4a:
                try:
                    return await self._upload(audio.open_stream, audio.size_bytes, "m4a")
                except RequestRejected as error:
                    if error.status_code == 402:
                        raise
                    self._takes_m4a = False  # documented for transcription, not for uploads
            return await self._upload_as_mp3(audio)

    async def _upload_as_mp3(self, audio: Audio) -> Uploaded:
        try:
            # Files without a name: whatever ends this process, nothing of them stays.
            with tempfile.TemporaryFile() as mp3:
                with tempfile.TemporaryFile() as source:
                    async for chunk in audio.open_stream():
                        await asyncio.to_thread(source.write, chunk)
                    source.seek(0)
                    await _transcode(source, mp3)
                return await self._upload(lambda: _read(mp3), mp3.seek(0, os.SEEK_END), "mp3")
        except OSError as error:
            raise ProviderUnavailable(
                f"no temporary file: {type(error).__name__}",
                provider=NAME,
                operation="transcode",
            ) from None

    async def _upload(
        self, open_stream: Callable[[], AsyncIterator[bytes]], size_bytes: int, filetype: str
    ) -> Uploaded:
        for _ in range(TRIES - 1):
            plan = await self._plan(size_bytes, filetype)
            try:
                return await self._carry_out(plan, open_stream(), size_bytes, filetype)
            except (ProviderUnavailable, RequestRejected):
                # Addresses die; and whether an upload that is complete can be completed again, after
                # an answer was lost, is not documented.
                continue
        plan = await self._plan(size_bytes, filetype)
        return await self._carry_out(plan, open_stream(), size_bytes, filetype)

    async def _plan(self, size_bytes: int, filetype: str) -> UploadPlan:
        wish = {"filesize": size_bytes, "filetype": filetype}
        plan = await self._post("presign", "generate-presigned-urls", wish, UploadPlan)
        plan.parts.sort(key=lambda part: part.part_number)
        count = -(-size_bytes // plan.chunk_size)
        numbers = [part.part_number for part in plan.parts]
        if plan.chunk_size > MAX_CHUNK_BYTES or numbers != list(range(1, count + 1)):
            raise UnexpectedResponse(
                f"{len(numbers)} parts of {plan.chunk_size} bytes for {size_bytes} bytes",
                provider=NAME,
                operation="presign",
            )
        return plan

    async def _carry_out(
        self, plan: UploadPlan, chunks: AsyncIterator[bytes], size_bytes: int, filetype: str
    ) -> Uploaded:
        digest = md5(usedforsecurity=False)
        etags: list[dict[str, Any]] = []
        async for content in cut(chunks, plan.chunk_size, size_bytes):
            digest.update(content)
            part = plan.parts[len(etags)]
            answer = await self._door.send_elsewhere("part", "PUT", part.presigned_url, content)
            # With its quotes, as in the page's sample; the vendor's apps strip them.
            etag = answer.headers.get("ETag")
            if not etag:
                raise UnexpectedResponse("a part without ETag", provider=NAME, operation="part")
            etags.append({"PartNumber": part.part_number, "ETag": etag})
        fields = {
            "file_id": plan.file_id,
            "upload_id": plan.upload_id,
            "part_list": etags,
            "filetype": filetype,
            "file_md5": digest.hexdigest(),
        }
        uploaded = await self._post("complete", "complete-upload", fields, Uploaded)
        if (uploaded.file_md5 or digest.hexdigest()).lower() != digest.hexdigest():
            raise ProviderUnavailable("other bytes arrived", provider=NAME, operation="complete")
        return uploaded

    async def _post(self, operation: str, name: str, fields: dict[str, Any], shape: type[T]) -> T:
        body = msgspec.json.encode(fields)
        token = await self._tokens.user.get()
        try:
            return await self._post_as(token, operation, name, body, shape)
        except AuthenticationFailed:
            self._tokens.user.drop(token)  # it may have ended early; once
        return await self._post_as(await self._tokens.user.get(), operation, name, body, shape)

    async def _post_as(
        self, token: str, operation: str, name: str, body: bytes, shape: type[T]
    ) -> T:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        answer = await self._door.send(
            operation, "POST", f"{_PATH}/{name}", body=body, headers=headers
        )
        return read(answer, shape, operation)


async def cut(
    chunks: AsyncIterator[bytes], part_bytes: int, size_bytes: int
) -> AsyncIterator[bytes]:
    """Cut a stream into parts of exactly ``part_bytes``; the last one may be shorter.

    Raises ``AudioError`` for a stream of another length than ``size_bytes``.
    """
    part = bytearray()
    missing = size_bytes
    async for chunk in chunks:
        missing -= len(chunk)
        if missing < 0:
            break
        rest = memoryview(chunk)
        while len(part) + len(rest) >= part_bytes:
            room = part_bytes - len(part)
            part += rest[:room]
            rest = rest[room:]
            yield bytes(part)
            part.clear()
        part += rest
    if missing:
        detail = f"{size_bytes - missing} bytes came, {size_bytes} were listed"
        raise AudioError(QuarantineReason.TRUNCATED, detail)
    if part:
        yield bytes(part)


async def _transcode(source: IO[bytes], mp3: IO[bytes]) -> None:
    """Encode in a thread; when nobody waits any more, stop it before its files are closed."""
    stop = threading.Event()
    encoding = asyncio.create_task(asyncio.to_thread(transcode_to_mp3, source, mp3, stop))
    try:
        await asyncio.shield(encoding)
    finally:
        stop.set()
        await asyncio.wait([encoding])
        encoding.exception()  # marked as seen: whoever waited may be gone


async def _read(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
        yield chunk
