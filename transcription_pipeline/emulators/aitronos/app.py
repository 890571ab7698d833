"""Aitronos's nine transcription endpoints, as a service for ``server.py``.

Every endpoint reads the request, asks the desk and writes the answer in the vendor's envelope; paths
and codes follow the page of each endpoint. The multipart form of newer vendor packages is described by
no page and is there when it is switched; their list of models is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from transcription_pipeline.emulators.aitronos.answers import (
    make_created,
    make_found,
    make_metadata,
    make_pieces,
    make_transcript,
)
from transcription_pipeline.emulators.aitronos.checks import check_body, read_number
from transcription_pipeline.emulators.aitronos.desk import PROVIDER, Desk
from transcription_pipeline.emulators.aitronos.exports import FORMATS, make_subtitles, search
from transcription_pipeline.emulators.aitronos.jobs import AitronosSettings, Job
from transcription_pipeline.emulators.aitronos.listing import make_page
from transcription_pipeline.emulators.aitronos.refusals import (
    Refusal,
    code_for,
    make_envelope,
    write_instant,
)
from transcription_pipeline.emulators.aitronos.uploads import receive_form
from transcription_pipeline.emulators.aitronos.webhooks import Webhooks
from transcription_pipeline.emulators.aitronos.work import UPLOAD_PREFIX, Work
from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.endpoints import Endpoint, Endpoints, answer_json
from transcription_pipeline.emulators.wire import decision_of

_DAY_S, _SHORT_S = 86_400, 5
_MAX_PIECES = 1_000


class Aitronos(Endpoints[AitronosSettings, Desk]):
    """The emulated service: its endpoints, and the desk and workers behind them."""

    name = PROVIDER
    settings_type = AitronosSettings
    work: Work

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        super().__init__(backstage, settings)
        self.desk = Desk(backstage, self.settings)
        self.work = Work(self.desk)
        self.webhooks = Webhooks(self.desk)

    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """List the endpoints."""
        one = "/v1/audio/transcribe/{job_id}"
        return {
            "/v1/audio/transcribe": {"POST": self._submit, "GET": self._list},
            one: {"GET": self._get, "DELETE": self._delete},
            f"{one}/sentences": {"GET": self._sentences},
            f"{one}/paragraphs": {"GET": self._paragraphs},
            f"{one}/subtitles/{{format}}": {"GET": self._subtitles},
            f"{one}/search": {"GET": self._search},
            f"{one}/redacted-audio": {"GET": self._redacted_audio},
            "/v1/audio/files/upload": {"POST": self._upload},
        }

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""
        parts = path.strip("/").split("/")
        if parts == ["v1", "audio", "files", "upload"]:
            return "upload"
        if parts[:3] != ["v1", "audio", "transcribe"]:
            return "other"
        if len(parts) == 3:
            return "submit" if method == "POST" else "list"
        if len(parts) == 4:
            return "delete" if method == "DELETE" else "get"
        kinds = ("sentences", "paragraphs", "subtitles", "search", "redacted-audio")
        return parts[4].replace("-", "_") if parts[4] in kinds else "other"

    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give the vendor's own body for a status; that of a gateway is not documented."""
        if status in (502, 503, 504):
            return "text/html", b"<html><head><title>Bad Gateway</title></head></html>"
        ordered = Refusal(code_for(status), "As the fault script orders")
        body = make_envelope(ordered, self.backstage.clock.now(), status=status)
        return "application/json", msgspec.json.encode(body)

    def admit(self, request: Request, methods: Collection[str]) -> str:
        """Check key, path, method, rate limit and stubs."""
        account = self._authenticate(request)
        if not methods:
            raise Refusal("NOT_FOUND", "Not found.")
        if request.method not in methods:
            raise Refusal("METHOD_NOT_ALLOWED", "Method not allowed.")
        wait_s = self.windows.take((account, self.settings.requests_per_min))
        if wait_s:
            wait = {"retry-after": str(wait_s)}
            raise Refusal("RATE_LIMIT_EXCEEDED", "Too many requests.", headers=wait)
        if self.operation_of(request.method, request.url.path) in self.settings.stubs:
            raise Refusal("NOT_IMPLEMENTED", "This endpoint is not implemented yet.")
        return account

    def _authenticate(self, request: Request) -> str:
        """Find the account of ``X-API-Key``, or of a session's token ("Authentication")."""
        key = request.headers.get("x-api-key")
        code = "INVALID_API_KEY"
        if key is None:
            word, _, key = request.headers.get("authorization", "").partition(" ")
            code = "TOKEN_INVALID"
            if word.lower() != "bearer" or not key:
                raise Refusal("AUTHENTICATION_REQUIRED", "Authentication is required.")
        known = self.settings.api_keys
        if not key or (known is not None and key not in known):
            raise Refusal(code, "The credentials are invalid.")
        if key in self.settings.revoked_keys:
            raise Refusal("API_KEY_DEACTIVATED", "The API key was deactivated.")
        # Without configured keys each key is an account; its digest, as keys are never kept.
        return known[key] if known else hashlib.blake2b(key.encode(), digest_size=8).hexdigest()

    # -- endpoints -------------------------------------------------------------------------------

    async def _submit(self, request: Request, account: str) -> Response:
        if self.settings.form == "multipart":
            return await self._transcribe(request, account)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            body = msgspec.json.decode(await request.body()) if kind == "application/json" else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        options = check_body(body, http_urls=self.settings.http_urls)
        allowed = self.settings.organizations
        if allowed is not None and options["organization_id"] not in allowed:
            raise Refusal("ORGANIZATION_ACCESS_DENIED", "No access to this organization.")
        url = options["transcription_options"]["audio_url"]
        audio_ms = await self.work.measure(account, url)
        fate = decision_of(request.scope).fate
        job = self.desk.submit(account, options, fate, audio_ms=audio_ms)
        return answer_json(make_created(job, self.settings, _base_url(request)), 201)

    async def _transcribe(self, request: Request, account: str) -> Response:
        """Hear a file and answer with its words; how a failure is answered is not documented."""
        folder = self.backstage.folder if self.settings.looks_at_audio else None
        form = await receive_form(request, "audio_file", account, folder)
        self.desk.keep_upload(form.upload)
        url = UPLOAD_PREFIX + form.upload.id
        spoken = {"audio_url": url, "language": form.fields.get("language", "en")}
        # The form names no organization: the key's account pays.
        options = {"organization_id": account, "transcription_options": spoken}
        audio_ms, fate = await self.work.measure(account, url), decision_of(request.scope).fate
        job = self.desk.submit(
            account, {**options, "file_stem": form.file_stem}, fate, audio_ms=audio_ms
        )
        await self.desk.wait_for(job)
        if job.error is not None:
            raise Refusal("INTERNAL_ERROR", "The transcription failed.")
        return answer_json(make_transcript(job, self.backstage.clock.now()))

    async def _list(self, request: Request, account: str) -> Response:
        lag_s = decision_of(request.scope).list_lag_s
        base_url, query = _base_url(request), request.query_params
        return answer_json(make_page(self.desk, account, query, base_url=base_url, lag_s=lag_s))

    async def _get(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        was_refreshed = self.desk.refresh(job)
        is_over = job.status_at(job.seen_at) in ("completed", "failed")
        now, base_url = self.backstage.clock.now(), _base_url(request)
        answer = make_found(job, now, self.settings, base_url, was_refreshed=was_refreshed)
        return _cacheable(request, answer, _DAY_S if is_over else _SHORT_S)

    async def _delete(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        self.desk.delete(job)
        now = self.backstage.clock.now()
        data = {
            "deleted": True,
            "transcription_id": job.id,
            "deleted_at": write_instant(now),
            "deleted_upstream": True,
        }
        return answer_json({"success": True, "data": data, "metadata": make_metadata(now)})

    def _completed(self, request: Request, account: str) -> Job:
        """Find a job that is known to be completed; the code for others is not documented."""
        job = self.desk.get(account, request.path_params["job_id"])
        if job.status_at(job.seen_at) != "completed":
            raise Refusal("TRANSCRIPTION_NOT_READY", "The transcription is not completed.")
        return job

    async def _sentences(self, request: Request, account: str) -> Response:
        return self._pieces(request, account, "sentences")

    async def _paragraphs(self, request: Request, account: str) -> Response:
        return self._pieces(request, account, "paragraphs")

    def _pieces(self, request: Request, account: str, kind: str) -> Response:
        job, query = self._completed(request, account), request.query_params
        limit = read_number(query.get("limit"), "limit", 1, _MAX_PIECES, 1)
        offset = read_number(query.get("offset"), "offset", 0, 10**8, 0)
        page = (limit if "limit" in query else None, offset)
        answer = make_pieces(job, self.backstage.clock.now(), kind, page, self.settings)
        response = _cacheable(request, answer, _DAY_S)
        policies = job.pii_policies
        if policies is not None:  # what was redacted is not emulated; scripts name nobody's number
            response.headers["X-PII-Redacted"] = "true"
            response.headers["X-PII-Policies"] = ",".join(policies)
        return response

    async def _subtitles(self, request: Request, account: str) -> Response:
        kind = request.path_params["format"]
        text = make_subtitles(self._completed(request, account), kind, request.query_params)
        return Response(text, media_type=FORMATS[kind])

    async def _search(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        if job.status_at(job.seen_at) == "queued":
            raise Refusal("TRANSCRIPTION_NOT_READY", "The transcription is queued.")
        data = search(job, request.query_params.get("query"))
        metadata = make_metadata(self.backstage.clock.now())
        return answer_json({"success": True, "data": data, "metadata": metadata})

    async def _redacted_audio(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        data = {"transcription_id": job.id, "status": "not_enabled"}
        if job.pii_policies is not None:
            data["status"] = "pending"
        if job.pii_policies is not None and job.status_at(job.seen_at) == "completed":
            expires_at = self.backstage.clock.now() + 3600
            data |= {
                "status": "available",
                "redacted_audio_url": f"{UPLOAD_PREFIX}{job.id}?signature=emulated",
                "expires_at": write_instant(expires_at),
            }
        metadata = make_metadata(self.backstage.clock.now())
        return answer_json({"success": True, "data": data, "metadata": metadata})

    async def _upload(self, request: Request, account: str) -> Response:
        folder = self.backstage.folder if self.settings.looks_at_audio else None
        upload = (await receive_form(request, "file", account, folder)).upload
        self.desk.keep_upload(upload)
        now = self.backstage.clock.now()
        # Of the answer the vendor's sample shows ``data.file_url`` alone.
        data = {"file_url": UPLOAD_PREFIX + upload.id}
        return answer_json({"success": True, "data": data, "metadata": make_metadata(now)}, 201)


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _cacheable(request: Request, answer: dict[str, Any], seconds: int) -> Response:
    """Send with an ETag, or 304 without a body to whoever has it ("Get transcription").

    The tag is that of the data; its form is not documented, a strong one here.
    """
    data = msgspec.json.encode([answer["data"], answer.get("billing")])
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "cache-control": f"public, max-age={seconds}"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return answer_json(answer, headers=headers)
