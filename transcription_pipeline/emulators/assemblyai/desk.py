"""The service behind the wire: who may have which job, the queue, and the books.

Jobs run in a fixed number of slots with a first-in first-out queue behind them (page "Rate limits",
2026), are charged when they complete and never when they fail (pricing page). How a job comes by
its transcript is in ``work.py``; endpoints in ``app.py`` call this.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgspec

from transcription_pipeline.emulators.assemblyai.jobs import (
    UPLOAD_PREFIX,
    AssemblyAISettings,
    Job,
    Upload,
)
from transcription_pipeline.emulators.assemblyai.prices import (
    CURRENCY,
    amount_micros,
    price_items,
)
from transcription_pipeline.emulators.assemblyai.refusals import (
    NO_SUCH_TRANSCRIPT,
    NOT_DELETABLE,
    NOT_YOUR_UPLOAD,
    Refusal,
)
from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.invoice import InvoiceLine, find_attempt_token
from transcription_pipeline.emulators.speech import Script, Speech

PROVIDER = "assemblyai"


class Desk:
    """All jobs and uploads of all projects."""

    def __init__(self, backstage: Backstage, settings: AssemblyAISettings) -> None:
        self.backstage = backstage
        self.settings = settings
        self.jobs: dict[str, Job] = {}
        self.uploads: dict[str, Upload] = {}
        self.by_project: dict[str, list[Job]] = {}
        self._queue: deque[Job] = deque()
        self._running: set[str] = set()
        self.begin: Callable[[Job, float], None] = _nobody_works
        """Start the work on a job at a moment; set by ``work.py``."""
        self.announce: Callable[[Job, float], None] = _nobody_works
        """Tell the customer's webhook that a job ended; set by ``webhooks.py``."""

    @property
    def slots(self) -> int:
        """Jobs that may be worked on at once."""
        # Page "Rate limits", 2026: one job at a time while the balance is negative.
        return 1 if self.settings.balance == "slow" else self.settings.concurrency

    def add_upload(self, upload: Upload) -> None:
        """Keep an uploaded file."""
        self.uploads[upload.id] = upload
        event = asdict(upload) | {"event": "upload", "path": upload.path and upload.path.name}
        self.backstage.journal.append(event)

    def find_upload(self, audio_url: str) -> Upload | None:
        """Find the uploaded file behind a URL; None for other URLs, and when it has expired."""
        upload = self.uploads.get(audio_url.removeprefix(UPLOAD_PREFIX))
        expires_at = 0.0 if upload is None else upload.at + self.settings.upload_hours * 3_600
        return upload if self.backstage.clock.now() < expires_at else None

    def submit(self, project: str, options: dict[str, Any], fate: dict[str, Any]) -> Job:
        """Take a job in, and start it if a slot is free."""
        upload = self.find_upload(options["audio_url"])
        if upload is not None and upload.project != project:
            raise Refusal(NOT_YOUR_UPLOAD, 403)
        now = self.backstage.clock.now()
        job = Job(str(uuid.uuid4()), project, self._next_place(project), options, now, fate)
        self._keep(job)
        self.backstage.journal.append(
            {
                "event": "submit",
                "id": job.id,
                "project": project,
                "options": options,
                "at": now,
                "fate": fate,
            }
        )
        self._queue.append(job)
        self.fill_slots(now)
        job.was_throttled = job.started_at is None
        return job

    def _next_place(self, project: str) -> int:
        return len(self.by_project.get(project, ()))

    def _keep(self, job: Job) -> None:
        self.jobs[job.id] = job
        self.by_project.setdefault(job.project, []).append(job)

    def fill_slots(self, at: float) -> None:
        """Start waiting jobs, oldest first, while there are free slots."""
        while self._queue and len(self._running) < self.slots:
            job = self._queue.popleft()
            job.started_at = at
            self._running.add(job.id)
            # A stuck job keeps its slot, as a job that never ends would.
            if not (job.fate.get("is_stuck") or job.fate.get("is_final")):
                self.begin(job, at)

    def finish(
        self,
        job: Job,
        at: float,
        *,
        error: str | None = None,
        audio_ms: int | None = None,
        said: Script | Speech | None = None,
    ) -> None:
        """End a job, charge it if it succeeded, tell the webhook, give its slot away."""
        job.finished_at, job.error, job.audio_ms = at, error, audio_ms
        job.said = said if error is None else None
        line = None if error is not None else self._charge(job, at)
        self.backstage.journal.append(
            {
                "event": "finish",
                "id": job.id,
                "at": at,
                "error": error,
                "audio_ms": audio_ms,
                "script": asdict(said) if isinstance(said, Script) else None,
                "speech": asdict(said) if isinstance(said, Speech) else None,
                "line": line and asdict(line),
            }
        )
        self._running.discard(job.id)
        self.announce(job, at)
        self.fill_slots(at)

    def _charge(self, job: Job, at: float) -> InvoiceLine:
        items = price_items(job.model, job.options)
        line = InvoiceLine(
            provider=PROVIDER,
            provider_job_id=job.id,
            attempt_token=find_attempt_token(job.audio_url, job.options.get("webhook_url")),
            audio_ms=job.audio_ms or 0,
            amount_micros=amount_micros(items, job.audio_s or 0),
            currency=CURRENCY,
            at=at,
            items=items,
        )
        self.backstage.invoice.charge(line)
        return line

    def get(self, project: str, job_id: str) -> Job:
        """Return a project's job. Refuses unknown, foreign and expired ones alike, with 400."""
        job = self.jobs.get(job_id)
        if job is None or job.project != project or self.is_expired(job):
            raise Refusal(NO_SUCH_TRANSCRIPT)
        return job

    def is_expired(self, job: Job) -> bool:
        """Say whether a transcript's time is over; that it is then unknown is not documented."""
        age_s = self.backstage.clock.now() - job.created_at
        return age_s > self.settings.transcript_days * 86_400

    def delete(self, job: Job) -> None:
        """Leave a tombstone of a finished job, and remove its uploaded file; repeatable."""
        now = self.backstage.clock.now()
        if job.status_at(now) not in ("completed", "error"):
            # Observed 2026-08-31: the service refuses; with which code is not documented.
            raise Refusal(NOT_DELETABLE)
        if job.deleted_at is None:
            self._bury(job, now)
            self.backstage.journal.append({"event": "delete", "id": job.id, "at": now})

    def _bury(self, job: Job, at: float) -> None:
        job.deleted_at = at
        upload = self.uploads.pop(job.audio_url.removeprefix(UPLOAD_PREFIX), None)
        if upload is not None and upload.path is not None:
            upload.path.unlink(missing_ok=True)

    def note_webhook(self, job: Job, status_code: int | None) -> None:
        """Remember what the customer's webhook answered."""
        job.webhook_status_code = status_code
        event = {"event": "webhook", "id": job.id, "status_code": status_code}
        self.backstage.journal.append(event)

    def clear(self) -> None:
        """Forget everything."""
        for upload in self.uploads.values():
            if upload.path is not None:
                upload.path.unlink(missing_ok=True)
        for kept in (self.jobs, self.uploads, self.by_project, self._queue, self._running):
            kept.clear()

    def replay(self) -> None:
        """Take up what the journal tells; unfinished jobs begin again, in their old order."""
        for event in self.backstage.journal.replay():
            self._replay_one(event)
        self._queue.extend(job for job in self.jobs.values() if job.finished_at is None)
        self.fill_slots(self.backstage.clock.now())
        for job in self._queue:
            job.was_throttled = True

    def _replay_one(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        if kind == "clock":
            clock = self.backstage.clock
            clock.advance(event["offset_s"] - clock.offset_s)
        elif kind == "upload":
            name = event["path"]
            upload = Upload(**event | {"path": name and self.backstage.folder / name})
            self.uploads[upload.id] = upload
        elif kind == "submit":
            project, options = event["project"], event["options"]
            place = self._next_place(project)
            self._keep(Job(event["id"], project, place, options, event["at"], event["fate"]))
        else:
            self._replay_change(kind, self.jobs[event["id"]], event)

    def _replay_change(self, kind: str, job: Job, event: dict[str, Any]) -> None:
        if kind == "delete":
            self._bury(job, event["at"])
        elif kind == "webhook":
            job.webhook_status_code = event["status_code"]
        elif kind == "finish":
            job.started_at = job.finished_at = event["at"]
            job.error, job.audio_ms = event["error"], event["audio_ms"]
            if event["script"]:
                job.said = Script(**event["script"])
            if event["speech"]:
                job.said = msgspec.convert(event["speech"], Speech)
            if event["line"]:
                self.backstage.invoice.charge(InvoiceLine(**event["line"]))


def _nobody_works(job: Job, at: float) -> None:
    raise NotImplementedError
