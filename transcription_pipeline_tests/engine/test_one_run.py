"""A run in fair weather: what it does, what it costs, and what bounds it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_pipeline.domain.recording import AudioFacts, Recording
from transcription_pipeline.domain.route import Route
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.engine.preparing import find_refusal
from transcription_pipeline.providers.base import AudioDelivery, Capabilities
from transcription_pipeline.storage.layout import is_rewritten_by_clients
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server

KEYS = [f"calls/{number:02}.wav" for number in range(12)]


def test_every_recording_is_stored_published_and_paid_once(scene: Scene) -> None:
    """Twelve recordings go from the bucket to the tables in one run."""
    scene.put(KEYS)
    report = scene.run()
    assert report.due == report.counts["stored"] == report.counts["accepted"] == 12
    assert not report.failures
    assert scene.write().published == 12
    assert set(scene.attempt_states().values()) == {"published"}
    scene.assert_each_is_paid_once()


def test_the_report_carries_what_a_dashboard_shows(scene: Scene) -> None:
    """Counts, audio, requests and latencies are plain values."""
    scene.put(KEYS)
    summary = scene.run().summarise()
    assert summary["counts"] == {"accepted": 12, "stored": 12}
    assert all(type(name) is str for name in summary["counts"])
    assert summary["audio_ms"] == sum(1_000 + 10 * number for number in range(12))
    assert summary["request_count"] == sum(scene.emulator.request_counts().values())
    assert 0 < summary["latency_p50_s"] <= summary["latency_p95_s"] < 10
    assert summary["failures"] == []


def test_a_second_run_asks_the_provider_for_nothing(scene: Scene) -> None:
    """A finished partition is left alone."""
    scene.put(KEYS)
    scene.run()
    before = scene.emulator.request_counts()
    report = scene.run()
    assert report.due == 0
    assert report.request_count == 0
    assert scene.emulator.request_counts() == before


def test_the_longest_audio_goes_first(scene: Scene) -> None:
    """With room for one job at a time, recordings are submitted by length, longest first."""
    scene.emulator.configure(job_s=0.0)
    scene.use(concurrency=1)
    scene.put(KEYS)
    scene.run()
    history = [scene.tools.ledger.read_history(r)[0] for r in scene.keys]
    by_sent = sorted(zip(history, scene.keys.values(), strict=True), key=lambda row: row[0]["at"])
    order = [key for _, key in by_sent]
    # Two places (1.2 rounded up) are given away before everything has been looked into; two that
    # are sent at the same time may change places.
    wanted = sorted(order[4:], reverse=True)
    assert all(abs(n - wanted.index(key)) <= 1 for n, key in enumerate(order[4:]))


def test_the_provider_fetches_the_audio_by_signed_url(
    emulator: EmulatorServer, ministack: S3Server, tmp_path: Path
) -> None:
    """A server that verifies signatures gives the provider each recording it was sent."""
    emulator.configure(fetch_audio=True, word_count=2)
    scene = Scene.build(emulator, ministack, tmp_path)
    scene.put(["plain.wav", "with space & ümlaut+.wav"])
    report = scene.run()
    assert report.counts["stored"] == 2, report.failures
    scene.tools.ledger.close()


def test_keys_that_http_clients_rewrite_go_by_upload(scene: Scene) -> None:
    """A provider that normalised ``a/../b`` would fetch another object."""
    scene.put(["a/b.wav", "a//c.wav"])
    report = scene.run()
    assert report.counts["stored"] == 2
    assert scene.emulator.request_counts()["upload"] == 1
    assert scene.jobs()["a//c.wav"]["attempt_state"] == "stored"
    assert [line["attempt_token"] is None for line in scene.emulator.invoice()].count(True) == 1
    assert is_rewritten_by_clients("a/../b")
    assert not is_rewritten_by_clients("a..b/c.wav")


def test_upload_delivery_sends_the_bytes_and_no_url(scene: Scene) -> None:
    """With ``delivery = "upload"`` no signed URL leaves the house."""
    scene.use(delivery=AudioDelivery.UPLOAD)
    scene.put(KEYS[:3])
    assert scene.run().counts["stored"] == 3
    assert scene.emulator.request_counts()["upload"] == 3
    assert {line["attempt_token"] for line in scene.emulator.invoice()} == {None}
    assert len(scene.emulator.invoice()) == 3


def test_what_cannot_be_transcribed_costs_nothing(scene: Scene) -> None:
    """Text named audio, an empty file and a too short one are put aside; the rest goes on."""
    scene.tools.audio.put("text.wav", b"this is not audio at all" * 100)
    scene.tools.audio.put("empty.wav", b"")
    scene.put(["short.wav"], seconds=0.15)
    scene.put(["good.wav"], seconds=2.0)
    report = scene.run()
    assert report.counts["stored"] == 1
    assert report.counts["quarantined"] == 3
    causes = {key: row["cause"] for key, row in scene.jobs().items()}
    assert causes == {
        "text.wav": "not_audio",
        "empty.wav": "zero_bytes",
        "short.wav": "too_short",
        "good.wav": None,
    }
    assert scene.charges() == {"good.wav": 1}


@pytest.mark.parametrize(
    ("duration_ms", "size_bytes", "cause"),
    [
        (159, 1_000, "too_short"),
        (160, 1_000, None),
        (3_600_000, 1_000, None),
        (3_600_001, 1_000, "too_long"),
        (1_000, 5_001, "too_large"),
    ],
)
def test_a_provider_is_not_asked_for_what_it_could_only_reject(
    duration_ms: int, size_bytes: int, cause: str | None
) -> None:
    """Each limit a provider states is checked at its edge, before money is spent."""
    can = Capabilities(
        deliveries=(AudioDelivery.URL,),
        options=frozenset(),
        min_duration_ms=160,
        max_duration_ms=3_600_000,
        max_size_bytes=5_000,
    )
    facts = AudioFacts("wav", "pcm_s16le", 8_000, 1, duration_ms)
    recording = Recording("id", "bucket", "key", "etag", size_bytes, datetime.now(UTC), facts=facts)
    assert find_refusal(recording, can) == cause


def test_the_budget_of_the_day_is_kept(scene: Scene) -> None:
    """What does not fit waits for tomorrow, and fits then."""
    scene.put(KEYS[:4], seconds=3.0)
    one = scene.tools.make_provider["assemblyai"]().price({"diarize": True}, 3_040)
    assert one is not None
    scene.limit(cap_micros=2 * one.micros)
    report = scene.run()
    assert report.counts["stored"] == 2
    assert report.counts["postponed"] == 2
    assert {cause for _, _, cause in report.failures} == {"budget_exceeded"}
    assert scene.run().due == 0
    scene.pass_time(24 * 3600)
    assert scene.run().counts["stored"] == 2
    scene.assert_each_is_paid_once()


def test_the_budget_of_a_route_is_kept(scene: Scene) -> None:
    """One route's recordings wait for tomorrow while another's are sent."""
    scene.put(["calls/a.wav", "calls/b.wav", "other/c.wav"], seconds=3.0)
    one = scene.tools.make_provider["assemblyai"]().price({"diarize": True}, 3_020)
    assert one is not None
    small = Route("calls/**", ("assemblyai",), caps_micros={"assemblyai": one.micros})
    scene.tools = replace(scene.tools, routes=(small, *scene.tools.routes))
    scene.run()
    jobs = scene.jobs()
    assert jobs["other/c.wav"]["attempt_state"] == "stored"
    calls = [job for key, job in jobs.items() if key.startswith("calls/")]
    assert sorted(str(job["attempt_state"]) for job in calls) == ["None", "stored"]
    assert [job["cause"] for job in calls if job["attempt_state"] is None] == ["budget_exceeded"]
    assert len(scene.emulator.invoice()) == 2


def test_two_workers_on_one_partition_are_one(scene: Scene) -> None:
    """The second finds the lease taken and does nothing."""
    scene.put(KEYS)

    async def both() -> list[object]:
        return await asyncio.gather(scene.transcribe(), scene.transcribe())

    reports = asyncio.run(both())
    assert reports.count(None) == 1
    scene.assert_each_is_paid_once()
