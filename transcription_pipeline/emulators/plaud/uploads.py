"""The object store that files go to: signed addresses, parts, and the whole file made of them.

It stands outside the API's namespace and behaves as S3 does with a multipart upload: an address is
good for one verb and for a time, a part's ETag is its MD5 in quotes, and sizes are looked at only at
completion. Bytes are streamed to disk; ``app.py`` is the caller.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request

from transcription_pipeline.emulators.clock import to_utc
from transcription_pipeline.emulators.plaud.door import SIGNING_KEY
from transcription_pipeline.emulators.plaud.jobs import Part, PlaudSettings, Upload
from transcription_pipeline.emulators.plaud.refusals import Refusal, StoreRefusal
from transcription_pipeline.emulators.plaud.requests import ToldPart

STORE_PREFIX = "/_storage/"
PART_PATH = STORE_PREFIX + "parts/{file_id}/{number:int}"
FILE_PATH = STORE_PREFIX + "files/{file_id}"
_INSTANT = "%Y%m%dT%H%M%SZ"
_BLOCK_BYTES = 1024 * 1024


def sign_url(method: str, url: str, at: float, life_s: int) -> str:
    """Make an address good for one verb, from a moment on, for some seconds."""
    query = urlencode({"X-Amz-Date": to_utc(at).strftime(_INSTANT), "X-Amz-Expires": life_s})
    signature = _sign(method, urlsplit(url).path, query)
    return f"{url}?{query}&X-Amz-Signature={signature}"


def check_url(method: str, url: str, now: float) -> None:
    """Check that an address is good now; anything added to its query spoils it."""
    parts = urlsplit(url)
    query, _, signature = parts.query.partition("&X-Amz-Signature=")
    wanted = _sign(method, parts.path, query)
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise StoreRefusal(403, "SignatureDoesNotMatch")
    told = dict(parse_qsl(query))
    since = datetime.strptime(told["X-Amz-Date"], _INSTANT).replace(tzinfo=UTC).timestamp()
    if now > since + int(told["X-Amz-Expires"]):
        raise StoreRefusal(403, "AccessDenied")  # "Request has expired"


def find_file_id(url: str) -> str | None:
    """Find the FileId in a DownloadUrl, whatever its host; None in any other URL."""
    path, prefix = urlsplit(url).path, FILE_PATH.partition("{")[0]
    return path.removeprefix(prefix) if path.startswith(prefix) else None


def part_path(folder: Path, upload: Upload, number: int) -> Path:
    """Say where a part lies."""
    return folder / f"part-{upload.id}-{number}"


async def receive_part(request: Request, path: Path) -> Part:
    """Stream one part to disk; it takes its place only when it is whole."""
    if "authorization" in request.headers:
        raise StoreRefusal(400, "InvalidArgument")  # S3: only one auth mechanism allowed
    if "content-length" not in request.headers:
        raise StoreRefusal(411, "MissingContentLength")
    digest, size = hashlib.md5(usedforsecurity=False), 0
    coming = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    try:
        with coming.open("wb") as file:
            async for chunk in request.stream():
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        coming.replace(path)
    finally:
        coming.unlink(missing_ok=True)
    return Part(digest.hexdigest(), size)


def check_parts(upload: Upload, told: Sequence[ToldPart], etags: str) -> None:
    """Check a completion's list as S3 does: whole, in order, as stored, and none too small."""
    numbers = [one.part_number for one in told]
    if numbers != sorted(set(numbers)):
        raise _failed("InvalidPartOrder")
    for one in told:
        part = upload.parts.get(one.part_number)
        if part is None or one.etag not in _spell(part.etag, etags):
            raise _failed("InvalidPart")
    if numbers != list(range(1, upload.part_count + 1)):
        raise _failed("InvalidPart")
    for number in numbers[:-1]:
        size = upload.parts[number].size_bytes
        if size != upload.chunk_bytes:
            # S3 has a least size for parts and no fixed one; that larger ones fail is our choice.
            raise _failed("EntityTooSmall" if size < upload.chunk_bytes else "EntityTooLarge")
    if sum(part.size_bytes for part in upload.parts.values()) != upload.size_bytes:
        raise Refusal(400, "FILE_SIZE_INVALID: the parts are not as long as was announced")


def join_parts(folder: Path, upload: Upload) -> tuple[Path, str]:
    """Make the whole file of its parts, and return its MD5 in hex; the parts stay."""
    digest, whole = hashlib.md5(usedforsecurity=False), folder / f"file-{upload.id}"
    with whole.open("wb") as file:
        for number in range(1, upload.part_count + 1):
            with part_path(folder, upload, number).open("rb") as part:
                while block := part.read(_BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
    return whole, digest.hexdigest()


def check_filetype(filetype: str, settings: PlaudSettings) -> None:
    """Refuse what the upload API does not take; it takes less than the page of submits says."""
    if filetype not in settings.filetypes:
        raise Refusal(400, "FILE_TYPE_INVALID: this file type is not supported")


def _spell(etag: str, spelling: str) -> set[str]:
    spellings = {"quoted": f'"{etag}"', "bare": etag}
    return set(spellings.values()) if spelling == "either" else {spellings[spelling]}


def _failed(code: str) -> Refusal:
    return Refusal(400, f"FILE_UPLOAD_FAILED: {code}")


def _sign(method: str, path: str, query: str) -> str:
    return hmac.digest(SIGNING_KEY, f"{method}\n{path}\n{query}".encode(), "sha256").hex()
