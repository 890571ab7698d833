"""From a due job to one that may be sent: look into its audio, refuse what can only be rejected.

Looking costs a few ranged reads of the bucket and happens once per recording; what was found is in
the ledger from then on. Nothing here costs money, and no provider is asked: its limits are data.
"""

from __future__ import annotations

import time
from dataclasses import replace

from transcription_pipeline.audio.probe import probe
from transcription_pipeline.domain.job import AttemptState, JobState
from transcription_pipeline.domain.recording import AudioFacts, QuarantineReason, Recording
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.errors import AudioError, VersionLost
from transcription_pipeline.ledger.changes import Probed, Refuse
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import Capabilities


class Preparing:
    """The first step of every job."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    async def prepare(self, item: WorkItem) -> WorkItem | None:
        """Return the job with the facts about its audio; None when it must not be sent."""
        place, recording = self._place, item.recording
        if recording.facts is None and recording.quarantine_reason is None:
            recording = await self._look_into(recording)
        if recording.quarantine_reason:
            await self._end(item, recording.quarantine_reason)
            place.report.note("quarantined", recording.recording_id, recording.quarantine_reason)
            return None
        cause = find_refusal(recording, place.provider.capabilities)
        if cause is None:
            return item if recording is item.recording else replace(item, recording=recording)
        await self._end(item, cause.value)
        place.report.note("failed", recording.recording_id, cause.value)
        return None

    async def _end(self, item: WorkItem, cause: str) -> None:
        """Let a job fail of which nothing is on its way, unless it was put aside with its recording."""
        place = self._place
        if item.attempt is None:
            await place.commit(Refuse(item.job.job_id, cause, place.now()))
        else:
            failed = JobState.FAILED
            await place.move(item.attempt, AttemptState.ABANDONED, cause=cause, job_state=failed)

    async def _look_into(self, recording: Recording) -> Recording:
        place = self._place
        try:
            facts = await place.in_thread(self._probe, recording)
        except AudioError as error:
            at = place.now()
            await place.commit(Probed(recording.recording_id, at, None, error.reason, error.detail))
            return replace(recording, quarantine_reason=error.reason)
        await place.commit(Probed(recording.recording_id, place.now(), facts))
        place.looked_into[recording.recording_id] = time.monotonic()
        return replace(recording, facts=facts)

    def _probe(self, recording: Recording) -> AudioFacts:
        def read_range(start: int, length: int) -> bytes:
            return self._place.audio.get_range(
                recording.key, start, length, if_match=recording.etag
            )

        try:
            return probe(read_range, recording.size_bytes)
        except VersionLost as error:
            # A newer version is a recording of its own.
            raise AudioError(error.reason, "this version cannot be read") from None


def find_refusal(recording: Recording, can: Capabilities) -> QuarantineReason | None:
    """Say why this provider could only reject the recording; None when it may take it."""
    facts = recording.facts
    if facts and facts.duration_ms < can.min_duration_ms:
        return QuarantineReason.TOO_SHORT
    if facts and can.max_duration_ms and facts.duration_ms > can.max_duration_ms:
        return QuarantineReason.TOO_LONG
    if can.max_size_bytes and recording.size_bytes > can.max_size_bytes:
        return QuarantineReason.TOO_LARGE
    return None
