"""Plaud emulated: the life of a job in its seven statuses, both result shapes, the invoice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.emulators.clock import Clock
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.plaud_wire import (
    CONTENT,
    JOB_S,
    JOBS,
    Customer,
    customer,
    emulator,
    error_of,
    server,
    settings,
)

__all__ = ["customer", "emulator", "server", "settings"]  # fixtures

UNFINISHED = {"PENDING", "RECEIVED", "STARTED", "PROGRESS"}


def finish(emulator: EmulatorServer, customer: Customer, job: str) -> dict[str, Any]:
    """Let the time of a job pass, and look at it."""
    emulator.advance(JOB_S)
    return customer.look(job)


def walk(emulator: EmulatorServer, customer: Customer) -> list[str]:
    """Look at a new job every two seconds until it is nearly over."""
    job = customer.start()
    seen = [customer.look(job)["status"]]
    for _ in range(14):
        emulator.advance(2)
        seen.append(customer.look(job)["status"])
    return seen


def test_an_unfinished_job_wanders(customer: Customer, emulator: EmulatorServer) -> None:
    """It shows all four unfinished statuses in no order, the same way for the same seed."""
    first = walk(emulator, customer)
    assert set(first) == UNFINISHED
    order = ["PENDING", "RECEIVED", "STARTED", "PROGRESS"]
    assert sorted(first, key=order.index) != first
    emulator.reset()
    assert walk(emulator, customer) == first
    emulator.reset()
    emulator.configure(walk_seed=1)
    assert walk(emulator, customer) != first
    emulator.configure(walk="ordered")
    assert walk(emulator, customer) == [*order[:3], *["PROGRESS"] * 12]


def test_success_in_the_shape_of_the_pages(customer: Customer, emulator: EmulatorServer) -> None:
    """Segments with seconds and text; no speaker where none was asked for; the text is theirs."""
    data = finish(emulator, customer, customer.start())["data"]
    assert data.keys() == {"text", "language", "duration", "segments"}
    assert (data["language"], data["duration"]) == ("en", 37)
    rows = data["segments"]
    assert len(rows) > 1
    assert all(row.keys() == {"start", "end", "text"} for row in rows)
    assert all(0 <= row["start"] < row["end"] <= 36.2 for row in rows)
    assert [row["start"] for row in rows] == sorted(row["start"] for row in rows)
    assert data["text"] == " ".join(row["text"] for row in rows)


def test_success_in_the_shape_of_the_specification(
    customer: Customer, emulator: EmulatorServer
) -> None:
    """Results with a speaker id and a language of their own; embeddings where they were asked for."""
    emulator.configure(result_shape="results", detected_language="en-US", duration="down")
    wanted = {"enabled": True, "return_embedding": True}
    data = finish(emulator, customer, customer.start(diarization=wanted))["data"]
    assert data.keys() == {"text", "language", "duration", "results", "embeddings"}
    assert (data["language"], data["duration"]) == ("en-US", 36)
    row = data["results"][0]
    assert row.keys() == {"start", "end", "text", "speaker_id", "language", "language_probability"}
    speakers = {row["speaker_id"] for row in data["results"]}
    assert speakers == data["embeddings"].keys() == {"Speaker 1", "Speaker 2"}
    assert all(len(vector) == 256 for vector in data["embeddings"].values())


def test_both_shapes_at_once(customer: Customer, emulator: EmulatorServer) -> None:
    """The same rows under both names; the language that was asked for; no embeddings unasked."""
    emulator.configure(result_shape="both")
    params = {"diarization": {"enabled": True}, "transcribe": {"language": "de"}}
    data = finish(emulator, customer, customer.start(**params))["data"]
    assert data["language"] == "de"
    assert "embeddings" not in data
    both = zip(data["segments"], data["results"], strict=True)
    assert all((a["text"], a["speaker"]) == (b["text"], b["speaker_id"]) for a, b in both)


@pytest.mark.parametrize(
    ("ordered", "status", "reason"),
    [
        ("out of order", "FAILURE", "out of order"),
        ("REVOKED: by an operator", "REVOKED", "by an operator"),
        ("REVOKED", "REVOKED", "Revoked"),
    ],
)
def test_a_job_fails_or_is_revoked(
    customer: Customer, emulator: EmulatorServer, ordered: str, status: str, reason: str
) -> None:
    """Both ends are unpaid, and say why in ``message``, in ``data.error``, or not at all."""
    emulator.set_faults({"action": "job_error", "operation": "submit", "error": ordered})
    job = customer.start()
    told = {"transcription_id": job, "status": status, "data": {}}
    assert finish(emulator, customer, job) == told | {"message": reason}
    emulator.configure(failure_reason="data.error")
    assert customer.look(job) == told | {"data": {"error": reason}}
    emulator.configure(failure_reason="absent")
    assert customer.look(job) == told
    assert emulator.invoice() == []


def test_jobs_that_go_strange_ways(customer: Customer, emulator: EmulatorServer) -> None:
    """One never ends; one shows a status that no page knows, and then succeeds."""
    emulator.set_faults({"action": "stuck", "operation": "submit"})
    stuck = customer.start()
    emulator.set_faults({"action": "unknown_status", "operation": "submit", "job_status": "RETRY"})
    strange = customer.start()
    emulator.advance(JOB_S - 1)
    assert customer.look(strange)["status"] == "RETRY"
    emulator.advance(86_400)
    assert customer.look(strange)["status"] == "SUCCESS"
    assert customer.look(stuck)["status"] in UNFINISHED


def test_faults_of_the_connection(customer: Customer, emulator: EmulatorServer) -> None:
    """A submit that was done and not answered is charged, and there is no way to find it."""
    url = customer.upload()["DownloadUrl"]
    emulator.set_faults({"action": "drop_after", "operation": "submit", "nth": 1})
    with pytest.raises(ConnectionError):
        customer.submit(url)
    emulator.set_faults({"action": "status", "operation": "get", "status": 400})
    assert error_of(customer.ask("GET", f"{JOBS}x", **customer.keyed))[0] == 400
    emulator.set_faults({"action": "status", "operation": "put", "status": 503})
    with pytest.raises(AssertionError, match="Bad Gateway"):
        customer.upload()
    emulator.set_faults()
    emulator.advance(JOB_S)
    assert len(emulator.invoice()) == 1
    counts = emulator.request_counts()
    assert counts["token"] == counts["user_token"] == counts["presign"] == 2
    assert (counts["put"], counts["complete"], counts["submit"], counts["get"]) == (4, 1, 1, 1)


def test_the_invoice(customer: Customer, emulator: EmulatorServer) -> None:
    """$0.28 per hour at success: a line per job, with what tells recordings apart."""
    first, again = customer.upload(), customer.upload()
    jobs = [customer.start(one["DownloadUrl"]) for one in (first, again, again)]
    assert emulator.invoice() == []
    emulator.advance(JOB_S)
    lines = emulator.invoice()
    assert [line["provider_job_id"] for line in lines] == jobs
    assert [line["file_id"] for line in lines] == [one["FileId"] for one in (first, again, again)]
    assert {line["file_md5"] for line in lines} == {hashlib.md5(CONTENT).hexdigest()}
    # 37 seconds begun; 280,000 micros an hour.
    assert {(line["amount_micros"], line["currency"]) for line in lines} == {(2_878, "USD")}
    assert {line["items"]["transcription"] for line in lines} == {280_000}


def test_billing_at_submit(customer: Customer, emulator: EmulatorServer) -> None:
    """Where it is set, a job is charged once, when it is taken in, and a failed one stays paid."""
    emulator.configure(billed="submit")
    emulator.set_faults({"action": "job_error", "operation": "submit", "nth": 1})
    job = customer.start()
    assert [line["amount_micros"] for line in emulator.invoice()] == [2_878]
    assert finish(emulator, customer, job)["status"] == "FAILURE"
    assert finish(emulator, customer, customer.start())["status"] == "SUCCESS"
    assert len(emulator.invoice()) == 2


def test_external_urls(customer: Customer, emulator: EmulatorServer) -> None:
    """A URL that is no DownloadUrl is a 500, or taken; its token then marks the charge."""
    url = "https://audio.test/call.mp3?x-tp-attempt=t1"
    assert error_of(customer.submit(url))[0] == 500
    unknown = f"{emulator.base_url}/_storage/files/file_0?X-Amz-Signature=0"
    assert customer.submit(unknown).status == 500
    emulator.configure(external_urls="accepted")
    assert finish(emulator, customer, customer.start(url))["status"] == "SUCCESS"
    (line,) = emulator.invoice()
    assert (line["attempt_token"], line["file_id"], line["file_md5"]) == ("t1", None, None)


def test_a_dead_download_url(customer: Customer, emulator: EmulatorServer) -> None:
    """After a day it spoils the job, in the queue as well, or the submit; unpaid, all of them."""
    url = customer.upload()["DownloadUrl"]
    emulator.configure(queue_s=86_399)
    emulator.advance(2)
    waiting = customer.start(url)
    emulator.advance(86_399)
    emulator.configure(queue_s=0)
    late, changed = customer.start(url), customer.start(f"{customer.upload()['DownloadUrl']}0")
    for job in (waiting, late, changed):
        assert customer.look(job)["status"] == "FAILURE"
    assert customer.look(late)["message"] == "The file could not be downloaded (AccessDenied)"
    emulator.configure(dead_urls="submit")
    assert error_of(customer.submit(url))[0] == 500
    assert emulator.invoice() == []


def test_models(customer: Customer, emulator: EmulatorServer) -> None:
    """A model that is not listed is refused, or ignored."""
    url = customer.upload()["DownloadUrl"]
    other = {"transcribe": {"model": "plaud-next"}}
    assert customer.submit(url, transcribe={"model": "plaud-omni-3"}).status == 200
    assert customer.submit(url, **other).status == 422
    emulator.configure(unknown_models="ignored")
    assert customer.submit(url, **other).status == 200


def test_jobs_nobody_knows(customer: Customer, emulator: EmulatorServer) -> None:
    """Unknown, foreign and old ids are 404, or PENDING for ever."""
    job = customer.start()
    assert finish(emulator, customer, job)["status"] == "SUCCESS"
    other = Customer(emulator.base_url, "client_b")
    emulator.advance(7 * 86_400)
    assert customer.look(job)["status"] == "SUCCESS"
    emulator.advance(1)
    for asking, wanted in ((customer, job), (other, job), (customer, "task_exec_0")):
        assert asking.ask("GET", f"{JOBS}{wanted}", **asking.keyed).status == 404
    emulator.configure(unknown_id="pending")
    told = {"transcription_id": job, "status": "PENDING", "data": {}}
    assert customer.look(job) == told


def test_long_recordings(customer: Customer, emulator: EmulatorServer) -> None:
    """Seven hours are too long with speakers only, twenty-five always."""
    emulator.configure(audio_s=7 * 3_600.0)
    assert finish(emulator, customer, customer.start())["status"] == "SUCCESS"
    spoken = customer.start(diarization={"enabled": True})
    assert finish(emulator, customer, spoken)["status"] == "FAILURE"
    emulator.configure(audio_s=25 * 3_600.0)
    assert finish(emulator, customer, customer.start())["status"] == "FAILURE"


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Tokens, parts, files, jobs, charges and words survive; an unfinished job goes on."""
    told: dict[str, Any] = {"job_s": JOB_S, "audio_s": 36.2, "chunk_bytes": 10}
    journal, clock = tmp_path / "journal", Clock(frozen_at=1_800_000_000.0)
    with EmulatorServer("plaud", state=journal, clock=clock, **told) as first:
        customer = Customer(first.base_url)
        pair, user = customer.partner(), customer.user()
        assert customer.refresh(pair["refresh_token"]).status == 200
        file = customer.upload()
        done = customer.start(file["DownloadUrl"])
        words = finish(first, customer, done)
        assert words["status"] == "SUCCESS"
        waiting, lines = customer.start(file["DownloadUrl"]), first.invoice()
        promise = customer.promise(len(CONTENT), user)
        parts = customer.put_all(promise, CONTENT)
    clock = Clock(frozen_at=clock.now())
    with EmulatorServer("plaud", state=journal, clock=clock, **told) as second:
        customer = Customer(second.base_url)
        assert second.invoice() == lines
        assert customer.look(done) == words
        assert customer.refresh(pair["refresh_token"]).status == 401
        assert customer.complete(promise, parts, user).status == 200
        assert customer.ask_store("GET", file["DownloadUrl"]).body == CONTENT
        assert finish(second, customer, waiting)["status"] == "SUCCESS"
        assert len(second.invoice()) == 2
        assert not list((tmp_path / "journal.files").glob("part-*"))


def test_a_job_charged_at_submit_is_not_charged_again_after_a_restart(tmp_path: Path) -> None:
    """What a journal says was charged at submit is not charged at the end of the job."""
    told: dict[str, Any] = {"job_s": JOB_S, "billed": "submit"}
    journal, clock = tmp_path / "journal", Clock(frozen_at=1_800_000_000.0)
    with EmulatorServer("plaud", state=journal, clock=clock, **told) as first:
        job = Customer(first.base_url).start()
    with EmulatorServer("plaud", state=journal, clock=clock, **told) as second:
        assert finish(second, Customer(second.base_url), job)["status"] == "SUCCESS"
        assert len(second.invoice()) == 1
