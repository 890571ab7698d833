"""AssemblyAI's ten pre-recorded endpoints, as a service for ``server.py``.

Every endpoint reads the request, asks the desk and writes the answer; errors are the vendor's
status, content type and sentence. Endpoints, codes and content types follow the API reference of
2026-08-18 unless a comment says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from transcription_pipeline.emulators.assemblyai.answers import make_answer, make_tombstone
from transcription_pipeline.emulators.assemblyai.desk import PROVIDER, Desk
from transcription_pipeline.emulators.assemblyai.exports import (
    make_captions,
    make_paragraphs_answer,
    make_sentences_answer,
    search_words,
)
from transcription_pipeline.emulators.assemblyai.jobs import (
    UPLOAD_PREFIX,
    AssemblyAISettings,
    Job,
)
from transcription_pipeline.emulators.assemblyai.listing import make_page
from transcription_pipeline.emulators.assemblyai.options import check_options
from transcription_pipeline.emulators.assemblyai.redaction import (
    STORE_PREFIX,
    look_for_redacted_audio,
    send_redacted_audio,
)
from transcription_pipeline.emulators.assemblyai.refusals import (
    BAD_QUERY,
    BAD_SCHEMA,
    NEGATIVE_BALANCE,
    NO_SUCH_TRANSCRIPT,
    NOT_AUTHENTICATED,
    NOT_COMPLETED,
    NOT_FOUND,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UPLOAD_FAILED,
    Refusal,
)
from transcription_pipeline.emulators.assemblyai.uploads import receive_upload
from transcription_pipeline.emulators.assemblyai.webhooks import Webhooks
from transcription_pipeline.emulators.assemblyai.work import Work
from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.endpoints import Endpoint, Endpoints, answer_json
from transcription_pipeline.emulators.wire import decision_of

_WINDOW_S = 300.0
_OPERATIONS = {
    "sentences": "sentences",
    "paragraphs": "paragraphs",
    "word-search": "word_search",
    "srt": "subtitles",
    "vtt": "subtitles",
    "redacted-audio": "redacted_audio",
}


class AssemblyAI(Endpoints[AssemblyAISettings, Desk]):
    """The emulated service: its endpoints, and the desk and workers behind them."""

    name = PROVIDER
    settings_type = AssemblyAISettings

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        super().__init__(backstage, settings)
        self.desk = Desk(backstage, self.settings)
        self.work = Work(self.desk)
        self.webhooks = Webhooks(self.desk)

    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """List the endpoints."""
        one = "/v2/transcript/{transcript_id}"
        return {
            "/v2/upload": {"POST": self._upload},
            "/v2/transcript": {"POST": self._submit, "GET": self._list},
            "/v2/transcript/": {"GET": self._get},
            one: {"GET": self._get, "DELETE": self._delete},
            f"{one}/sentences": {"GET": self._sentences},
            f"{one}/paragraphs": {"GET": self._paragraphs},
            f"{one}/word-search": {"GET": self._word_search},
            f"{one}/redacted-audio": {"GET": self._redacted_audio},
            f"{one}/{{kind}}": {"GET": self._subtitles},
            STORE_PREFIX + "{name}": {"GET": self._redacted_file},
        }

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""
        if path.startswith(STORE_PREFIX):
            return "redacted_file"
        parts = path.strip("/").split("/")
        if parts == ["v2", "upload"]:
            return "upload"
        if parts[:2] != ["v2", "transcript"] or len(parts) > 4:
            return "other"
        if len(parts) == 2:
            return "submit" if method == "POST" else "list"
        if len(parts) == 3:
            return "delete" if method == "DELETE" else "get"
        return _OPERATIONS.get(parts[3], "other")

    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give the vendor's own body for a status; 502 is HTML (seen 2026-07), 503, 504 empty."""
        sentences = {
            401: NOT_AUTHENTICATED,
            404: NOT_FOUND,
            429: TOO_MANY_REQUESTS,
            500: SERVER_ERROR,
        }
        if status == 502:
            return "text/html", b"<html><head><title>502 Bad Gateway</title></head></html>"
        if status in (503, 504):
            return "text/plain", b""
        return "application/json", msgspec.json.encode({"error": sentences.get(status, "Error")})

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running; there may be more slots now."""
        super().configure(changes)
        self.desk.fill_slots(self.backstage.clock.now())

    def admit(self, request: Request, methods: Collection[str]) -> str:
        """Check path and method, then key, then 20,000 requests per 5 minutes ("Rate limits")."""
        if request.method not in methods:
            raise Refusal(NOT_FOUND, 404)
        if request.url.path.startswith(STORE_PREFIX):
            return ""  # not the vendor's API but the store it names, where the address is signed
        project = self._authenticate(request)
        limit = ("all", self.settings.requests_per_5_min)
        wait_s = self.windows.take(limit, seconds=_WINDOW_S)
        if wait_s:
            raise Refusal(TOO_MANY_REQUESTS, 429, {"retry-after": str(wait_s)})
        return project

    def _authenticate(self, request: Request) -> str:
        """Find the project of the key: the raw key, without ``Bearer`` (API overview page)."""
        key = request.headers.get("authorization", "")
        keys = self.settings.api_keys
        if not key or " " in key or (keys is not None and key not in keys):
            raise Refusal(NOT_AUTHENTICATED, 401)
        # Without configured keys each key is a project; its digest, as keys are never kept.
        return keys[key] if keys else hashlib.blake2b(key.encode(), digest_size=8).hexdigest()

    async def _upload(self, request: Request, project: str) -> Response:
        bytes_in, keeps = request.stream(), self.settings.looks_at_audio
        upload = await receive_upload(bytes_in, project, self.backstage, keeps=keeps)
        if upload is None:
            return Response(UPLOAD_FAILED, 422, media_type="text/plain")
        self.desk.keep_upload(upload)
        return answer_json({"upload_url": UPLOAD_PREFIX + upload.id})

    async def _submit(self, request: Request, project: str) -> Response:
        self.webhooks.base_url = str(request.base_url)
        try:
            body = msgspec.json.decode(await request.body())
        except msgspec.DecodeError as error:
            raise Refusal(BAD_SCHEMA) from error  # not documented for what is not JSON
        if self.settings.balance == "refuses":
            raise Refusal(NEGATIVE_BALANCE)
        options = check_options(
            body,
            models_required=self.settings.models_required,
            default_models=list(self.settings.default_speech_models),
        )
        job = self.desk.submit(project, options, decision_of(request.scope).fate)
        status = job.status_at(self.backstage.clock.now()) or "queued"
        if status in ("completed", "error"):
            status = "processing"  # a submit never answers with a result, however short the job
        return answer_json(make_answer(job, status, self.settings, is_submit=True))

    async def _list(self, request: Request, project: str) -> Response:
        lag_s = decision_of(request.scope).list_lag_s
        base_url = str(request.base_url).rstrip("/")
        query = dict(request.query_params)
        return answer_json(make_page(self.desk, project, query, base_url=base_url, lag_s=lag_s))

    def _job(self, request: Request, project: str) -> tuple[Job, str]:
        """Find the job a path names, and its status now."""
        job_id = request.path_params.get("transcript_id")
        if job_id is None:
            # Observed 2026-10-03: the path with a trailing slash is a look-up without an id.
            raise Refusal(NO_SUCH_TRANSCRIPT)
        job = self.desk.get(project, job_id)
        return job, job.status_at(self.backstage.clock.now()) or "queued"

    async def _get(self, request: Request, project: str) -> Response:
        job, status = self._job(request, project)
        return answer_json(make_answer(job, status, self.settings))

    async def _delete(self, request: Request, project: str) -> Response:
        job, _ = self._job(request, project)
        self.desk.delete(job)
        # Documented by a third party: is_deleted here, and not in later answers.
        return answer_json(make_tombstone(job) | {"is_deleted": True})

    def _completed(self, request: Request, project: str) -> Job:
        """Find a job that has words. The code for one that has none is not documented."""
        job, status = self._job(request, project)
        if status != "completed" or job.said is None or job.deleted_at is not None:
            raise Refusal(NOT_COMPLETED.format(status=status))
        return job

    async def _sentences(self, request: Request, project: str) -> Response:
        return answer_json(make_sentences_answer(self._completed(request, project)))

    async def _paragraphs(self, request: Request, project: str) -> Response:
        return answer_json(make_paragraphs_answer(self._completed(request, project)))

    async def _word_search(self, request: Request, project: str) -> Response:
        job = self._completed(request, project)
        return answer_json(search_words(job, request.query_params.get("words")))

    async def _subtitles(self, request: Request, project: str) -> Response:
        kind = request.path_params["kind"]
        if kind not in ("srt", "vtt"):
            # API reference: a text/html body, unlike every other 404.
            return Response("404: Not Found", 404, media_type="text/html")
        job = self._completed(request, project)
        chars = request.query_params.get("chars_per_caption")
        if chars is not None and (not chars.isascii() or not chars.isdigit() or int(chars) < 1):
            raise Refusal(BAD_QUERY.format(name="chars_per_caption"))
        captions = make_captions(job, kind, int(chars) if chars else None)
        return Response(captions, 200, media_type="text/plain")

    async def _redacted_audio(self, request: Request, project: str) -> Response:
        job, status = self._job(request, project)
        ready_s = self.settings.redacted_audio_s
        now, base_url = self.backstage.clock.now(), str(request.base_url)
        code, body = look_for_redacted_audio(job, status, now, ready_s, base_url)
        return answer_json(body, code)

    async def _redacted_file(self, request: Request, _project: str) -> Response:
        job = self.desk.jobs.get(request.path_params["name"].partition(".")[0])
        return send_redacted_audio(job, request, self.backstage.clock.now())
