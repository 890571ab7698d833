"""Our side: the whole path from the ledger to Parquet, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from bench.gauges import Stretch, answer
from bench.plan import DAY, PROVIDER, draw_durations_s, make_url
from transcription_pipeline import pipeline
from transcription_pipeline.domain.job import make_attempt_id, make_job_id, make_options_json
from transcription_pipeline.domain.recording import AudioFacts, AudioObject
from transcription_pipeline.domain.route import Route
from transcription_pipeline.engine import RunLimits
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers.assemblyai import AssemblyAIProvider
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.objects import StoredObject
from transcription_pipeline.tools import Tools

API_KEY = "bench"
OPTIONS = {"diarize": True}


class KnownAudio:
    """A bucket of recordings of known length that nobody fetches."""

    bucket = "bench"
    root_uri = "s3://bench/"

    def __init__(self, recordings: list[tuple[AudioObject, float]]) -> None:
        self._known = {audio.key: (audio, seconds) for audio, seconds in recordings}

    def find(self, key: str) -> StoredObject:
        """Say that the recording is still there."""
        audio, _ = self._known[key]
        return StoredObject(key, audio.etag, audio.size_bytes, audio.last_modified_at)

    def presign(self, key: str, *, expires_s: int, token: str) -> str:
        """Return the address the emulator draws the job's time and words from."""
        del expires_s
        return make_url(key, self._known[key][1], token)


def make_recordings(count: int) -> list[tuple[AudioObject, float]]:
    """Return recordings and their lengths in seconds, the same in every process."""
    at = datetime.fromisoformat(f"{DAY}T12:00:00+00:00")
    return [
        (AudioObject("bench", f"calls/{number:05}.wav", f"{number:032x}", 9_600_000, at), seconds)
        for number, seconds in enumerate(draw_durations_s(count))
    ]


def make_urls(count: int) -> list[tuple[str, float]]:
    """Return the very URLs our side submits, for the other side to submit."""
    urls = []
    for audio, seconds in make_recordings(count):
        job_id = make_job_id(audio.recording_id, PROVIDER, make_options_json(OPTIONS))
        urls.append((make_url(audio.key, seconds, make_attempt_id(job_id, 1)), seconds))
    return urls


def fill_ledger(folder: Path, count: int) -> None:
    """Put recordings straight into a new ledger, as if they had been looked into before."""
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
    at = datetime.now(UTC)
    recordings = make_recordings(count)
    wishes = [(audio, {PROVIDER: OPTIONS}) for audio, _ in recordings]
    ledger.record_recordings(wishes, first_day=date(2026, 1, 1), at=at)
    ledger.commit(
        [
            Probed(a.recording_id, at, AudioFacts("wav", "pcm_s16le", 16_000, 1, round(s * 1000)))
            for a, s in recordings
        ]
    )
    ledger.close()


def open_tools(order: dict[str, Any]) -> Tools:
    """Open what a run needs; ``offset_s`` moves our clock as the emulator's was moved."""
    folder = Path(order["folder"])
    offset = timedelta(seconds=order.get("offset_s", 0.0))
    limits = RunLimits(
        window_s=order.get("window_s", 900.0),
        lease_s=60.0,
        url_expires_s=7_200,
        max_attempts=3,
        poll_interval_s=order.get("poll_interval_s", 0.4),
    )
    return Tools(
        ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"),
        audio=KnownAudio(make_recordings(order["count"])),  # type: ignore[arg-type]
        audio_prefix="",
        lake=FolderStore(folder / "lake"),
        routes=(Route(match="**", providers=(PROVIDER,), options=OPTIONS),),
        make_provider={
            PROVIDER: lambda: AssemblyAIProvider(
                api_key=API_KEY,
                base_url=order["base_url"],
                concurrency=order["slots"],
                requests_per_s=order.get("requests_per_s", 1_000.0),
            )
        },
        limits={PROVIDER: limits},
        first_day=date(2026, 1, 1),
        now=lambda: datetime.now(UTC) + offset,
    )


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Transcribe and write; measure from the open ledger to the finished files."""
    tools = open_tools(order)
    whole = Stretch()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(pipeline.transcribe(tools, DAY, PROVIDER))
    transcribing, writing = whole.read(), Stretch()
    written = pipeline.write(tools, DAY, PROVIDER)
    assert report is not None
    assert written is not None
    return {
        "whole": whole.read(),
        "transcribe": transcribing,
        "write": writing.read(),
        "counts": dict(report.counts),
        "request_count": report.request_count,
        "published": written.published,
        "rows": dict(written.rows),
        "noticed": dict(_read_noticed(tools)),
    }


def _read_noticed(tools: Tools) -> Iterator[tuple[str, str]]:
    for row in tools.ledger.read_jobs(DAY):
        if row["completed_at"]:
            yield row["provider_job_id"], row["completed_at"]


if __name__ == "__main__":
    answer(work)
