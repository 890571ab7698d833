"""``tp webhooks`` as a deployment runs it."""

from __future__ import annotations

import http.client
import json
import re
import signal
from contextlib import closing

from transcription_pipeline_tests.world import World

SECRET = "canary-hook-secret"


def test_a_job_tells_of_its_end(world: World) -> None:
    """The service tells the receiver, the receiver keeps it, and ends when it is asked to."""
    receiver = world.start("webhooks", "--port", "0", TRANSCRIPTION_WEBHOOK_SECRET=SECRET)
    assert receiver.stdout is not None
    line = receiver.stdout.readline()
    (url,) = re.findall(r"http://\S+", line)
    assert "assemblyai" in line
    routes = [{"match": "**", "providers": ["assemblyai"], "webhook": url}]
    world.put("appointment.flac")
    hooked = {
        "TRANSCRIPTION__ROUTES": json.dumps(routes),
        "TRANSCRIPTION_WEBHOOK_SECRET": SECRET,
    }
    world.json("run", **hooked)
    (job,) = world.json("jobs", **hooked)
    assert job["state"] == "published"
    path = f"/v2/transcript/{job['provider_job_id']}"
    with closing(http.client.HTTPConnection("127.0.0.1", world.emulator.port)) as connection:
        connection.request("GET", path, headers={"Authorization": "canary-5f1e-secret"})
        assert json.loads(connection.getresponse().read())["webhook_status_code"] == 204
    receiver.send_signal(signal.SIGTERM)
    out, err = receiver.communicate(timeout=20)
    assert receiver.returncode == 0
    assert SECRET not in out + err


def test_a_route_needs_the_secret(world: World) -> None:
    """Without it no delivery could be proved: a configuration error that names the variable."""
    routes = [{"match": "**", "providers": ["assemblyai"], "webhook": "https://example.com"}]
    told = world.tp("status", code=2, TRANSCRIPTION__ROUTES=json.dumps(routes))
    assert "assemblyai: webhook needs TRANSCRIPTION_WEBHOOK_SECRET" in told


def test_the_receiver_needs_a_secret(world: World) -> None:
    """It does not listen where it could believe nobody."""
    world.environment.pop("SCRIPTIVOX_API_KEY", None)
    assert "TRANSCRIPTION_WEBHOOK_SECRET" in world.tp("webhooks", code=2)
