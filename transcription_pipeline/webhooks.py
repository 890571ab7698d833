"""The receiver of webhooks: a delivery is kept before it is answered, and then only a hint.

What belongs here: paths, caps and answers over HTTP. What does not: who signs how
(``providers/webhooks.py``) and what a hint changes (``Ledger.record_delivery``: the job it names is
looked at now instead of later). Polling alone gives the same tables; ``tp webhooks`` serves this.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transcription_pipeline.errors import ConfigurationError, LedgerError, WebhookRefused
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers.webhooks import READERS, Arrival

MAX_BODY_BYTES = 64 * 1024
"""Deliveries are a line of JSON."""
MAX_BODY_BYTES_OF = {"scriptivox": 16 * 1024 * 1024}
"""An older page of Scriptivox showed a transcript inside, which is skipped unread."""
CONNECTIONS = 64
"""More at a time are answered 503."""


class Receiver:
    """Takes deliveries for the providers whose secret is known."""

    def __init__(self, ledger: Ledger, secrets: Mapping[str, str]) -> None:
        self._ledger = ledger
        self._secrets = secrets
        """Provider → the secret that proves its deliveries."""

    def make_app(self) -> Starlette:
        """Build the application."""
        return Starlette(
            routes=[
                Route("/health", self._tell_health),
                Route("/{provider}", self._receive, methods=["POST"]),
                Route("/{provider}/{token}", self._receive, methods=["POST"]),
            ]
        )

    async def _tell_health(self, request: Request) -> Response:
        del request
        return Response(status_code=204)

    async def _receive(self, request: Request) -> Response:
        provider = request.path_params["provider"]
        if provider not in self._secrets:
            return Response(status_code=404)
        body = bytearray()
        cap = MAX_BODY_BYTES_OF.get(provider, MAX_BODY_BYTES)
        async for chunk in request.stream():
            body += chunk
            if len(body) > cap:
                return Response(status_code=413)
        token = request.path_params.get("token", "")
        arrival = Arrival(request.headers, bytes(body), token, time.time())
        try:
            delivery = READERS[provider][1](arrival, self._secrets[provider])
            if delivery is not None:
                await run_in_threadpool(
                    self._ledger.record_delivery,
                    provider,
                    delivery.provider_job_id,
                    status=delivery.status,
                    body_sha256=sha256(body).hexdigest(),
                    at=datetime.now(UTC),
                )
        except WebhookRefused as refusal:
            return Response(status_code=401 if refusal.is_forged else 400)
        except LedgerError:
            return Response(status_code=503)  # not kept, so not taken: who repeats, may repeat
        return Response(status_code=204)


def serve(
    ledger: Ledger,
    secrets: Mapping[str, str],
    host: str,
    port: int,
    *,
    say: Callable[[str], object],
) -> None:
    """Receive until SIGTERM or SIGINT; ``say`` is told the address once it can be reached.

    Raises ``ConfigurationError`` where host and port cannot be listened at.
    """
    try:
        listener = socket.create_server((host, port))
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"--host {host} --port {port}: {error}") from None
    say(f"webhooks of {', '.join(secrets)} are taken at http://{host}:{listener.getsockname()[1]}")
    app = Receiver(ledger, secrets).make_app()
    # No access log: one of the paths is a secret.
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    with listener:
        uvicorn.Server(config).run(sockets=[listener])
