"""Doing a job: get the audio, learn its length, hear what is said, take the time it takes, or fail.

The audio is fetched in the background, as the API reference says, so that a presigned URL can expire
before. Failures become the codes of its list of asynchronous errors; ``desk.py`` starts this and
books the end.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from transcription_pipeline.emulators.fetching import FetchFailed, Sound, fetch, listen
from transcription_pipeline.emulators.scriptivox.desk import Desk
from transcription_pipeline.emulators.scriptivox.jobs import Job
from transcription_pipeline.emulators.scriptivox.refusals import Failure, read_failure
from transcription_pipeline.emulators.speech import (
    Recogniser,
    Script,
    Speech,
    draw_job_s,
    make_script,
)
from transcription_pipeline.errors import AudioError, TranscriptionPipelineError

# API reference: 1 s to 10 h, 5 GB. A shorter one is INVALID_MEDIA_FORMAT, too.
MAX_BYTES = 5_000_000_000
_MIN_MS = 1_000
_MAX_MS = 36_000_000
_NOT_MEDIA = Failure("INVALID_MEDIA_FORMAT", "The file is not audio or is shorter than 1 second.")


class _JobFailed(Exception):
    """The job ends with this failure."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.code)


class Work:
    """The workers of the emulated service. How many jobs it works on at once is not documented."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.backstage = desk.backstage
        self.recogniser = Recogniser()
        desk.begin = self.begin

    def begin(self, job: Job, at: float) -> None:
        """Start one job at a moment of the emulator's clock."""
        settings = self.desk.settings
        if settings.looks_at_audio:
            self.backstage.spawn(self._look_and_work(job, at))
            return
        script = make_script(self._identity(job), settings, duration_ms=None)
        size = 16 * script.duration_ms  # nobody looked; as large as 128 kbit/s
        due = at + settings.download_s
        self.backstage.timeline.at(
            due, lambda when: self._process(job, when, script, script.duration_ms, size)
        )

    def close(self) -> None:
        """End the recogniser."""
        self.recogniser.close()

    def _identity(self, job: Job) -> str:
        """Name what a script follows: the URL, or the content of an uploaded file."""
        if job.upload_id is None:
            return str(job.options["url"])
        return f"/{self.desk.uploads[job.upload_id].digest}"

    async def _look_and_work(self, job: Job, at: float) -> None:
        fetched = self.backstage.folder / f"fetched-{uuid.uuid4().hex}"
        try:
            path = await self._fetch(job, fetched)
            sound = await listen(path)
            if sound.duration_ms is None:
                raise _JobFailed(_objection_to(sound))
            said = await self._hear(job, path, sound.duration_ms)
            when = max(at, self.backstage.clock.now())
            self._process(job, when, said, sound.duration_ms, path.stat().st_size)
        except _JobFailed as error:
            self.desk.finish(job, max(at, self.backstage.clock.now()), error.failure)
        finally:
            fetched.unlink(missing_ok=True)

    async def _fetch(self, job: Job, path: Path) -> Path:
        """Bring the audio to a file; an uploaded one is a file already."""
        if job.upload_id is not None:
            upload = self.desk.uploads[job.upload_id]
            if upload.path is None:
                raise _JobFailed(Failure("INTERNAL_ERROR", "The uploaded file is gone."))
            return upload.path
        try:
            await fetch(self.backstage.http, job.options["url"], path, max_bytes=MAX_BYTES)
        except FetchFailed as error:
            if error.kind == "too_large":  # which code a URL with more than 5 GB gets: our choice
                raise _JobFailed(Failure("DOWNLOAD_FAILED", "The file is too large.")) from error
            cause = f"HTTP {error.status}" if error.kind == "status" else error.reason
            raise _JobFailed(_not_accessible(cause)) from error
        return path

    async def _hear(self, job: Job, path: Path, duration_ms: int) -> Script | Speech:
        settings = self.desk.settings
        if settings.speech == "scripted" or duration_ms < _MIN_MS:
            return make_script(self._identity(job), settings, duration_ms=duration_ms)
        try:
            return await self.recogniser.hear(path, settings)
        except AudioError as error:
            raise _JobFailed(_NOT_MEDIA) from error
        except TranscriptionPipelineError as error:
            failure = Failure("PROCESSING_ERROR", "The transcription failed.")
            raise _JobFailed(failure) from error

    def _process(
        self, job: Job, at: float, said: Script | Speech, audio_ms: int, size_bytes: int
    ) -> None:
        """Accept or refuse the audio, then let the job take its time."""
        desk = self.desk
        if audio_ms < _MIN_MS:
            desk.finish(job, at, _NOT_MEDIA)
        elif audio_ms > _MAX_MS:
            desk.finish(job, at, Failure("DURATION_TOO_LONG", "The audio is longer than 10 hours."))
        elif desk.probed(job, at, audio_ms, size_bytes):
            if job.fate.get("is_stuck") or job.fate.get("is_final"):
                return  # only a watchdog ends it
            ordered = job.fate.get("error")
            failure = read_failure(ordered) if ordered is not None else None
            due = at + draw_job_s(self._identity(job), audio_ms, desk.settings)
            self.backstage.timeline.at(due, lambda when: desk.finish(job, when, failure, said))


def _not_accessible(cause: str) -> Failure:
    return Failure("URL_NOT_ACCESSIBLE", f"The URL could not be downloaded ({cause}).")


def _objection_to(sound: Sound) -> Failure:
    """Tell a web page and an empty answer, which are the URL's fault, from what is not audio."""
    if sound.mime_type == "text/html":
        return _not_accessible("HTML instead of media")
    if sound.mime_type == "application/x-empty":
        return _not_accessible("empty response")
    return _NOT_MEDIA
