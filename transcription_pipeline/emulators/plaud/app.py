"""Plaud's seven endpoints and its object store, as a service for ``server.py``.

Every endpoint reads the request, asks the desk and writes the answer. Paths, fields and the casing
of names follow the page of each endpoint, and every answer is 200, as documented; which credentials
open which endpoint is in ``door.py``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.endpoints import Endpoint, Endpoints, answer_json
from transcription_pipeline.emulators.plaud.answers import make_answer, make_pending
from transcription_pipeline.emulators.plaud.desk import PROVIDER, Desk
from transcription_pipeline.emulators.plaud.door import Door, make_pair, read_token, write_token
from transcription_pipeline.emulators.plaud.jobs import PlaudSettings, Upload
from transcription_pipeline.emulators.plaud.refusals import Refusal, StoreRefusal
from transcription_pipeline.emulators.plaud.requests import (
    MODELS,
    Complete,
    Presign,
    Submission,
    UserToken,
    read_body,
    require_form,
)
from transcription_pipeline.emulators.plaud.uploads import (
    FILE_PATH,
    PART_PATH,
    STORE_PREFIX,
    check_filetype,
    check_parts,
    check_url,
    find_file_id,
    join_parts,
    part_path,
    receive_part,
    sign_url,
)
from transcription_pipeline.emulators.plaud.work import JobFailed, Work
from transcription_pipeline.emulators.wire import decision_of

_MAX_PARTS = 10_000
"""That of S3; the vendor documents none."""
_API = "/developer/api"
_TOKEN = f"{_API}/oauth/partner/access-token"
_USER_TOKEN = f"{_API}/open/partner/users/access-token"
_UPLOAD = f"{_API}/open/partner/files/upload"
_JOBS = f"{_API}/open/partner/ai/transcriptions"
_OPERATIONS = {
    _TOKEN: "token",
    f"{_TOKEN}/refresh": "refresh",
    _USER_TOKEN: "user_token",
    f"{_UPLOAD}/generate-presigned-urls": "presign",
    f"{_UPLOAD}/complete-upload": "complete",
    _JOBS: "submit",
    f"{_JOBS}/": "submit",
}


class Plaud(Endpoints[PlaudSettings, Desk]):
    """The emulated service: its endpoints, and the desk and workers behind them."""

    name = PROVIDER
    settings_type = PlaudSettings
    work: Work

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        super().__init__(backstage, settings)
        self.desk = Desk(backstage, self.settings)
        self.work = Work(self.desk)
        self.door = Door()
        self._joining = asyncio.Lock()

    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """List the endpoints; the last two are the object store's."""
        return {
            _TOKEN: {"POST": self._token},
            f"{_TOKEN}/refresh": {"POST": self._refresh},
            _USER_TOKEN: {"POST": self._user_token},
            f"{_UPLOAD}/generate-presigned-urls": {"POST": self._presign},
            f"{_UPLOAD}/complete-upload": {"POST": self._complete},
            f"{_JOBS}/": {"POST": self._submit},
            _JOBS: {"POST": self._submit_without_slash},
            f"{_JOBS}/{{job_id}}": {"GET": self._get},
            PART_PATH: {"PUT": self._put},
            FILE_PATH: {"GET": self._download},
        }

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""
        if path.startswith(STORE_PREFIX):
            return "put" if path.startswith(f"{STORE_PREFIX}parts/") else "download"
        if method == "POST":
            return _OPERATIONS.get(path, "other")
        is_job = path.startswith(f"{_JOBS}/") and path.count("/") == _JOBS.count("/") + 1
        return "get" if is_job else "other"

    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give a body for a status; that of a gateway is not documented."""
        if status < 400:
            return "text/plain", b""
        if status > 500:
            return "text/html", b"<html><head><title>Bad Gateway</title></head></html>"
        body = {"code": status, "message": "As the fault script orders"}
        return "application/json", msgspec.json.encode(body)

    def admit(self, request: Request, methods: Collection[str]) -> str:
        """Check path, method, credentials and rate limits; the store looks at its own signatures."""
        if not methods:
            raise Refusal(404, "Not found")
        if request.url.path.startswith(STORE_PREFIX):
            if request.method not in methods:
                raise StoreRefusal(403, "SignatureDoesNotMatch")  # it was signed for another verb
            return ""
        if request.method not in methods:
            raise Refusal(405, "Method not allowed", {"allow": ", ".join(methods)})
        if request.url.path == _JOBS and self.settings.without_slash == "redirect":
            return ""  # a router redirects before anybody looks at credentials
        operation, now = self.operation_of(request.method, request.url.path), self._now()
        account = self.door.admit(request, operation, self.settings, now)
        kind, limit = self._limit_of(operation)
        wait_s = self.windows.take(((account, kind), limit))
        if wait_s:
            told = {"retry-after": str(wait_s)} if self.settings.retry_after else None
            raise Refusal(429, "Too many requests", told)
        return account

    def _limit_of(self, operation: str) -> tuple[str, int]:
        if operation == "token":
            return operation, self.settings.tokens_per_min
        if operation in ("submit", "get"):
            return "transcription", self.settings.requests_per_min
        return operation, 0

    def _now(self) -> float:
        return self.backstage.clock.now()

    # -- tokens ----------------------------------------------------------------------------------

    async def _token(self, request: Request, client: str) -> Response:
        require_form(request)
        return answer_json(make_pair(client, self._now(), self.settings))

    async def _refresh(self, request: Request, client: str) -> Response:
        require_form(request)
        form = parse_qs((await request.body()).decode(errors="replace"))
        if "refresh_token" not in form:
            raise Refusal(422, "refresh_token is required")
        token = read_token(form["refresh_token"][0])
        if token is None or (token.kind, token.client_id) != ("refresh", client):
            raise Refusal(401, "The refresh token is invalid")
        if token.exp <= self._now():
            raise Refusal(401, "The refresh token has expired")
        self.desk.spend(token)
        return answer_json(make_pair(client, self._now(), self.settings))

    async def _user_token(self, request: Request, client: str) -> Response:
        wanted = await read_body(request, UserToken)
        expires_at = self._now() + wanted.expires_in
        token = write_token("user", client, expires_at, user_id=wanted.user_id)
        told = {"access_token": token, "token_type": "bearer", "expires_in": wanted.expires_in}
        return answer_json(told)

    # -- uploads ---------------------------------------------------------------------------------

    async def _presign(self, request: Request, owner: str) -> Response:
        wanted = await read_body(request, Presign)
        check_filetype(wanted.filetype, self.settings)
        if not 1 <= wanted.filesize <= _MAX_PARTS * self.settings.chunk_bytes:
            raise Refusal(400, "FILE_SIZE_INVALID: filesize is out of range")
        ids = f"file_{uuid.uuid4().hex}", owner, f"upload_{uuid.uuid4().hex}"
        upload = Upload(*ids, wanted.filetype, wanted.filesize, self.settings.chunk_bytes)
        self.desk.keep_upload(upload)
        parts = []
        for number in range(1, upload.part_count + 1):
            url = _address(request, PART_PATH, file_id=upload.id, number=number)
            signed = sign_url("PUT", url, self._now(), self.settings.presigned_s)
            parts.append({"PartNumber": number, "PresignedUrl": signed})
        told = {"FileId": upload.id, "UploadId": upload.upload_id, "ChunkSize": upload.chunk_bytes}
        return answer_json(told | {"Parts": parts})

    async def _put(self, request: Request, _account: str) -> Response:
        check_url("PUT", str(request.url), self._now())
        upload, number = self._stored(request), request.path_params["number"]
        if upload.path is not None:
            raise StoreRefusal(404, "NoSuchUpload")  # completed, and so over
        part = await receive_part(request, part_path(self.backstage.folder, upload, number))
        self.desk.keep_part(upload, number, part)
        return Response(b"", 200, headers={"etag": f'"{part.etag}"'})

    async def _complete(self, request: Request, owner: str) -> Response:
        told = await read_body(request, Complete)
        upload = self.desk.get_upload(owner, told.file_id)
        is_over = upload.path is not None and not self.settings.completes_again
        if told.upload_id != upload.upload_id or is_over:
            raise Refusal(404, "The upload was not found")
        if told.filetype != upload.filetype:
            raise Refusal(400, "FILE_TYPE_INVALID: filetype is not what was announced")
        async with self._joining:  # a repeated completion waits for the first
            if upload.path is None:
                check_parts(upload, told.part_list, self.settings.etags)
                await self._join(upload, told.file_md5)
            elif told.file_md5 not in (None, upload.md5):
                raise _wrong_md5()
        url = _address(request, FILE_PATH, file_id=upload.id)
        return answer_json(
            {
                "FileId": upload.id,
                "FileType": upload.filetype,
                "DownloadUrl": sign_url("GET", url, self._now(), self.settings.download_s),
                "FileMd5": upload.md5,
            }
        )

    async def _join(self, upload: Upload, told_md5: str | None) -> None:
        path, md5 = await asyncio.to_thread(join_parts, self.backstage.folder, upload)
        if told_md5 not in (None, md5):
            path.unlink()
            raise _wrong_md5()
        self.desk.complete(upload, path, md5)

    async def _download(self, request: Request, _account: str) -> Response:
        check_url("GET", str(request.url), self._now())
        path = self._stored(request).path
        if path is None:
            raise StoreRefusal(404, "NoSuchKey")
        return FileResponse(path, media_type="application/octet-stream")

    def _stored(self, request: Request) -> Upload:
        upload = self.desk.uploads.get(request.path_params["file_id"])
        if upload is None:
            raise StoreRefusal(404, "NoSuchUpload")
        return upload

    # -- transcriptions --------------------------------------------------------------------------

    async def _submit_without_slash(self, request: Request, client: str) -> Response:
        if self.settings.without_slash == "redirect":
            return RedirectResponse(f"{request.url}/", 307)
        if self.settings.without_slash == "not_found":
            raise Refusal(404, "Not found")
        return await self._submit(request, client)

    async def _submit(self, request: Request, client: str) -> Response:
        told, settings = await read_body(request, Submission), self.settings
        if settings.unknown_models == "refused" and told.params.transcribe.model not in MODELS:
            raise Refusal(422, "params.transcribe.model is unknown")
        file_id, audio_ms = find_file_id(told.file_url), None
        is_external = file_id is None or file_id not in self.desk.uploads
        try:
            if is_external and settings.external_urls == "error":
                raise JobFailed
            if settings.dead_urls == "submit":
                self.work.check_source(told.file_url, self._now())
            if settings.billed == "submit":
                audio_ms = await self.work.measure(told.file_url)
        except JobFailed:
            raise Refusal(500, "Internal server error") from None
        job = self.desk.submit(client, told, decision_of(request.scope).fate, audio_ms=audio_ms)
        return answer_json(make_pending(job.id))

    async def _get(self, request: Request, client: str) -> Response:
        job_id = request.path_params["job_id"]
        job = self.desk.find(client, job_id)
        if job is not None:
            return answer_json(make_answer(job, self._now(), self.settings))
        if self.settings.unknown_id == "pending":
            return answer_json(make_pending(job_id))
        raise Refusal(404, "The transcription was not found")


def _address(request: Request, path: str, **names: Any) -> str:
    filled = path.replace("{number:int}", "{number}").format(**names)
    return str(request.base_url).rstrip("/") + filled


def _wrong_md5() -> Refusal:
    return Refusal(400, "FILE_MD5_NOT_MATCH: file_md5 is not that of the file")
