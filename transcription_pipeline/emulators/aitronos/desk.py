"""The service behind the wire: jobs of all accounts, and the synapses each has.

Synapses are taken when a job is accepted, before the answer ("Create transcription"); a failed job's
come back or do not, as set, and its line on the invoice says so. How a job comes by its transcript is in ``work.py``; endpoints in ``app.py`` call this.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import asdict
from typing import Any

from transcription_pipeline.emulators.aitronos.jobs import (
    AitronosSettings,
    Job,
    Upload,
    count_synapses,
)
from transcription_pipeline.emulators.aitronos.refusals import Refusal
from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.desk import BaseDesk, read_said, write_said
from transcription_pipeline.emulators.invoice import InvoiceLine, find_attempt_token
from transcription_pipeline.emulators.speech import Script, Speech

PROVIDER = "aitronos"
CURRENCY = "SYNAPSES"
_MICROS = 1_000_000


class Desk(BaseDesk[Job, Upload, AitronosSettings]):
    """All jobs, uploads and balances."""

    upload_type = Upload

    def __init__(self, backstage: Backstage, settings: AitronosSettings) -> None:
        super().__init__(backstage, settings)
        self._spent: Counter[str] = Counter()
        self._awaited: dict[str, asyncio.Event] = {}

    async def wait_for(self, job: Job) -> None:
        """Return when a job is over."""
        if job.finished_at is None:
            await self._awaited.setdefault(job.id, asyncio.Event()).wait()

    def submit(
        self, account: str, options: dict[str, Any], fate: dict[str, Any], *, audio_ms: int
    ) -> Job:
        """Charge a job and take it in."""
        synapses = count_synapses(audio_ms, self.settings.multiplier)
        organization = options["organization_id"]
        available = self.settings.balance_synapses - self._spent[organization]
        if synapses > available:
            raise Refusal(
                "INSUFFICIENT_SYNAPSES",
                "You don't have enough synapses to complete this request.",
                system_message=f"Insufficient synapse balance: required {synapses}, "
                f"available {available}",
                details={
                    "required_synapses": synapses,
                    "available_synapses": available,
                    "organization_id": organization,
                },
            )
        now = self.backstage.clock.now()
        place, job_id = self.next_place(account), f"trans_{uuid.uuid4().hex}"
        job = Job(job_id, account, place, options, now, audio_ms, synapses, fate)
        job.seen_at = now
        line = self._keep_and_charge(job)
        self.write(
            "submit",
            id=job.id,
            account=account,
            options=options,
            at=now,
            audio_ms=audio_ms,
            synapses=synapses,
            fate=fate,
            line=asdict(line),
        )
        self._start_later(job, now + self.settings.queue_s)
        return job

    def _keep_and_charge(self, job: Job) -> InvoiceLine:
        self.keep(job)
        line = InvoiceLine(
            provider=PROVIDER,
            provider_job_id=job.id,
            # A file has no URL; our own pipeline's name of it is the attempt.
            attempt_token=find_attempt_token(job.audio_url) or job.file_stem,
            audio_ms=job.audio_ms,
            amount_micros=job.synapses * _MICROS,
            currency=CURRENCY,
            at=job.created_at,
            items={"transcription": 3600 * _MICROS},
        )
        self.backstage.invoice.charge(line)
        return line

    def keep(self, job: Job) -> None:
        """Remember a job, and what its organization spent on it."""
        super().keep(job)
        self._spent[job.options["organization_id"]] += job.synapses

    def _start_later(self, job: Job, at: float) -> None:
        def start(when: float) -> None:
            job.started_at = when
            if not (job.fate.get("is_stuck") or job.fate.get("is_final")):
                self.begin(job, when)

        self.backstage.timeline.at(at, start)
        self.backstage.timeline.run_due()

    def finish(
        self, job: Job, at: float, *, error: str | None = None, said: Script | Speech | None = None
    ) -> None:
        """End a job; a failed one's synapses come back if that is how the service is set."""
        job.finished_at, job.error = at, error
        job.said = said if error is None else None
        if error is not None and self.settings.refunds_failures:
            self._refund(job, job.synapses)
        told = {"error": error, "refunded": job.refunded} | write_said(job.said)
        self.write("finish", id=job.id, at=at, **told)
        if job.id in self._awaited:
            self._awaited.pop(job.id).set()
        self.announce(job, at)

    def _refund(self, job: Job, synapses: int) -> None:
        job.refunded = synapses
        self.backstage.invoice.refund(job.id, synapses * _MICROS)
        self._spent[job.options["organization_id"]] -= synapses

    def get(self, account: str, job_id: str) -> Job:
        """Return an account's job. Refuses unknown, foreign and deleted ones alike."""
        job = self.jobs.get(job_id)
        if job is None or job.account != account or job.deleted_at is not None:
            raise Refusal("TRANSCRIPTION_NOT_FOUND", "The transcription was not found.")
        return job

    def refresh(self, job: Job) -> bool:
        """Ask the machine behind if the last time is long ago; say whether it was asked."""
        now = self.backstage.clock.now()
        is_over = job.status_at(job.seen_at) in ("completed", "failed")
        if is_over or now - job.seen_at < self.settings.refresh_s:
            return False
        job.seen_at = now
        return True

    def delete(self, job: Job) -> None:
        """Forget a job in any state; what that means for one in work is not documented."""
        job.deleted_at = self.backstage.clock.now()
        self.write("delete", id=job.id, at=job.deleted_at)

    def clear(self) -> None:
        """Forget everything."""
        self._spent.clear()
        self._awaited.clear()
        super().clear()

    def resume(self, job: Job, at: float) -> None:
        """Begin a job again, unless it was deleted meanwhile."""
        if job.deleted_at is None:
            self._start_later(job, at)

    def replay_one(self, kind: str, event: dict[str, Any]) -> None:
        """Take up one event."""
        if kind == "submit":
            place = self.next_place(event["account"])
            job = Job(event["id"], event["account"], place, event["options"], event["at"], 0, 0)
            job.audio_ms, job.synapses = event["audio_ms"], event["synapses"]
            job.fate, job.seen_at = event["fate"], event["at"]
            self.keep(job)
            self.backstage.invoice.charge(InvoiceLine(**event["line"]))
        elif kind == "delete":
            self.jobs[event["id"]].deleted_at = event["at"]
        else:
            self._replay_finish(self.jobs[event["id"]], event)

    def _replay_finish(self, job: Job, event: dict[str, Any]) -> None:
        job.started_at = job.finished_at = event["at"]
        job.error = event["error"]
        self._refund(job, event["refunded"])
        job.said = read_said(event)
