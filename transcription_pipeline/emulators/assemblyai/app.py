"""AssemblyAI's ten pre-recorded endpoints, as a service for ``server.py``.

Every endpoint reads the request, asks the desk and writes the answer; errors are the vendor's
status, content type and sentence. Endpoints, codes and content types follow the API reference of
2026-08-18 unless a comment says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

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
from transcription_pipeline.emulators.assemblyai.redaction import look_for_redacted_audio
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

Endpoint = Callable[[Request, str], Awaitable[Response]]


def _json(content: Any, status: int = 200) -> Response:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json")


class AssemblyAI:
    """The emulated service: its endpoints, and the desk and workers behind them."""

    name = PROVIDER

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        self.backstage = backstage
        self.settings = msgspec.convert(settings or {}, AssemblyAISettings, strict=False)
        self.desk = Desk(backstage, self.settings)
        self.work = Work(self.desk)
        self.webhooks = Webhooks(self.desk)
        self._window = (0.0, 0)

    def routes(self) -> list[BaseRoute]:
        """List the endpoints; whatever else is asked for is not found."""
        one = "/v2/transcript/{transcript_id}"
        endpoints: list[tuple[str, str, Endpoint]] = [
            ("POST", "/v2/upload", self._upload),
            ("POST", "/v2/transcript", self._submit),
            ("GET", "/v2/transcript", self._list),
            ("GET", "/v2/transcript/", self._get),
            ("GET", one, self._get),
            ("DELETE", one, self._delete),
            ("GET", f"{one}/sentences", self._sentences),
            ("GET", f"{one}/paragraphs", self._paragraphs),
            ("GET", f"{one}/word-search", self._word_search),
            ("GET", f"{one}/redacted-audio", self._redacted_audio),
            ("GET", f"{one}/{{kind}}", self._subtitles),
        ]
        routes: list[BaseRoute] = [
            Route(path, self._guard(endpoint), methods=[method])
            for method, path, endpoint in endpoints
        ]
        return [*routes, Route("/{path:path}", _not_found, methods=_ALL_METHODS)]

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""
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

    def replay(self) -> None:
        """Take up the journal's state, and go on with unfinished jobs."""
        self.desk.replay()

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings while running."""
        merged = msgspec.to_builtins(self.settings) | changes
        self.settings = self.desk.settings = msgspec.convert(merged, AssemblyAISettings)
        self.desk.fill_slots(self.backstage.clock.now())

    async def reset(self) -> None:
        """Forget everything but the settings."""
        await self.backstage.cancel_tasks()
        self.desk.clear()
        self.backstage.timeline.clear()
        self.backstage.invoice.clear()
        self.backstage.faults.clear()
        self.backstage.requests.clear()
        self.backstage.journal.clear()
        self._window = (0.0, 0)

    async def close(self) -> None:
        """End the workers."""
        self.work.close()

    def _guard(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """Check the key and the rate limit first, and word refusals."""

        async def guarded(request: Request) -> Response:
            try:
                project = self._authenticate(request)
                retry_after_s = self._count_request()
                if retry_after_s:
                    answer = _json({"error": TOO_MANY_REQUESTS}, 429)
                    answer.headers["retry-after"] = str(retry_after_s)
                    return answer
                return await endpoint(request, project)
            except Refusal as refusal:
                return _json({"error": refusal.message}, refusal.status)

        return guarded

    def _authenticate(self, request: Request) -> str:
        """Find the project of the key: the raw key, without ``Bearer`` (API overview page)."""
        key = request.headers.get("authorization", "")
        keys = self.settings.api_keys
        if not key or " " in key or (keys is not None and key not in keys):
            raise Refusal(NOT_AUTHENTICATED, 401)
        # Without configured keys each key is a project; its digest, as keys are never kept.
        return keys[key] if keys else hashlib.blake2b(key.encode(), digest_size=8).hexdigest()

    def _count_request(self) -> int:
        """Count against 20,000 requests per 5 minutes; over it, say how many seconds to wait.

        Page "Rate limits", 2026. Whether the window is fixed or sliding is not documented; we chose
        fixed windows.
        """
        if not self.settings.requests_per_5_min:
            return 0
        now = self.backstage.clock.now()
        start, count = self._window
        if not start <= now < start + _WINDOW_S:
            start, count = now, 0
        self._window = (start, count + 1)
        if count < self.settings.requests_per_5_min:
            return 0
        return max(1, round(start + _WINDOW_S - now))

    async def _upload(self, request: Request, project: str) -> Response:
        keeps = self.settings.fetch_audio or self.settings.speech == "recognised"
        upload = await receive_upload(request.stream(), project, self.backstage, keeps=keeps)
        if upload is None:
            return Response(UPLOAD_FAILED, 422, media_type="text/plain")
        self.desk.add_upload(upload)
        return _json({"upload_url": UPLOAD_PREFIX + upload.id})

    async def _submit(self, request: Request, project: str) -> Response:
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
        return _json(make_answer(job, status, self.settings, is_submit=True))

    async def _list(self, request: Request, project: str) -> Response:
        lag_s = decision_of(request.scope).list_lag_s
        base_url = str(request.base_url).rstrip("/")
        query = dict(request.query_params)
        return _json(make_page(self.desk, project, query, base_url=base_url, lag_s=lag_s))

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
        return _json(make_answer(job, status, self.settings))

    async def _delete(self, request: Request, project: str) -> Response:
        job, _ = self._job(request, project)
        self.desk.delete(job)
        # Documented by a third party: is_deleted here, and not in later answers.
        return _json(make_tombstone(job) | {"is_deleted": True})

    def _completed(self, request: Request, project: str) -> Job:
        """Find a job that has words. The code for one that has none is not documented."""
        job, status = self._job(request, project)
        if status != "completed" or job.said is None or job.deleted_at is not None:
            raise Refusal(NOT_COMPLETED.format(status=status))
        return job

    async def _sentences(self, request: Request, project: str) -> Response:
        return _json(make_sentences_answer(self._completed(request, project)))

    async def _paragraphs(self, request: Request, project: str) -> Response:
        return _json(make_paragraphs_answer(self._completed(request, project)))

    async def _word_search(self, request: Request, project: str) -> Response:
        job = self._completed(request, project)
        return _json(search_words(job, request.query_params.get("words")))

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
        code, body = look_for_redacted_audio(job, status, self.backstage.clock.now(), ready_s)
        return _json(body, code)


_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


async def _not_found(_request: Request) -> Response:
    return _json({"error": NOT_FOUND}, 404)
