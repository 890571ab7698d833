"""Doing a job: find the audio, measure it, hear what is said, take the time it takes, or fail.

An uploaded file is read from the object store if its DownloadUrl is still good when the job starts;
any other URL is fetched, where the settings accept one. ``desk.py`` starts this and books the end;
``app.py`` asks for a length where a job is charged at once.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from transcription_pipeline.emulators.fetching import FetchFailed, fetch, listen
from transcription_pipeline.emulators.plaud.desk import Desk
from transcription_pipeline.emulators.plaud.jobs import Job
from transcription_pipeline.emulators.plaud.refusals import StoreRefusal
from transcription_pipeline.emulators.plaud.uploads import check_url, find_file_id
from transcription_pipeline.emulators.speech import (
    Recogniser,
    Script,
    Speech,
    draw_job_s,
    make_script,
)
from transcription_pipeline.errors import AudioError, TranscriptionPipelineError

_MAX_BYTES = 5_000_000_000
"""Not documented; the older pages say "several GB"."""
# Reported of the limits page, 2026-09-23.
_MAX_MS = 24 * 3_600_000
_MAX_DIARIZED_MS = 6 * 3_600_000


class JobFailed(Exception):
    """The job ends as FAILURE for this reason; the texts are ours."""


class Work:
    """The workers of the emulated service. How many jobs it works on at once is not documented."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.backstage = desk.backstage
        self.recogniser = Recogniser()
        desk.begin = self.begin

    def close(self) -> None:
        """End the recogniser."""
        self.recogniser.close()

    def check_source(self, url: str, at: float) -> None:
        """Check that audio can be had at a URL at a moment.

        Raises:
            JobFailed: It is a DownloadUrl that has expired or was changed.
        """
        if find_file_id(url) is not None:
            try:
                check_url("GET", url, at)
            except StoreRefusal as refusal:
                raise JobFailed(f"The file could not be downloaded ({refusal.code})") from refusal

    async def measure(self, url: str) -> int:
        """Find out how long audio is, in milliseconds.

        Raises:
            JobFailed: There is none to be had.
        """
        if not self.desk.settings.looks_at_audio:
            return self._script(url, None).duration_ms
        async with self._file(url) as path:
            return await _measure(path)

    def begin(self, job: Job, at: float) -> None:
        """Start one job at a moment of the emulator's clock."""
        try:
            self.check_source(job.file_url, at)
        except JobFailed as failure:
            self.desk.finish(job, at, "FAILURE", reason=str(failure))
            return
        if self.desk.settings.looks_at_audio:
            self.backstage.spawn(self._look_and_work(job, at))
        else:
            script = self._script(job.file_url, None)
            self._finish(job, at, script, script.duration_ms)

    async def _look_and_work(self, job: Job, at: float) -> None:
        try:
            async with self._file(job.file_url) as path:
                duration_ms = await _measure(path)
                said = await self._hear(job, path, duration_ms)
        except JobFailed as failure:
            when = max(at, self.backstage.clock.now())
            self.desk.finish(job, when, "FAILURE", reason=str(failure))
        else:
            self._finish(job, max(at, self.backstage.clock.now()), said, duration_ms)

    @asynccontextmanager
    async def _file(self, url: str) -> AsyncIterator[Path]:
        """Give the audio as a file; an uploaded one is a file already."""
        upload = self.desk.uploads.get(find_file_id(url) or "")
        if upload is not None and upload.path is not None:
            yield upload.path
            return
        path = self.backstage.folder / f"fetched-{uuid.uuid4().hex}"
        try:
            await fetch(self.backstage.http, url, path, max_bytes=_MAX_BYTES)
            yield path
        except FetchFailed as error:
            raise JobFailed(f"The file could not be downloaded ({error})") from error
        finally:
            path.unlink(missing_ok=True)

    async def _hear(self, job: Job, path: Path, duration_ms: int) -> Script | Speech:
        settings = self.desk.settings
        if settings.speech == "scripted":
            return self._script(job.file_url, duration_ms)
        try:
            return await self.recogniser.hear(path, settings)
        except AudioError as error:
            raise JobFailed("The audio could not be decoded") from error
        except TranscriptionPipelineError as error:
            raise JobFailed("The transcription failed") from error

    def _script(self, url: str, duration_ms: int | None) -> Script:
        """Write the script for a URL; an upload's follows the content of the file."""
        upload = self.desk.uploads.get(find_file_id(url) or "")
        identity = url if upload is None else f"/{upload.md5}"
        return make_script(identity, self.desk.settings, duration_ms=duration_ms)

    def _finish(self, job: Job, at: float, said: Script | Speech, audio_ms: int) -> None:
        """Let the job take its time, then end it as ordered, or by what the audio is."""
        diarized = job.params.diarization.enabled
        outcome, reason = "SUCCESS", None
        if "error" in job.fate:
            outcome, reason = _read_order(job.fate["error"])
        elif audio_ms > (_MAX_DIARIZED_MS if diarized else _MAX_MS):
            outcome, reason = "FAILURE", "The recording is too long"
        due = at + draw_job_s(job.file_id or job.file_url, audio_ms, self.desk.settings)

        def end(when: float) -> None:
            self.desk.finish(job, when, outcome, reason=reason, audio_ms=audio_ms, said=said)

        self.backstage.timeline.at(due, end)


async def _measure(path: Path) -> int:
    sound = await listen(path)
    if sound.duration_ms is None:
        raise JobFailed("The file is not audio")
    return sound.duration_ms


def _read_order(text: str) -> tuple[str, str]:
    """Read the end a fault rule orders: ``REVOKED``, ``REVOKED: why``, or why it failed."""
    word, _, reason = text.partition(":")
    return ("REVOKED", reason.strip() or "Revoked") if word == "REVOKED" else ("FAILURE", text)
