"""Promising an address and taking a file in at it, as an object store does with signed addresses.

The address is signed for one Content-Type and for no other credentials, lives for an hour, and takes
one PUT with a known length (API reference, upload flow). The store's own refusals are XML, as S3
writes them, which the vendor's pages do not promise; ``app.py`` is the caller.
"""

from __future__ import annotations

import hashlib
import uuid

from starlette.requests import Request
from starlette.responses import Response

from transcription_pipeline.emulators.backstage import Backstage, seed_of
from transcription_pipeline.emulators.scriptivox.jobs import Upload
from transcription_pipeline.emulators.scriptivox.refusals import Refusal
from transcription_pipeline.emulators.scriptivox.work import MAX_BYTES

STORAGE_PREFIX = "/_storage/uploads/"
_KEYS = ("authorization", "x-api-key")


def make_upload_answer(upload: Upload, base_url: str, life_s: float) -> dict[str, object]:
    """Write the answer of ``POST /upload``."""
    query = f"X-Amz-Expires={life_s:.0f}&X-Amz-Signature={_sign(upload.id)}"
    return {
        "upload_id": upload.id,
        "upload_url": f"{base_url}{STORAGE_PREFIX}{upload.id}?{query}",
        "expires_in": round(life_s),
        "method": "PUT",
        "headers": {"Content-Type": upload.content_type},
    }


def make_upload(account: str, content_type: str, at: float) -> Upload:
    """Promise a file."""
    return Upload(str(uuid.uuid4()), account, content_type, at)


def check_upload(upload: Upload | None, account: str, now: float, life_s: float) -> None:
    """Check that a submit may use an upload.

    Raises:
        Refusal: Which code wins where several apply is not documented; use comes first here.
    """
    if upload is None or upload.account != account:
        raise Refusal("UPLOAD_NOT_FOUND", "Upload not found")
    if upload.used_by is not None:
        raise Refusal("UPLOAD_ALREADY_USED", "This upload was already transcribed")
    if now - upload.at > life_s:
        raise Refusal("UPLOAD_EXPIRED", "The upload has expired")
    if upload.digest is None:
        raise Refusal("FILE_NOT_UPLOADED", "No file was uploaded")
    if upload.size_bytes > MAX_BYTES:
        raise Refusal("FILE_TOO_LARGE", "The file is larger than 5 GB")


async def receive(
    request: Request, upload: Upload | None, backstage: Backstage, *, life_s: float, keeps: bool
) -> Response:
    """Take the bytes of one PUT, or refuse as an object store does."""
    if upload is None or request.query_params.get("X-Amz-Signature") != _sign(upload.id):
        return _refuse(403, "SignatureDoesNotMatch")
    if any(name in request.headers for name in _KEYS):
        return _refuse(400, "InvalidArgument")  # S3: only one auth mechanism allowed
    if backstage.clock.now() - upload.at > life_s:
        return _refuse(403, "AccessDenied")  # "Request has expired"
    if request.headers.get("content-type") != upload.content_type:
        return _refuse(403, "SignatureDoesNotMatch")
    if "content-length" not in request.headers:
        return _refuse(411, "MissingContentLength")
    path = backstage.folder / f"upload-{upload.id}" if keeps else None
    digest, size = hashlib.blake2b(digest_size=16), 0
    file = path.open("wb") if path is not None else None
    try:
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
            if file is not None:
                file.write(chunk)
    finally:
        if file is not None:
            file.close()
    upload.digest, upload.size_bytes, upload.path = digest.hexdigest(), size, path
    return Response(b"", 200, headers={"etag": f'"{digest.hexdigest()}"'})


def _sign(upload_id: str) -> str:
    return f"{seed_of('scriptivox ' + upload_id):016x}"


def _refuse(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(body, status, media_type="application/xml")
