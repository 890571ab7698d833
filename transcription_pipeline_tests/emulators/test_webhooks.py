"""What the emulated Scriptivox and Aitronos tell a customer's webhook, how it is signed, and when not."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators import aitronos_wire as aitronos
from transcription_pipeline_tests.emulators.conftest import Shelf
from transcription_pipeline_tests.emulators.scriptivox_wire import ScriptivoxWire, code_of

JOB_S = 30.0
KEY = "sk_live_hook"
HASHED = sha256(KEY.encode())


@pytest.fixture
def scriptivox() -> Iterator[EmulatorServer]:
    """A new Scriptivox; its clock moves only when a test moves it."""
    with EmulatorServer("scriptivox", job_s=JOB_S, audio_s=120.0, word_count=30) as server:
        server.control("clock", {"is_frozen": True})
        yield server


@pytest.fixture
def freddy() -> Iterator[EmulatorServer]:
    """A new Aitronos; its clock moves only when a test moves it."""
    with EmulatorServer("aitronos", job_s=JOB_S, audio_s=120.0, word_count=30) as server:
        server.control("clock", {"is_frozen": True})
        yield server


def start(server: EmulatorServer, **options: Any) -> str:
    """Submit a job to Scriptivox."""
    return ScriptivoxWire(server.base_url, key=KEY).start_job(**options)


def hear(shelf: Shelf, count: int = 1) -> list[dict[str, Any]]:
    """Wait until so many deliveries have come in all, and read them."""
    for _ in range(count):
        assert shelf.posted_one.acquire(timeout=30)
    return [json.loads(body) for _, _, body in shelf.posted]


def assert_silence(shelf: Shelf) -> None:
    """Nothing more comes."""
    assert not shelf.posted_one.acquire(timeout=0.3)


@pytest.mark.parametrize(
    ("variant", "key"),
    [
        ("sha256_digest", HASHED.digest()),
        ("sha256_hex", HASHED.hexdigest().encode()),
        ("api_key", KEY.encode()),
    ],
)
def test_scriptivox_tells_of_work_and_its_end(
    scriptivox: EmulatorServer, shelf: Shelf, variant: str, key: bytes
) -> None:
    """Two deliveries without a transcript, each signed over timestamp and body."""
    scriptivox.configure(webhook_key=variant)
    job = start(scriptivox, webhook_url=shelf.url("/hook"))
    priced = {"transcription_id": job, "duration_seconds": 120, "cost_cents": 0.6667}
    working = {"event": "transcription.processing", "status": "processing", **priced}
    assert hear(shelf) == [working]
    scriptivox.advance(JOB_S)
    assert hear(shelf)[1] == {"event": "transcription.completed", "status": "completed", **priced}
    for _, headers, body in shelf.posted:
        stamp = headers["x-scriptivox-timestamp"]
        assert abs(float(stamp) - scriptivox.control("clock")["now"]) <= JOB_S + 1
        made = hmac.new(key, stamp.encode() + b"." + body, sha256).hexdigest()
        assert headers["x-scriptivox-signature"] == made
    assert_silence(shelf)


def test_scriptivox_tells_of_failures(scriptivox: EmulatorServer, shelf: Shelf) -> None:
    """A failed job's code and message are nested; a cancelled job is a failed one."""
    rule = {"operation": "submit", "nth": 1, "action": "job_error", "error": "PROCESSING_ERROR: x"}
    scriptivox.set_faults(rule)
    job = start(scriptivox, webhook_url=shelf.url("/hook"))
    scriptivox.advance(JOB_S)
    ended = {"event": "transcription.failed", "status": "failed", "transcription_id": job}
    assert hear(shelf, 2)[1] == {**ended, "error": {"code": "PROCESSING_ERROR", "message": "x"}}
    job = start(scriptivox, webhook_url=shelf.url("/hook"))
    ScriptivoxWire(scriptivox.base_url, key=KEY).ask("POST", f"/v1/transcribe/{job}/cancel")
    assert hear(shelf, 2)[3]["error"]["code"] == "CANCELLED"


def test_scriptivox_sends_once_and_follows_one_redirect(
    scriptivox: EmulatorServer, shelf: Shelf
) -> None:
    """A moved webhook gets the same POST, once; a failing one is not asked again."""
    shelf.post_statuses[:] = [307, 308, 500]
    scriptivox.configure(webhook_url=shelf.url("/account"))  # the account's default
    start(scriptivox)
    told = hear(shelf, 2)
    assert told[0] == told[1]
    assert [path for path, _, _ in shelf.posted] == ["/account", "/moved?to=here"]
    assert (
        shelf.posted[0][1]["x-scriptivox-signature"]
        == (shelf.posted[1][1]["x-scriptivox-signature"])
    )
    scriptivox.advance(JOB_S)
    hear(shelf)
    scriptivox.advance(3_600)
    assert_silence(shelf)


def test_scriptivox_calls_https_unless_it_is_switched(
    scriptivox: EmulatorServer, shelf: Shelf
) -> None:
    """HTTP is for this machine alone, or for nobody, or for everybody."""
    client = ScriptivoxWire(scriptivox.base_url, key=KEY)
    assert code_of(client.start(webhook_url="http://a.test"))[1] == "INVALID_REQUEST"
    assert code_of(client.start(webhook_url="https://[a"))[1] == "INVALID_REQUEST"
    scriptivox.configure(http_webhooks="refused")
    assert code_of(client.start(webhook_url=shelf.url("/")))[1] == "INVALID_REQUEST"
    scriptivox.configure(http_webhooks="allowed", drops_webhooks=True)
    client.start_job(webhook_url="http://a.test")


def test_aitronos_tells_of_the_end_in_the_general_envelope(
    freddy: EmulatorServer, shelf: Shelf
) -> None:
    """Event, data, timestamp and two ids; event, signature and delivery in headers."""
    body = aitronos.make_body(webhook={"url": shelf.url("/hook/token")})
    path = aitronos.create(freddy, body)
    assert_silence(shelf)
    freddy.advance(JOB_S)
    (told,) = hear(shelf)
    sent_to, headers, raw = shelf.posted[0]
    job = {"transcription_id": path.rpartition("/")[2], "status": "completed"}
    assert (sent_to, told["event"], told["data"]) == (
        "/hook/token",
        "transcription.completed",
        job,
    )
    assert told.keys() == {"event", "data", "timestamp", "webhook_id", "delivery_id"}
    signature = hmac.new(b"whsec_emulated", raw, sha256).hexdigest()
    assert headers["x-freddy-signature"] == f"sha256={signature}"
    assert headers["x-freddy-event"] == told["event"]
    assert headers["x-freddy-delivery"] == told["delivery_id"]
    assert headers["user-agent"] == "Freddy-Webhook/1.0"
    # Whoever was told can see it, however short ago the job was looked at.
    assert aitronos.ask(freddy, "GET", path).json["data"]["status"] == "completed"


@pytest.mark.parametrize(
    ("events", "fails", "is_told"),
    [
        (["transcription.completed"], True, False),
        (["transcription.failed"], True, True),
        (["transcription.failed"], False, False),
        ([], False, False),
    ],
)
def test_aitronos_tells_of_wanted_events_alone(
    freddy: EmulatorServer, shelf: Shelf, events: list[str], fails: bool, is_told: bool
) -> None:
    """What is not among the events is not told; without a secret nothing is signed."""
    freddy.configure(webhook_secret="")
    if fails:
        freddy.set_faults({"operation": "submit", "action": "job_error"})
    hook = {"url": shelf.url("/hook"), "events": events}
    aitronos.create(freddy, aitronos.make_body(webhook=hook))
    freddy.advance(JOB_S)
    if is_told:
        assert hear(shelf)[0]["data"]["status"] == "failed"
        assert "x-freddy-signature" not in shelf.posted[0][1]
    assert_silence(shelf)


@pytest.mark.parametrize("name", ["scriptivox", "freddy"])
def test_deliveries_can_be_lost(request: pytest.FixtureRequest, shelf: Shelf, name: str) -> None:
    """With the switch set nothing is sent, at no time."""
    server: EmulatorServer = request.getfixturevalue(name)
    server.configure(drops_webhooks=True)
    if name == "freddy":
        aitronos.create(server, aitronos.make_body(webhook={"url": shelf.url("/")}))
    else:
        start(server, webhook_url=shelf.url("/"))
    server.advance(JOB_S)
    time.sleep(0.1)
    server.configure(drops_webhooks=False)
    server.advance(3_600)
    assert_silence(shelf)
