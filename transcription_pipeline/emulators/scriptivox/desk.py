"""The service behind the wire: jobs, keys and uploads of all accounts, and what each may spend.

Money is reserved once the length of the audio is known, debited on completion, released on cancel
(API reference) and on failure (not documented in general; stated of BILLING_ERROR and CANCELLED).
How a job comes by its transcript is in ``work.py``; endpoints in ``app.py`` call this.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from dataclasses import asdict
from typing import Any

import msgspec

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.desk import BaseDesk, read_said, write_said
from transcription_pipeline.emulators.invoice import InvoiceLine, find_attempt_token
from transcription_pipeline.emulators.scriptivox.jobs import (
    MICROS_PER_CENT,
    PRICE_PER_HOUR_MICROS,
    Job,
    KeyUse,
    ScriptivoxSettings,
    Upload,
)
from transcription_pipeline.emulators.scriptivox.refusals import CANCELLED, Failure, Refusal
from transcription_pipeline.emulators.speech import Script, Speech

PROVIDER = "scriptivox"


class Desk(BaseDesk[Job, Upload, ScriptivoxSettings]):
    """All jobs, uploads and keys of all accounts."""

    upload_type = Upload

    def __init__(self, backstage: Backstage, settings: ScriptivoxSettings) -> None:
        super().__init__(backstage, settings)
        self.keys: dict[tuple[str, str], KeyUse] = {}
        self._spent: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()

    # -- money -----------------------------------------------------------------------------------

    def balance_micros(self, account: str) -> int:
        """What the account has paid in and not spent, reservations included."""
        return round(self.settings.balance_cents * MICROS_PER_CENT) - self._spent[account]

    def reserved_micros(self, account: str) -> int:
        """What is set aside for jobs in work."""
        return self._reserved[account]

    def available_micros(self, account: str) -> int:
        """What new jobs may use."""
        return self.balance_micros(account) - self._reserved[account]

    # -- keys ------------------------------------------------------------------------------------

    def find_key_use(self, account: str, key: str, digest: str) -> KeyUse | None:
        """Find the first use of a key; None when it is new, or forgotten.

        Raises:
            Refusal: It was used with another body, or is still in flight.
        """
        use = self.keys.get((account, key))
        now, settings = self.backstage.clock.now(), self.settings
        if use is None or now - use.at >= settings.idempotency_hours * 3_600:
            return None
        if use.digest != digest:
            raise Refusal(
                "IDEMPOTENCY_KEY_CONFLICT", "This Idempotency-Key was used with another body"
            )
        if now - use.at < settings.idempotency_locked_s:
            raise Refusal("IDEMPOTENCY_KEY_LOCKED", "A request with this key is in progress")
        return use

    def digest(self, body: bytes) -> str:
        """Identify a body as the service compares bodies."""
        if self.settings.idempotency_compares == "json":
            body = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
        return hashlib.blake2b(body, digest_size=16).hexdigest()

    def keep_refusal(self, account: str, key: str, digest: str, refusal: Refusal) -> None:
        """Remember a refused creation under its key, if that is how the service is set."""
        if self.settings.remembers_refusals:
            failure = Failure(refusal.code, refusal.message)
            now = self.backstage.clock.now()
            self.keys[account, key] = KeyUse(digest, now, None, failure)

    # -- jobs ------------------------------------------------------------------------------------

    def submit(
        self,
        account: str,
        options: dict[str, Any],
        fate: dict[str, Any],
        *,
        key: str | None,
        digest: str,
    ) -> Job:
        """Take a job in and start it."""
        if self.available_micros(account) <= 0:
            raise Refusal("ZERO_BALANCE", "Add credit to continue")
        now = self.backstage.clock.now()
        place = self.next_place(account)
        job = Job(str(uuid.uuid4()), account, place, options, now, key, fate)
        self._keep(job, digest)
        told = {"options": options, "at": now, "key": key, "digest": digest, "fate": fate}
        self.write("submit", id=job.id, account=account, **told)
        self._watch(job)
        self.backstage.timeline.at(now + self.settings.created_s, lambda at: self._start(job, at))
        return job

    def _keep(self, job: Job, digest: str) -> None:
        self.keep(job)
        if job.key is not None:
            self.keys[job.account, job.key] = KeyUse(digest, job.created_at, job.id)
        if job.upload_id is not None and job.upload_id in self.uploads:
            self.uploads[job.upload_id].used_by = job.id

    def _start(self, job: Job, at: float) -> None:
        if job.finished_at is None and job.started_at is None:
            job.started_at = at
            self._end_after(job, at, self.settings.download_timeout_s, "DOWNLOAD_TIMEOUT")
            self.begin(job, at)

    def _watch(self, job: Job) -> None:
        timeout_s = self.settings.created_timeout_s
        self._end_after(job, job.created_at, timeout_s, "CREATED_TIMEOUT")

    def _end_after(self, job: Job, at: float, seconds: float, code: str) -> None:
        """Let a watchdog end the job if it is then still where it is now."""
        before = (job.started_at, job.processing_at)

        def bark(when: float) -> None:
            if job.finished_at is None and (job.started_at, job.processing_at) == before:
                self.finish(job, when, Failure(code, "The transcription took too long."))

        if seconds:
            self.backstage.timeline.at(at + seconds, bark)

    def probed(self, job: Job, at: float, audio_ms: int, size_bytes: int) -> bool:
        """Learn a job's length and reserve its price; False when that ended the job."""
        if job.finished_at is not None:
            return False
        job.audio_ms, job.size_bytes, job.processing_at = audio_ms, size_bytes, at
        price = job.cost_micros or 0
        if price > self.available_micros(job.account):
            self.finish(job, at, Failure("INSUFFICIENT_BALANCE", "Add credit to continue"))
            return False
        job.reserved_micros = price
        self._reserved[job.account] += price
        self._end_after(job, at, self.settings.processing_timeout_s, "PROCESSING_TIMEOUT")
        self.announce(job, at)
        return True

    def finish(
        self,
        job: Job,
        at: float,
        failure: Failure | None = None,
        said: Script | Speech | None = None,
    ) -> None:
        """End a job once: debit what was reserved if it succeeded, else release it."""
        if job.finished_at is not None:
            return
        job.finished_at, job.failure = at, failure
        self._reserved[job.account] -= job.reserved_micros
        line = None
        if failure is None:
            job.said = said
            line = self._charge(job, at)
        else:
            job.released_micros = job.reserved_micros
        job.reserved_micros = 0
        self.write(
            "finish",
            id=job.id,
            at=at,
            started_at=job.started_at,
            processing_at=job.processing_at,
            failure=failure,
            audio_ms=job.audio_ms,
            size_bytes=job.size_bytes,
            released_micros=job.released_micros,
            **write_said(said),
            line=line and asdict(line),
        )
        self.announce(job, at)

    def _charge(self, job: Job, at: float) -> InvoiceLine:
        line = InvoiceLine(
            provider=PROVIDER,
            provider_job_id=job.id,
            # An upload has no URL; our own pipeline's key names the attempt as well.
            attempt_token=find_attempt_token(job.options.get("url")) or job.key,
            audio_ms=job.audio_ms or 0,
            amount_micros=job.cost_micros or 0,
            currency="USD",
            at=at,
            items={"transcription": PRICE_PER_HOUR_MICROS},
        )
        self._spent[job.account] += line.amount_micros
        self.backstage.invoice.charge(line)
        return line

    def get(self, account: str, job_id: str) -> Job:
        """Return an account's job. Refuses unknown, foreign and deleted ones alike."""
        job = self.jobs.get(job_id)
        if job is None or job.account != account or job.deleted_at is not None:
            raise Refusal("TRANSCRIPTION_NOT_FOUND", "Transcription not found")
        return job

    def cancel(self, job: Job) -> None:
        """End a job in work and release its reservation; again is fine, otherwise a conflict."""
        if job.finished_at is None:
            self.finish(job, self.backstage.clock.now(), CANCELLED)
        elif not job.is_cancelled:
            raise Refusal("CONFLICT", "The transcription is already over")

    def delete(self, job: Job) -> None:
        """Forget a job that is over; what was charged stays charged."""
        if job.finished_at is None:
            raise Refusal("CONFLICT", "The transcription is in progress; cancel it first")
        job.deleted_at = self.backstage.clock.now()
        self.write("delete", id=job.id, at=job.deleted_at)

    # -- memory ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything."""
        for memory in (self.keys, self._spent, self._reserved):
            memory.clear()
        super().clear()

    def resume(self, job: Job, at: float) -> None:
        """Begin a job again."""
        self._watch(job)
        self._start(job, at)

    def replay_one(self, kind: str, event: dict[str, Any]) -> None:
        """Take up one event."""
        if kind == "submit":
            account = event["account"]
            place = self.next_place(account)
            job = Job(event["id"], account, place, event["options"], event["at"])
            job.key, job.fate = event["key"], event["fate"]
            self._keep(job, event["digest"])
        elif kind == "delete":
            self.jobs[event["id"]].deleted_at = event["at"]
        else:
            self._replay_finish(self.jobs[event["id"]], event)

    def _replay_finish(self, job: Job, event: dict[str, Any]) -> None:
        job.finished_at = event["at"]
        for name in ("started_at", "processing_at", "audio_ms", "size_bytes", "released_micros"):
            setattr(job, name, event[name])
        if event["failure"]:
            job.failure = Failure(*event["failure"])
        job.said = read_said(event)
        if event["line"]:
            line = InvoiceLine(**event["line"])
            self._spent[job.account] += line.amount_micros
            self.backstage.invoice.charge(line)
