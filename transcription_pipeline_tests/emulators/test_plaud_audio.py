"""Plaud emulated: a real recording through upload, job and recogniser, and what is no audio."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import Shelf
from transcription_pipeline_tests.emulators.plaud_wire import Customer

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    """One emulator that looks at its audio, without limits on looks at jobs."""
    told: dict[str, Any] = {"fetch_audio": True, "requests_per_min": 0, "chunk_bytes": 32_768}
    with EmulatorServer("plaud", job_s=0.0, **told) as server:
        yield server


def wait_for_end(customer: Customer, job: str) -> dict[str, Any]:
    """Look until a job is over."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        answer = customer.look(job)
        if answer["status"] in ("SUCCESS", "FAILURE", "REVOKED"):
            return answer
        threading.Event().wait(0.02)
    raise AssertionError("still not over")


@pytest.mark.slow
def test_a_real_recording_is_recognised(emulator: EmulatorServer) -> None:
    """An MP3 in three chunks comes back as words, and its real length is charged."""
    emulator.configure(speech="recognised")
    customer = Customer(emulator.base_url)
    content = (SAMPLES / "hotel.mp3").read_bytes()
    assert len(content) > 2 * 32_768
    answer = wait_for_end(customer, customer.start(customer.upload(content)["DownloadUrl"]))
    assert answer["status"] == "SUCCESS"
    assert answer["data"]["duration"] == 15
    assert len(answer["data"]["text"].split()) > 10
    (line,) = emulator.invoice()
    assert 14_000 < line["audio_ms"] < 14_500
    assert line["file_md5"] == hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("billed", ["success", "submit"])
def test_what_is_no_audio_fails_unpaid(emulator: EmulatorServer, billed: str) -> None:
    """A file without audio fails its job, or its submit where that has to know the length."""
    emulator.configure(billed=billed)
    customer = Customer(emulator.base_url)
    url = customer.upload((SAMPLES / "text.mp3").read_bytes())["DownloadUrl"]
    if billed == "submit":
        assert customer.submit(url).status == 500
    else:
        answer = wait_for_end(customer, customer.start(url))
        assert (answer["status"], answer["message"]) == ("FAILURE", "The file is not audio")
    assert emulator.invoice() == []


def test_an_external_url_is_fetched_where_it_is_accepted(
    emulator: EmulatorServer, shelf: Shelf
) -> None:
    """The address is asked for byte for byte as it was given; a missing file fails the job."""
    emulator.configure(external_urls="accepted")
    customer = Customer(emulator.base_url)
    shelf.files["/call.mp3"] = (200, (SAMPLES / "hotel.mp3").read_bytes())
    good, gone = shelf.url("/call.mp3?a=b%2Fc"), shelf.url("/gone.mp3")
    assert wait_for_end(customer, customer.start(good))["status"] == "SUCCESS"
    assert "404" in wait_for_end(customer, customer.start(gone))["message"]
    assert shelf.asked == ["/call.mp3?a=b%2Fc", "/gone.mp3"]
