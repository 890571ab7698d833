"""Scriptivox's seven endpoints, as a service for ``server.py``.

Every endpoint reads the request, asks the desk and writes the answer; errors are the vendor's status
in the vendor's envelope. Paths, codes and limits follow the API reference unless a comment says
otherwise. Beside them stands the object store that uploads go to, which is not under ``/v1``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.endpoints import Endpoint, Endpoints, answer_json
from transcription_pipeline.emulators.scriptivox.answers import (
    make_answer,
    write_instant,
    write_result,
)
from transcription_pipeline.emulators.scriptivox.checks import check_filename, check_options
from transcription_pipeline.emulators.scriptivox.desk import PROVIDER, Desk
from transcription_pipeline.emulators.scriptivox.door import authenticate, limits_of, read_key
from transcription_pipeline.emulators.scriptivox.exports import make_export
from transcription_pipeline.emulators.scriptivox.jobs import (
    PRICE_PER_HOUR_MICROS,
    ScriptivoxSettings,
    price_micros,
    to_cents,
)
from transcription_pipeline.emulators.scriptivox.listing import make_page
from transcription_pipeline.emulators.scriptivox.refusals import (
    CANCELLED,
    Refusal,
    code_for,
    make_envelope,
)
from transcription_pipeline.emulators.scriptivox.uploads import (
    STORAGE_PREFIX,
    check_upload,
    make_upload,
    make_upload_answer,
    receive,
)
from transcription_pipeline.emulators.scriptivox.webhooks import Webhooks
from transcription_pipeline.emulators.scriptivox.work import Work
from transcription_pipeline.emulators.speech import make_script
from transcription_pipeline.emulators.wire import decision_of

_MAX_BODY_BYTES = 100 * 1024
"""API reference: 100 KB; whether of 1,000 or 1,024 bytes is not documented."""
_MAX_KEY_CHARS = 255


class Scriptivox(Endpoints[ScriptivoxSettings, Desk]):
    """The emulated service: its endpoints, and the desk and workers behind them."""

    name = PROVIDER
    settings_type = ScriptivoxSettings

    def __init__(self, backstage: Backstage, settings: dict[str, Any] | None = None) -> None:
        super().__init__(backstage, settings)
        self.desk = Desk(backstage, self.settings)
        self.work = Work(self.desk)
        self.webhooks = Webhooks(self.desk)

    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """List the endpoints; the last is the object store's."""
        one = "/v1/transcribe/{job_id}"
        return {
            "/v1/transcribe": {"POST": self._submit},
            one: {"GET": self._get, "DELETE": self._delete},
            f"{one}/cancel": {"POST": self._cancel},
            "/v1/transcriptions": {"GET": self._list},
            "/v1/upload": {"POST": self._upload},
            "/v1/balance": {"GET": self._balance},
            STORAGE_PREFIX + "{upload_id}": {"PUT": self._put},
        }

    def operation_of(self, method: str, path: str) -> str:
        """Name the operation of a request, for counts and fault rules."""
        if path.startswith(STORAGE_PREFIX):
            return "put"
        parts = path.strip("/").split("/")
        if parts == ["v1", "transcribe"]:
            return "submit"
        if parts[:2] == ["v1", "transcribe"] and len(parts) == 3:
            return "delete" if method == "DELETE" else "get"
        if parts[:2] == ["v1", "transcribe"] and parts[3:] == ["cancel"]:
            return "cancel"
        names = {"transcriptions": "list", "upload": "upload", "balance": "balance"}
        return names.get(parts[1], "other") if len(parts) == 2 and parts[0] == "v1" else "other"

    def fault_body(self, status: int) -> tuple[str, bytes]:
        """Give the vendor's own body for a status; of 5xx other than 500 nothing is documented."""
        if status < 400:
            return "text/plain", b""
        if status > 500:
            return "text/html", b"<html><head><title>Bad Gateway</title></head></html>"
        body = make_envelope(code_for(status), "As the fault script orders")
        return "application/json", msgspec.json.encode(body)

    def admit(self, request: Request, methods: Collection[str]) -> str:
        """Check key, path, method and rate limits; the store looks at its own signatures."""
        if request.url.path.startswith(STORAGE_PREFIX) and request.method in methods:
            return ""
        account = authenticate(request, self.settings)
        self.webhooks.keys[account] = read_key(request)
        if not methods:
            raise Refusal("NOT_FOUND", "Not found")
        if request.method not in methods:
            allow = {"allow": ", ".join(methods)}
            raise Refusal("METHOD_NOT_ALLOWED", "Method not allowed", allow)
        operation = self.operation_of(request.method, request.url.path)
        limits = limits_of(request, account, operation, self.settings.limit_factor)
        wait_s = self.windows.take(*limits)
        if wait_s:
            wait = {"retry-after": str(wait_s)}
            raise Refusal("RATE_LIMIT_EXCEEDED", "Too many requests", wait)
        return account

    # -- endpoints -------------------------------------------------------------------------------

    async def _submit(self, request: Request, account: str) -> Response:
        raw = await _read_body(request)
        body = _parse(raw)
        key, digest = request.headers.get("idempotency-key"), self.desk.digest(raw)
        if key is not None and not 1 <= len(key) <= _MAX_KEY_CHARS:
            raise Refusal("INVALID_REQUEST", "Idempotency-Key must be 1 to 255 characters")
        # Whether the key is looked at before or after the body is checked is not documented.
        use = self.desk.find_key_use(account, key, digest) if key else None
        if use is not None and use.refusal is not None:
            raise Refusal(*use.refusal)
        if use is not None and use.job_id is not None:
            return answer_json(_accepted(use.job_id), headers={"idempotent-replay": "true"})
        try:
            options = check_options(body, http_webhooks=self.settings.http_webhooks)
            self._check_source(account, options)
            fate = decision_of(request.scope).fate
            job = self.desk.submit(account, options, fate, key=key, digest=digest)
        except Refusal as refusal:
            if key:
                self.desk.keep_refusal(account, key, digest, refusal)
            raise
        return answer_json(_accepted(job.id))

    def _check_source(self, account: str, options: dict[str, Any]) -> None:
        upload_id, settings = options.get("upload_id"), self.settings
        if upload_id is not None:
            now = self.backstage.clock.now()
            check_upload(self.desk.uploads.get(upload_id), account, now, settings.upload_s)
        if settings.funds_checked == "submit" and upload_id is None:
            script = make_script(options["url"], settings, duration_ms=None)
            if price_micros(script.duration_ms) > self.desk.available_micros(account):
                raise Refusal("INSUFFICIENT_BALANCE", "Add credit to continue")

    async def _get(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        now, kind = self.backstage.clock.now(), request.query_params.get("format")
        if kind is None:
            return answer_json(make_answer(job, now, self.settings))
        if kind not in ("srt", "vtt", "text"):
            raise Refusal("INVALID_REQUEST", "format must be srt, vtt or text")
        if job.status_at(now) != "completed" or job.said is None:
            # The code for exports of other jobs is not documented.
            raise Refusal("CONFLICT", "The transcription is not completed")
        diarize, align = job.options["diarize"], job.options["align"]
        result = write_result(job.said, "", diarize, align, self.settings.unasked_speaker)
        text = make_export(result, kind, request.query_params, diarize=diarize)
        return Response(text, media_type="text/vtt" if kind == "vtt" else "text/plain")

    async def _delete(self, request: Request, account: str) -> Response:
        job = self.desk.jobs.get(request.path_params["job_id"])
        if job is None or job.account != account:
            raise Refusal("TRANSCRIPTION_NOT_FOUND", "Transcription not found")
        self.desk.delete(job)  # again is 204 again
        return Response(b"", 204)

    async def _cancel(self, request: Request, account: str) -> Response:
        job = self.desk.get(account, request.path_params["job_id"])
        self.desk.cancel(job)
        answer = {"id": job.id, "status": "failed", **make_envelope(*CANCELLED)}
        return answer_json(answer | {"released_cents": to_cents(job.released_micros)})

    async def _list(self, request: Request, account: str) -> Response:
        lag_s = decision_of(request.scope).list_lag_s
        return answer_json(make_page(self.desk, account, request.query_params, lag_s=lag_s))

    async def _upload(self, request: Request, account: str) -> Response:
        content_type = check_filename(_parse(await _read_body(request)))
        upload = make_upload(account, content_type, self.backstage.clock.now())
        self.desk.keep_upload(upload)
        base_url = str(request.base_url).rstrip("/")
        return answer_json(make_upload_answer(upload, base_url, self.settings.upload_s))

    async def _put(self, request: Request, _account: str) -> Response:
        upload = self.desk.uploads.get(request.path_params["upload_id"])
        life_s, keeps = self.settings.upload_s, self.settings.looks_at_audio
        answer = await receive(request, upload, self.backstage, life_s=life_s, keeps=keeps)
        if upload is not None and answer.status_code == 200:
            self.desk.keep_upload(upload)
        return answer

    async def _balance(self, _request: Request, account: str) -> Response:
        available = self.desk.available_micros(account)
        return answer_json(
            {
                "balance_cents": to_cents(self.desk.balance_micros(account)),
                "reserved_cents": to_cents(self.desk.reserved_micros(account)),
                "available_cents": to_cents(available),
                "price_per_hour_cents": to_cents(PRICE_PER_HOUR_MICROS),
                "estimated_hours_available": round(available / PRICE_PER_HOUR_MICROS, 2),
                "deposit_url": "https://platform.scriptivox.com/billing",
                "updated_at": write_instant(self.backstage.clock.now()),
            }
        )


def _accepted(job_id: str) -> dict[str, str]:
    told = "Transcription created. Poll GET /v1/transcribe/{id} for status updates."
    return {"id": job_id, "status": "created", "message": told}


async def _read_body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        accept = {"accept-post": "application/json"}
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json", accept)
    raw = await request.body()
    if len(raw) > _MAX_BODY_BYTES:
        raise Refusal("PAYLOAD_TOO_LARGE", "The body is larger than 100 KB")
    return raw


def _parse(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("INVALID_REQUEST", "The body is not JSON") from None
