"""Webhooks: kept before they are answered, then only a hint that shortens a wait."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from transcription_pipeline.domain.route import Route
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.webhooks import MAX_BODY_BYTES, Receiver
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server

SECRET = "hook-secret-71"
JOB = "5f0c1d2e-aaaa-bbbb-cccc-0123456789ab"


@contextmanager
def _receive(ledger: Ledger) -> Iterator[int]:
    app = Receiver(ledger, {"assemblyai": SECRET}).make_app()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _post(port: int, path: str, body: bytes, secret: str = SECRET) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, body, {"X-Webhook-Secret": secret})
        return connection.getresponse().status


def _tell(status: str = "completed") -> bytes:
    return json.dumps({"transcript_id": JOB, "status": status}).encode()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db")) as opened:
        yield opened


def test_a_delivery_is_kept_once(ledger: Ledger) -> None:
    """Repeated deliveries are one; another status of the same job is another."""
    with _receive(ledger) as port:
        assert [_post(port, "/assemblyai", _tell()) for _ in range(3)] == [204] * 3
        assert _post(port, "/assemblyai", _tell("error")) == 204
    assert [job for _, job in ledger.list_deliveries("assemblyai", 0)] == [JOB, JOB]


def test_what_is_not_proved_or_readable_is_not_kept(ledger: Ledger) -> None:
    """401 for a wrong secret, 400 for no delivery, 404 for whom we do not know, 413 for too much."""
    with _receive(ledger) as port:
        assert _post(port, "/assemblyai", _tell(), secret="guess") == 401
        assert _post(port, "/assemblyai", b"[1]") == 400
        assert _post(port, "/scriptivox", _tell()) == 404
        assert _post(port, "/assemblyai", b" " * (MAX_BODY_BYTES + 1)) == 413
    assert ledger.list_deliveries("assemblyai", 0) == []


def test_a_delivery_that_cannot_be_kept_is_not_taken(ledger: Ledger) -> None:
    """Without the ledger the answer is 503, so that the provider may repeat it."""
    with _receive(ledger) as port:
        with ledger._write() as connection:
            connection.exec_driver_sql("DROP TABLE webhook_deliveries")
        assert _post(port, "/assemblyai", _tell()) == 503


@pytest.mark.parametrize("is_told", [True, False])
def test_a_hint_shortens_the_wait(tmp_path: Path, ministack: S3Server, is_told: bool) -> None:
    """A job thought to take minutes is noticed when the provider tells of it, and not before."""
    with EmulatorServer("assemblyai", job_s=0.5) as emulator:
        scene = Scene.build(emulator, ministack, tmp_path, webhook_secret=SECRET)
        slow = WaitModel()
        for _ in range(40):
            slow.learn(1.0, 300.0)
        scene.tools.ledger.save_wait_model(scene.provider, slow)
        scene.limit(window_s=4.0)
        with _receive(scene.tools.ledger) as port:
            options = {"webhook": f"http://127.0.0.1:{port}"} if is_told else {}
            route = Route(match="**", providers=(scene.provider,), options=options)
            scene.tools = replace(scene.tools, routes=(route,))
            scene.put(["a.wav"])
            started_at = time.monotonic()
            report = scene.run()
            took_s = time.monotonic() - started_at
        if is_told:
            assert report.counts["stored"] == 1
            assert took_s < 3.5
        else:
            assert report.counts["window_ended"] == 1
        scene.assert_each_is_paid_once()
        assert SECRET not in "\n".join(scene.tools.ledger._engine.raw_connection().iterdump())  # type: ignore[attr-defined]
