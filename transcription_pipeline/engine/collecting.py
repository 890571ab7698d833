"""The end of a job: its raw answer kept byte for byte with its files, or why there is none.

An answer is durable in the lake before the ledger says so, and nobody has parsed it by then. Runs
once per job whose provider said it is over; ``partition_run.py`` is the only caller.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import zstandard

from transcription_pipeline.domain.job import Attempt, AttemptState, JobState
from transcription_pipeline.engine.workplace import RETRY_AFTER, Workplace
from transcription_pipeline.errors import ObjectChanged
from transcription_pipeline.ledger.changes import Change, Saw
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import AudioDelivery, BringsFiles, Observation, Phase
from transcription_pipeline.storage.layout import make_raw_key, make_side_file_key
from transcription_pipeline.storage.staging import open_staging

AT_ONCE = 16
"""Answers held in memory at a time."""
ZSTD_LEVEL = 1
"""Measured on answers of 130 kB: as small as level 3, for two thirds of its CPU."""
_S = AttemptState


# A compressor costs as much to make as to use once, and serves one thread at a time.
_of_this_thread = threading.local()


def _compress(body: bytes) -> bytes:
    compressor: zstandard.ZstdCompressor | None = getattr(_of_this_thread, "compressor", None)
    if compressor is None:
        compressor = _of_this_thread.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    return compressor.compress(body)


class Collecting:
    """Settles jobs that are over."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def settle(self, item: WorkItem, attempt: Attempt, seen: Observation) -> None:
        """Keep the answer of a completed job, or record why there is none."""
        if seen.phase is Phase.COMPLETED:
            await self._keep_answer(item, attempt, seen)
        elif seen.phase is Phase.FAILED and attempt.state is _S.ACCEPTED:
            await self._fail(item, attempt, seen)
        elif seen.phase is Phase.UNKNOWN_JOB and self._place.provider.capabilities.is_free:
            # Nothing was paid, so doing it again is the answer.
            lost = replace(seen, phase=Phase.FAILED, cause="answer_lost", is_retryable=True)
            await self._fail(item, attempt, lost)
        else:
            # It was accepted, perhaps paid, and is gone: only a person can decide.
            cause = seen.cause or "job_unknown_to_provider"
            await self._place.move(attempt, _S.HELD, cause=cause)
            self._place.report.note("held", item.job.recording_id, cause)

    async def _keep_answer(self, item: WorkItem, attempt: Attempt, seen: Observation) -> None:
        place = self._place
        noticed_at = place.now()
        key = make_raw_key(attempt.provider, attempt.recording_id, attempt.attempt_id)
        async with self._at_once:
            body = seen.body or await place.provider.collect(seen.provider_job_id)
            digest = await place.in_thread(self._put, key, body)
        before: list[Change] = await self._keep_files(item, attempt, seen.provider_job_id)
        at = place.now()
        if attempt.state is _S.ACCEPTED:
            completed = {"completed_at": seen.completed_at or noticed_at}
            before.append(place.make_move(attempt, _S.COMPLETED, values=completed))
        stored = {"stored_at": at, "raw_key": key, "raw_sha256": digest}
        attempt = replace(attempt, state=_S.COMPLETED)
        await place.move(attempt, _S.STORED, *before, values=stored)
        if AudioDelivery.DIRECT in place.provider.capabilities.deliveries:
            # What was said is kept in the lake alone, not beside it on this machine.
            await place.provider.delete(seen.provider_job_id)
        self._count(item, attempt, at)

    async def _keep_files(self, item: WorkItem, attempt: Attempt, job_id: str) -> list[Change]:
        """Keep what else the job left, in the lake; return the evidence of it, or of its lack."""
        place, provider = self._place, self._place.provider
        options = item.job.options
        if not isinstance(provider, BringsFiles) or not provider.has_files(options):
            return []
        evidence: list[Change] = []
        with open_staging(place.lake) as folder:
            for file in await provider.fetch_files(job_id, options, folder):
                key = None
                if file.path is not None:
                    ids = (attempt.provider, attempt.recording_id, attempt.attempt_id)
                    key = make_side_file_key(file.kind, *ids, file.path.suffix)
                    await place.in_thread(place.lake.put_file, key, file.path)
                else:
                    place.report.counts["incomplete"] += 1
                evidence.append(
                    Saw(attempt.attempt_id, file.kind, place.now(), cause=file.cause, detail=key)
                )
        return evidence

    def _put(self, key: str, body: bytes) -> str:
        """Keep an answer, or adopt the one that another worker kept; return its SHA-256.

        Two looks may give different bytes, and a worker that slept past its lease must not replace
        those of which the ledger knows the digest.
        """
        try:
            self._place.lake.put(key, _compress(body), only_if_absent=True)
        except ObjectChanged:
            body = zstandard.decompress(self._place.lake.get(key))
        return sha256(body).hexdigest()

    def _count(self, item: WorkItem, attempt: Attempt, at: datetime) -> None:
        report, facts = self._place.report, item.recording.facts
        report.counts["stored"] += 1
        report.audio_ms += facts.duration_ms if facts else 0
        if attempt.accepted_at:
            report.latencies_s.append((at - attempt.accepted_at).total_seconds())

    async def _fail(self, item: WorkItem, attempt: Attempt, seen: Observation) -> None:
        place, cause = self._place, seen.cause or "provider_error"
        may_retry = seen.is_retryable and attempt.number < place.limits.max_attempts
        is_unpaid = seen.is_unpaid or seen.is_retryable or place.provider.capabilities.is_free
        await place.move(
            attempt,
            _S.FAILED,
            cause=cause,
            values={"cost_micros": 0} if is_unpaid else None,
            job_state=JobState.IN_PROGRESS if may_retry else None,
            due=place.now() + RETRY_AFTER * 2**attempt.number if may_retry else None,
        )
        place.report.note("failed", item.job.recording_id, cause)
