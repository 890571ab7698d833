"""What every step of one run shares: the stores, the clock, the report, and the ways to write.

No step is told here; the steps are ``preparing``, ``submitting``, ``resuming`` and ``collecting``,
and ``partition_run.py`` makes one workplace for all of them. Everything that blocks goes through
``in_thread``, everything that decides through ``commit``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from transcription_pipeline.domain.job import Attempt, AttemptState, JobState
from transcription_pipeline.domain.route import Route
from transcription_pipeline.engine.claim import Claim
from transcription_pipeline.engine.limits import RunLimits
from transcription_pipeline.engine.report import RunReport
from transcription_pipeline.errors import LedgerBusy
from transcription_pipeline.ledger.changes import Change, Lease, Move, Postpone, Saw
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.ledger.rows import Adoption, WorkItem
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.storage.objects import ObjectStore

THREADS = 16
"""For blocking work: bucket reads, lake writes, questions to the ledger."""
RETRY_AFTER = timedelta(seconds=30)
"""First pause after a failure that cost nothing; doubles with every attempt."""
BREAKER = "breaker"
"""The gate that closes after lost answers; ``auth`` and ``funds`` wait for a person."""
GATE_CLOSED = timedelta(minutes=10)
"""After that the account is asked something free, and then one paid request goes first."""
BREAKER_OPEN = timedelta(minutes=5)
"""The same after an outage, which ends without anybody's doing."""
_BUSY_PAUSES_S = (1.0, 5.0, 15.0)
"""What was seen of a paid request must be kept: a locked ledger is asked again before giving up."""
_ATTEMPT_FIELDS = frozenset(Attempt.__slots__)
T = TypeVar("T")


async def _before_the_writer(*_: Change) -> None:
    raise AssertionError("the ledger's writer was not started")


@dataclass(slots=True)
class Workplace:
    """One run's surroundings."""

    ledger: Ledger
    provider: Provider
    audio: ObjectStore
    lake: ObjectStore
    lease: Lease
    limits: RunLimits
    now: Callable[[], datetime]
    claim: Claim
    folders: Sequence[Path]
    """Where this machine keeps ledger and lake, so far as they are here."""
    find_route: Callable[[str], Route | None] = lambda _key: None
    """Complete key → the route by which it is sent."""
    adoption: Adoption | None = None
    """Where it was, what another ledger may have sent is looked up first (``forgotten.py``)."""
    looked_into: dict[str, float] = field(default_factory=dict)
    """When the bytes of a recording were last seen, on the monotonic clock."""
    report: RunReport = field(default_factory=RunReport)
    write: Callable[..., Awaitable[None]] = _before_the_writer
    """The group commit of this run; use ``commit``."""
    closed_gate: str | None = None
    """Why the provider gets no further paid request from this run; None while it may."""
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="blocking")
    )

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run what blocks beside the loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    def close_threads(self) -> None:
        """Start nothing more; what runs may end by itself, nobody waits for its outcome."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def commit(self, *changes: Change) -> None:
        """Return once the changes are durable; raises the first refusal among them."""
        for pause_s in _BUSY_PAUSES_S:
            try:
                return await self.write(*changes)
            except LedgerBusy:
                await asyncio.sleep(pause_s)
        return await self.write(*changes)

    async def move(
        self, attempt: Attempt, to_state: AttemptState, *evidence: Change, **details: Any
    ) -> Attempt:
        """Move an attempt, with the evidence for it in the same commit; return it as it is then."""
        await self.commit(*evidence, self.make_move(attempt, to_state, **details))
        values: dict[str, Any] = details.get("values") or {}
        known = {name: value for name, value in values.items() if name in _ATTEMPT_FIELDS}
        return replace(attempt, state=to_state, **known)

    async def record_failure(
        self, attempt: Attempt, kind: str, since: datetime | None = None
    ) -> datetime:
        """Return when such a failure was first seen of an attempt, ``since`` then; if never, it is now.

        How long nobody tried proves nothing: limits on failures are counted from here.
        """
        named = attempt.attempt_id, kind
        first = await self.in_thread(self.ledger.find_first_seen, *named, since)
        if first is None:
            first = self.now()
            await self.commit(Saw(*named, first))
        return first

    def make_move(
        self,
        attempt: Attempt,
        to_state: AttemptState,
        *,
        cause: str | None = None,
        detail: str | None = None,
        values: dict[str, Any] | None = None,
        job_state: JobState | None = None,
        due: datetime | None = None,
    ) -> Move:
        """Describe a move from the state the attempt is in."""
        return Move(
            attempt.attempt_id,
            attempt.job_id,
            attempt.state,
            to_state,
            self.now(),
            cause,
            detail,
            values or {},
            job_state,
            due,
        )

    async def postpone(self, item: WorkItem, cause: str, until: datetime | None = None) -> None:
        """Let a job wait, by default longer with every attempt it has had."""
        at = self.now()
        due = until or at + RETRY_AFTER * 2 ** min(item.attempt_count, 6)
        await self.commit(Postpone(item.job.job_id, due, cause, at))
        self.report.note("postponed", item.job.recording_id, cause)

    async def close_gate(self, reason: str) -> None:
        """Send nothing paid any more, in this run and for a while after it."""
        if self.closed_gate is None:
            self.closed_gate = reason
            at = self.now()
            until = at + (BREAKER_OPEN if reason == BREAKER else GATE_CLOSED)
            await self.in_thread(
                lambda: self.ledger.close_gate(self.provider.name, reason, until=until, at=at)
            )
