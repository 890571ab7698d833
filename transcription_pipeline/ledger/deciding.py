"""What a person decides: a failed job gets another attempt, a recording is erased.

What is decided about single attempts goes through ``Ledger.commit`` like everything else. ``Ledger``
inherits this; ``decisions.py`` is the only caller.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, or_, select, update

from transcription_pipeline.domain.job import DEAD_STATES, JobState
from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.applying import maybe_paid
from transcription_pipeline.ledger.guarding import LedgerGuards
from transcription_pipeline.ledger.instants import to_text

_j, _r, _a = schema.jobs.c, schema.recordings.c, schema.attempts.c


class LedgerDecisions(LedgerGuards):
    """Decisions about jobs and recordings."""

    def revive_job(self, job_id: str, *, may_cost_again: bool, at: datetime) -> bool:
        """Let a failed or quarantined job be worked on again; a clean look ends the quarantine.

        Returns False when it is neither, was erased, has a live attempt, or when an attempt of it
        may have cost something and ``may_cost_again`` is not given.
        """
        now = to_text(at)
        revivable = [JobState.FAILED.value, JobState.QUARANTINED.value]
        here = (_j.job_id == job_id) & _j.state.in_(revivable)
        with self._write() as connection:
            query = select(_j.recording_id).where(here).with_for_update()
            recording_id = connection.execute(query).scalar()
            live = _a.state.not_in([state.value for state in DEAD_STATES])
            forbids = live if may_cost_again else or_(live, maybe_paid())
            count = select(func.count()).where(_a.job_id == job_id, forbids)
            if recording_id is None or connection.execute(count).scalar_one():
                return False
            clean = connection.execute(
                update(schema.recordings)
                .where(
                    _r.recording_id == recording_id,
                    or_(
                        _r.quarantine_reason.is_(None),
                        _r.quarantine_reason != QuarantineReason.ERASED.value,
                    ),
                )
                .values(quarantine_reason=None, quarantine_detail=None, updated_at=now)
            )
            if clean.rowcount != 1:
                return False
            # Those that were put aside with it are worked on again, too.
            together = (_j.recording_id == recording_id) & (_j.state == JobState.QUARANTINED.value)
            connection.execute(
                update(schema.jobs)
                .where(here | together)
                .values(
                    state=JobState.IN_PROGRESS.value,
                    cause=None,
                    detail=None,
                    scheduled_at=None,
                    updated_at=now,
                )
            )
        return True

    def record_erasure(self, recording_id: str, *, by: str, at: datetime) -> None:
        """Set a tombstone: the recording is known for ever and never worked on again.

        What its attempts cost stays. Safe to repeat: yes.
        """
        now, reason = to_text(at), QuarantineReason.ERASED.value
        with self._write() as connection:
            connection.execute(
                update(schema.recordings)
                .where(_r.recording_id == recording_id)
                .values(quarantine_reason=reason, quarantine_detail=f"by {by}", updated_at=now)
            )
            connection.execute(
                update(schema.jobs)
                .where(_j.recording_id == recording_id)
                .values(
                    state=JobState.QUARANTINED.value,
                    cause=reason,
                    scheduled_at=None,
                    deadline_at=None,
                    updated_at=now,
                )
            )
            connection.execute(
                update(schema.attempts)
                .where(_a.recording_id == recording_id)
                .values(request_sealed=None)
            )

    def record_adoption(self, *, since: datetime | None, by: str, at: datetime) -> None:
        """Remember that what was sent before ``at`` is not known here.

        ``since`` is when this ledger stopped knowing of everything. An adoption that came before
        knows better: what was unknown then may be so still.
        """
        table = schema.identity
        earlier = self.find_adoption()
        since = earlier.since if earlier else since
        with self._write() as connection:
            connection.execute(
                update(table).values(
                    adopted_at=to_text(at), adopted_by=by, unknown_since=to_text(since)
                )
            )

    def forget_raw_answer(self, attempt_id: str) -> None:
        """Remember that an attempt's raw answer is gone from the lake."""
        with self._write() as connection:
            connection.execute(
                update(schema.attempts).where(_a.attempt_id == attempt_id).values(raw_key=None)
            )
