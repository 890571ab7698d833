"""The service behind the wire: jobs and uploads of all clients, and what they are charged.

A job is charged when it succeeds, or when it is taken in, as set; failed ones' money never comes
back. How a job comes by its transcript is in ``work.py``; endpoints in ``app.py`` call this.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.desk import BaseDesk, read_said, write_said
from transcription_pipeline.emulators.invoice import InvoiceLine, find_attempt_token
from transcription_pipeline.emulators.plaud.door import Claims
from transcription_pipeline.emulators.plaud.jobs import (
    PRICE_PER_HOUR_MICROS,
    Job,
    Part,
    PlaudSettings,
    Upload,
    price_micros,
)
from transcription_pipeline.emulators.plaud.refusals import Refusal
from transcription_pipeline.emulators.plaud.requests import Params, Submission
from transcription_pipeline.emulators.plaud.uploads import find_file_id, part_path
from transcription_pipeline.emulators.speech import Script, Speech

PROVIDER = "plaud"


class Desk(BaseDesk[Job, Upload, PlaudSettings]):
    """All jobs, uploads and spent refresh tokens."""

    upload_type = Upload

    def __init__(self, backstage: Backstage, settings: PlaudSettings) -> None:
        super().__init__(backstage, settings)
        self._spent: set[str] = set()

    # -- tokens and uploads ----------------------------------------------------------------------

    def spend(self, token: Claims) -> None:
        """Use a refresh token; refuses one that died by it."""
        if token.jti in self._spent:
            raise Refusal(401, "The refresh token was used already")
        if self.settings.refresh_rotates:
            self._spent.add(token.jti)
            self.write("spend", jti=token.jti)

    def get_upload(self, owner: str, file_id: str) -> Upload:
        """Return an owner's upload; refuses unknown and foreign ones alike."""
        upload = self.uploads.get(file_id)
        if upload is None or upload.owner != owner:
            raise Refusal(404, "The file was not found")
        return upload

    def keep_part(self, upload: Upload, number: int, part: Part) -> None:
        """Remember a part, in place of an earlier one."""
        upload.parts[number] = part
        self.write("part", id=upload.id, number=number, part=part)

    def complete(self, upload: Upload, path: Path, md5: str) -> None:
        """Make an upload whole, and remove its parts."""
        self._remove_parts(upload)
        upload.path, upload.md5 = path, md5
        self.keep_upload(upload)

    def _remove_parts(self, upload: Upload) -> None:
        for number in upload.parts:
            part_path(self.backstage.folder, upload, number).unlink(missing_ok=True)
        upload.parts = {}

    # -- jobs ------------------------------------------------------------------------------------

    def submit(
        self, account: str, told: Submission, fate: dict[str, Any], *, audio_ms: int | None
    ) -> Job:
        """Take a job in; one whose length is told is charged at once."""
        now, file_id = self.backstage.clock.now(), find_file_id(told.file_url)
        job = Job(
            f"task_exec_{uuid.uuid4().hex}",
            account,
            self.next_place(account),
            told.file_url,
            file_id,
            told.params,
            now,
            fate,
        )
        job.audio_ms = audio_ms
        self.keep(job)
        line = None if audio_ms is None else self._charge(job, now)
        self.write(
            "submit",
            id=job.id,
            account=account,
            file_url=job.file_url,
            file_id=file_id,
            params=job.params,
            at=now,
            fate=fate,
            line=line and asdict(line),
        )
        self.resume(job, now)
        return job

    def resume(self, job: Job, at: float) -> None:
        """Begin a job after its time in the queue; one that is to be stuck never begins."""
        if not (job.fate.get("is_stuck") or job.fate.get("is_final")):
            due = at + self.settings.queue_s
            self.backstage.timeline.at(due, lambda when: self.begin(job, when))

    def finish(
        self,
        job: Job,
        at: float,
        outcome: str,
        *,
        reason: str | None = None,
        audio_ms: int | None = None,
        said: Script | Speech | None = None,
    ) -> None:
        """End a job, and charge it if it succeeded and was not charged before."""
        job.finished_at, job.outcome, job.reason = at, outcome, reason
        is_due = outcome == "SUCCESS" and job.audio_ms is None
        if outcome == "SUCCESS":
            job.audio_ms, job.said = audio_ms, said
        line = self._charge(job, at) if is_due else None
        self.write(
            "finish",
            id=job.id,
            at=at,
            outcome=outcome,
            reason=reason,
            **write_said(job.said),
            line=line and asdict(line),
        )

    def _charge(self, job: Job, at: float) -> InvoiceLine:
        upload = self.uploads.get(job.file_id or "")
        line = InvoiceLine(
            provider=PROVIDER,
            provider_job_id=job.id,
            attempt_token=find_attempt_token(job.file_url),
            audio_ms=job.audio_ms or 0,
            amount_micros=price_micros(job.audio_ms or 0),
            currency="USD",
            at=at,
            items={"transcription": PRICE_PER_HOUR_MICROS},
            file_id=upload.id if upload else None,
            file_md5=upload.md5 if upload else None,
        )
        self.backstage.invoice.charge(line)
        return line

    def find(self, account: str, job_id: str) -> Job | None:
        """Find a client's job; None for unknown, foreign and expired ones alike."""
        job = self.jobs.get(job_id)
        if job is None or job.account != account:
            return None
        kept_until = (job.finished_at or float("inf")) + self.settings.result_days * 86_400
        return job if self.backstage.clock.now() <= kept_until else None

    # -- memory ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything."""
        for upload in self.uploads.values():
            self._remove_parts(upload)
        self._spent.clear()
        super().clear()

    def replay_one(self, kind: str, event: dict[str, Any]) -> None:
        """Take up one event."""
        if kind == "spend":
            self._spent.add(event["jti"])
        elif kind == "part":
            self.uploads[event["id"]].parts[event["number"]] = Part(*event["part"])
        elif kind == "submit":
            account, params = event["account"], msgspec.convert(event["params"], Params)
            place, source = self.next_place(account), (event["file_url"], event["file_id"])
            self.keep(Job(event["id"], account, place, *source, params, event["at"], event["fate"]))
            self._replay_line(event)
        else:
            job = self.jobs[event["id"]]
            job.finished_at, job.outcome = event["at"], event["outcome"]
            job.reason, job.said = event["reason"], read_said(event)
            self._replay_line(event)

    def _replay_line(self, event: dict[str, Any]) -> None:
        job = self.jobs[event["id"]]
        if event["line"]:
            self.backstage.invoice.charge(InvoiceLine(**event["line"]))
            job.audio_ms = event["line"]["audio_ms"]
