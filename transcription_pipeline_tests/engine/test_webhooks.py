"""Webhooks: kept before they are answered, then only a hint that shortens a wait."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uvicorn

from transcription_pipeline.domain.route import Route
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.webhooks import MAX_BODY_BYTES, Receiver
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.engine.scenes import AitronosScene, ScriptivoxScene
from transcription_pipeline_tests.s3_servers import S3Server

SECRET = "hook-secret-71"
JOB = "5f0c1d2e-aaaa-bbbb-cccc-0123456789ab"


SCENES: Mapping[str, tuple[type[Scene], dict[str, Any], dict[str, Any], str]] = {
    "assemblyai": (Scene, {}, {"webhook_secret": SECRET}, SECRET),
    "aitronos": (AitronosScene, {"refresh_s": 0.0}, {"webhook_secret": SECRET}, SECRET),
    "aitronos, looked at rarely": (
        AitronosScene,
        {},  # a job is refreshed every ten seconds
        {"webhook_secret": SECRET, "look_s": 10.0},
        SECRET,
    ),
    "scriptivox": (ScriptivoxScene, {}, {}, "engine-key"),
    "scriptivox, another key": (ScriptivoxScene, {"webhook_key": "api_key"}, {}, "engine-key"),
}
"""World, emulator's settings, client's arguments, and the secret that proves deliveries."""


@contextmanager
def _receive(ledger: Ledger, provider: str = "assemblyai", secret: str = SECRET) -> Iterator[int]:
    app = Receiver(ledger, {provider: secret}).make_app()
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


@contextmanager
def _build(
    name: str, server: S3Server, folder: Path, bucket: str = "", **settings: Any
) -> Iterator[tuple[Scene, int]]:
    """Make a world whose jobs take half a second, and a receiver of its webhooks."""
    kind, own, client, secret = SCENES[name]
    told = {"job_s": 0.5, "audio_s": 30.0, "word_count": 40, **own, **settings}
    folder.mkdir(exist_ok=True)
    with EmulatorServer(kind.provider, **told) as emulator:
        scene = kind.build(emulator, server, folder, bucket=bucket, **client)
        with closing(scene.tools.ledger) as ledger, _receive(ledger, kind.provider, secret) as port:
            yield scene, port


def _wish(scene: Scene, port: int | None) -> None:
    options = {"webhook": f"http://127.0.0.1:{port}"} if port else {}
    route = Route(match="**", providers=(scene.provider,), options=options)
    scene.tools = replace(scene.tools, routes=(route,))


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("name", SCENES)
def test_a_hint_shortens_the_wait(
    tmp_path: Path, ministack: S3Server, name: str, is_told: bool
) -> None:
    """A job thought to take minutes is noticed when the provider tells of it, and not before."""
    with _build(name, ministack, tmp_path) as (scene, port):
        slow = WaitModel()
        for _ in range(40):
            slow.learn(1.0, 300.0)
        scene.tools.ledger.save_wait_model(scene.provider, slow)
        scene.limit(window_s=10.0 if is_told else 4.0)
        _wish(scene, port if is_told else None)
        scene.put(["a.wav"])
        report = scene.run()
        if is_told:
            assert report.counts["stored"] == 1
        else:
            assert report.counts["window_ended"] == 1
            assert scene.tools.ledger.list_deliveries(scene.provider, 0) == []
        scene.emulator.advance(1)  # what is paid at the end of a job is paid by now
        scene.assert_each_is_paid_once()
        assert SECRET not in "\n".join(scene.tools.ledger._engine.raw_connection().iterdump())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["aitronos", "scriptivox"])
def test_lost_deliveries_change_no_table(tmp_path: Path, ministack: S3Server, name: str) -> None:
    """The same recordings give the same rows whether every delivery comes or none does."""
    bucket, found = ministack.create_bucket(), []
    for drops in (False, True):
        folder = tmp_path / f"drops-{drops}"
        with _build(name, ministack, folder, bucket, drops_webhooks=drops) as (scene, port):
            _wish(scene, port)
            scene.put(["a.wav", "b.wav"])
            assert scene.run().counts["stored"] == 2
            assert scene.write().published == 2
            latest = time.monotonic() + (0.2 if drops else 30.0)
            while not scene.tools.ledger.list_deliveries(scene.provider, 0) and (
                time.monotonic() < latest
            ):
                time.sleep(0.05)
            assert bool(scene.tools.ledger.list_deliveries(scene.provider, 0)) is not drops
        files = sorted((folder / "lake" / "tables").rglob("*.parquet"))
        kept = [file for file in files if {"segments", "utterances", "words"} & {*file.parts}]
        found.append([pq.read_table(file).to_pylist() for file in kept])
    assert found[0] == found[1]
    assert any(found[0])
