"""The service behind the wire: who may have which job, the queue, and the books.

Jobs run in a fixed number of slots with a first-in first-out queue behind them (page "Rate limits",
2026), are charged when they complete and never when they fail (pricing page). How a job comes by
its transcript is in ``work.py``; endpoints in ``app.py`` call this.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import asdict
from typing import Any

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
from transcription_pipeline.emulators.desk import BaseDesk, read_said, write_said
from transcription_pipeline.emulators.invoice import InvoiceLine, find_attempt_token
from transcription_pipeline.emulators.speech import Script, Speech

PROVIDER = "assemblyai"


class Desk(BaseDesk[Job, Upload, AssemblyAISettings]):
    """All jobs and uploads of all projects."""

    upload_type = Upload

    def __init__(self, backstage: Backstage, settings: AssemblyAISettings) -> None:
        super().__init__(backstage, settings)
        self._queue: deque[Job] = deque()
        self._running: set[str] = set()

    @property
    def slots(self) -> int:
        """Jobs that may be worked on at once."""
        # Page "Rate limits", 2026: one job at a time while the balance is negative.
        return 1 if self.settings.balance == "slow" else self.settings.concurrency

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
        job = Job(str(uuid.uuid4()), project, self.next_place(project), options, now, fate)
        self.keep(job)
        self.write("submit", id=job.id, project=project, options=options, at=now, fate=fate)
        self._queue.append(job)
        self.fill_slots(now)
        job.was_throttled = job.started_at is None
        return job

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
        told = {"error": error, "audio_ms": audio_ms} | write_said(said)
        self.write("finish", id=job.id, at=at, **told, line=line and asdict(line))
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
        if job is None or job.account != project or self.is_expired(job):
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
            self.write("delete", id=job.id, at=now)

    def _bury(self, job: Job, at: float) -> None:
        job.deleted_at = at
        upload = self.uploads.pop(job.audio_url.removeprefix(UPLOAD_PREFIX), None)
        if upload is not None and upload.path is not None:
            upload.path.unlink(missing_ok=True)

    def note_webhook(self, job: Job, status_code: int | None) -> None:
        """Remember what the customer's webhook answered."""
        job.webhook_status_code = status_code
        self.write("webhook", id=job.id, status_code=status_code)

    def clear(self) -> None:
        """Forget everything."""
        for memory in (self._queue, self._running):
            memory.clear()
        super().clear()

    def replay(self) -> None:
        """Take up what the journal tells; unfinished jobs begin again, in their old order."""
        super().replay()
        self.fill_slots(self.backstage.clock.now())
        for job in self._queue:
            job.was_throttled = True

    def resume(self, job: Job, _at: float, /) -> None:
        """Queue a job again."""
        self._queue.append(job)

    def replay_one(self, kind: str, event: dict[str, Any]) -> None:
        """Take up one event."""
        if kind == "submit":
            project, options = event["project"], event["options"]
            place = self.next_place(project)
            self.keep(Job(event["id"], project, place, options, event["at"], event["fate"]))
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
            job.said = read_said(event)
            if event["line"]:
                self.backstage.invoice.charge(InvoiceLine(**event["line"]))
