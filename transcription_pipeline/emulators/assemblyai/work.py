"""Doing a job: fetch the audio, listen, hear what is said, take the time it takes, or fail.

The audio is fetched when the job starts, not when it is submitted, so that a presigned URL can
expire in the queue as it does with the real service (page "Bulk transcription and load tests").
Failures become the job errors of the vendor's pages; ``desk.py`` starts this and books the end.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from transcription_pipeline.emulators.assemblyai.desk import Desk
from transcription_pipeline.emulators.assemblyai.jobs import UPLOAD_PREFIX, Job
from transcription_pipeline.emulators.assemblyai.refusals import (
    BELOW_LANGUAGE_THRESHOLD,
    BELOW_SPEECH_THRESHOLD,
    DOWNLOAD_STATUS,
    NOT_AUDIO,
    TOO_LONG,
    TOO_SHORT,
    UNABLE_TO_ACCESS,
    UNABLE_TO_DOWNLOAD,
    WORKERS_FAILED,
)
from transcription_pipeline.emulators.fetching import FetchFailed, Sound, fetch, listen
from transcription_pipeline.emulators.speech import (
    Recogniser,
    Script,
    Speech,
    draw_job_s,
    make_script,
)
from transcription_pipeline.errors import AudioError, TranscriptionPipelineError

# FAQ "What are the size and duration limits", 2026: 5 GB behind a URL, 160 ms to 10 h.
_MAX_BYTES = 5_000_000_000
_MIN_MS = 160
_MAX_MS = 36_000_000


class _JobFailed(Exception):
    """The job ends with this error."""


class Work:
    """The workers of the emulated service."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.backstage = desk.backstage
        self.recogniser = Recogniser()
        desk.begin = self.begin

    def begin(self, job: Job, at: float) -> None:
        """Start one job at a moment of the emulator's clock."""
        settings = self.desk.settings
        if settings.looks_at_audio:
            self.backstage.spawn(self._look_and_finish(job, at))
            return
        try:
            script = self._script(job, duration_ms=None)
        except _JobFailed as failure:
            self._finish_at(at, job, error=str(failure))
            return
        self._finish_spoken(at, job, script, script.duration_ms)

    def close(self) -> None:
        """End the recogniser."""
        self.recogniser.close()

    def _script(self, job: Job, *, duration_ms: int | None) -> Script:
        """Write the script for a job; an upload's follows the content of the file."""
        identity = job.audio_url
        if identity.startswith(UPLOAD_PREFIX):
            upload = self.desk.find_upload(identity)
            if upload is None:
                raise _JobFailed(UNABLE_TO_DOWNLOAD.format(url=identity))
            identity = f"/{upload.digest}"
        return make_script(identity, self.desk.settings, duration_ms=duration_ms)

    async def _look_and_finish(self, job: Job, at: float) -> None:
        fetched = self.backstage.folder / f"fetched-{uuid.uuid4().hex}"
        try:
            path = await self._fetch(job, fetched)
            sound = await listen(path)
            said = await self._hear(job, path, sound)
            self._finish_spoken(at, job, said, sound.duration_ms or 0)
        except _JobFailed as failure:
            self._finish_at(max(at, self.backstage.clock.now()), job, error=str(failure))
        finally:
            fetched.unlink(missing_ok=True)

    async def _fetch(self, job: Job, path: Path) -> Path:
        """Bring the audio to a file; the service's own uploads are files already."""
        url = job.audio_url
        if url.startswith(UPLOAD_PREFIX):
            upload = self.desk.find_upload(url)
            if upload is None or upload.path is None:
                raise _JobFailed(UNABLE_TO_DOWNLOAD.format(url=url))
            return upload.path
        try:
            await fetch(self.backstage.http, url, path, max_bytes=_MAX_BYTES)
        except FetchFailed as failure:
            raise _JobFailed(_download_error(url, failure)) from failure
        return path

    async def _hear(self, job: Job, path: Path, sound: Sound) -> Script | Speech:
        """Listen to the file, and recognise it if that is wanted."""
        if sound.duration_ms is None:
            sentence = NOT_AUDIO.format(mime_type=sound.mime_type, description=sound.description)
            raise _JobFailed(sentence)
        settings = self.desk.settings
        if settings.speech == "scripted":
            return self._script(job, duration_ms=sound.duration_ms)
        if sound.duration_ms < _MIN_MS:
            raise _JobFailed(TOO_SHORT)
        try:
            return await self.recogniser.hear(path, settings)
        except AudioError as error:
            kind = {"mime_type": sound.mime_type, "description": sound.description}
            raise _JobFailed(NOT_AUDIO.format(**kind)) from error
        except TranscriptionPipelineError as error:
            raise _JobFailed(WORKERS_FAILED) from error

    def _finish_spoken(self, at: float, job: Job, said: Script | Speech, audio_ms: int) -> None:
        """Let the job take its time, then end it well or below a threshold."""
        due = at + draw_job_s(job.audio_url, audio_ms, self.desk.settings)
        error = job.fate.get("error") or self._objection(job, said, audio_ms)
        self._finish_at(due, job, error=error, audio_ms=audio_ms, said=said)

    def _finish_at(
        self,
        due: float,
        job: Job,
        *,
        error: str | None = None,
        audio_ms: int | None = None,
        said: Script | Speech | None = None,
    ) -> None:
        """End the job when the clock reads ``due``; at once if it already does."""

        def end(when: float) -> None:
            self.desk.finish(job, when, error=error, audio_ms=audio_ms, said=said)

        self.backstage.timeline.at(due, end)

    def _objection(self, job: Job, said: Script | Speech, audio_ms: int) -> str | None:
        """Find the reason for which the service refuses audio it could read."""
        if audio_ms < _MIN_MS:
            return TOO_SHORT
        if audio_ms > _MAX_MS:
            return TOO_LONG
        settings, options = self.desk.settings, job.options
        wanted = options.get("language_confidence_threshold")
        if wanted is not None and settings.language_confidence < wanted:
            return BELOW_LANGUAGE_THRESHOLD.format(
                language=settings.detected_language.partition("_")[0],
                found=f"{settings.language_confidence:.4f}",
                wanted=wanted,
            )
        wanted = options.get("speech_threshold")
        if wanted:
            share = _speech_share(said.speak() if isinstance(said, Script) else said)
            if share < wanted:
                return BELOW_SPEECH_THRESHOLD.format(found=f"{share:.4f}", wanted=wanted)
        return None


def _speech_share(speech: Speech) -> float:
    """Say which part of the audio is words."""
    spoken = sum(word.end_ms - word.start_ms for turn in speech.turns for word in turn.words)
    return min(1.0, spoken / max(1, speech.duration_ms))


def _download_error(url: str, failure: FetchFailed) -> str:
    """Word a failed download like the "Common errors and solutions" page.

    Which sentence goes with which cause is only partly documented: the page shows the first with a
    missing file and the second with a 403.
    """
    if failure.kind == "status" and failure.status not in (404, 410):
        kind = "Client" if failure.status < 500 else "Server"
        return DOWNLOAD_STATUS.format(
            url=url, status=failure.status, kind=kind, reason=failure.reason
        )
    if failure.kind == "too_large":
        return UNABLE_TO_ACCESS.format(url=url)  # not documented for files above 5 GB
    return UNABLE_TO_DOWNLOAD.format(url=url)
