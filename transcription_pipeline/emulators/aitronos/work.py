"""Doing a job: measure the audio before it is accepted, then hear what is said, or fail.

The URL is looked at twice, as with the real service: before the answer to the create request, for
its length and price ("Create transcription"), and again when the job starts, by the machine behind.
``app.py`` asks for the first look, ``desk.py`` starts the second.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from transcription_pipeline.emulators.aitronos.desk import Desk
from transcription_pipeline.emulators.aitronos.jobs import FAILURE, Job
from transcription_pipeline.emulators.aitronos.refusals import refuse_url
from transcription_pipeline.emulators.fetching import FetchFailed, fetch, listen
from transcription_pipeline.emulators.speech import (
    Recogniser,
    Script,
    Speech,
    draw_job_s,
    make_script,
)
from transcription_pipeline.errors import TranscriptionPipelineError

_MAX_BYTES = 5_000_000_000
"""No limit is documented; that of the machine behind."""
UPLOAD_PREFIX = "https://files.aitronos.invalid/audio/"
"""What the address of an uploaded file looks like is not documented."""


class Work:
    """The workers of the emulated service. How many jobs it works on at once is not documented."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.backstage = desk.backstage
        self.recogniser = Recogniser()
        desk.begin = self.begin

    async def measure(self, account: str, url: str) -> int:
        """Find out how long audio is, in milliseconds; refuses a URL without any."""
        if url.startswith(UPLOAD_PREFIX):
            upload = self.desk.uploads.get(url.removeprefix(UPLOAD_PREFIX))
            if upload is None or upload.account != account:
                raise refuse_url(url, "File not found")
        if not self.desk.settings.looks_at_audio:
            return self._script(url, None).duration_ms
        path = self.backstage.folder / f"measured-{uuid.uuid4().hex}"
        try:
            sound = await listen(await self._fetch(url, path))
        except FetchFailed as error:
            raise refuse_url(url, f"Audio URL is not accessible ({error})") from error
        finally:
            path.unlink(missing_ok=True)
        if sound.duration_ms is None:
            raise refuse_url(url, "Audio duration could not be determined")
        return sound.duration_ms

    def begin(self, job: Job, at: float) -> None:
        """Start one job at a moment of the emulator's clock."""
        if self.desk.settings.looks_at_audio:
            self.backstage.spawn(self._look_and_work(job, at))
        else:
            self._finish(job, at, self._script(job.audio_url, job.audio_ms))

    def close(self) -> None:
        """End the recogniser."""
        self.recogniser.close()

    def _script(self, url: str, duration_ms: int | None) -> Script:
        """Write the script for a URL; an upload's follows the content of the file."""
        upload = self.desk.uploads.get(url.removeprefix(UPLOAD_PREFIX))
        identity = f"/{upload.digest}" if upload else url
        return make_script(identity, self.desk.settings, duration_ms=duration_ms)

    async def _fetch(self, url: str, path: Path) -> Path:
        upload = self.desk.uploads.get(url.removeprefix(UPLOAD_PREFIX))
        if upload is not None and upload.path is not None:
            return upload.path
        await fetch(self.backstage.http, url, path, max_bytes=_MAX_BYTES)
        return path

    async def _look_and_work(self, job: Job, at: float) -> None:
        path = self.backstage.folder / f"fetched-{uuid.uuid4().hex}"
        said: Script | Speech | None = None
        try:
            fetched = await self._fetch(job.audio_url, path)
            if self.desk.settings.speech == "scripted":
                said = self._script(job.audio_url, job.audio_ms)
            else:
                said = await self.recogniser.hear(fetched, self.desk.settings)
        except (FetchFailed, TranscriptionPipelineError):
            pass  # why a job failed is told nowhere: no answer has a field for it
        finally:
            path.unlink(missing_ok=True)
        self._finish(job, max(at, self.backstage.clock.now()), said)

    def _finish(self, job: Job, at: float, said: Script | Speech | None) -> None:
        """Let the job take its time, then end it."""
        error = job.fate.get("error") or (None if said is not None else FAILURE)
        due = at + draw_job_s(job.audio_url, job.audio_ms, self.desk.settings)

        def end(when: float) -> None:
            self.desk.finish(job, when, error=error, said=said)

        self.backstage.timeline.at(due, end)
