"""Waiting for the provider: who waits for which job, and webhooks, which shorten the wait.

When to look is the watch's business (``providers/watch.py``); what an answer means is told in
``collecting.py``. ``partition_run.py`` is the only caller.
"""

from __future__ import annotations

import asyncio

from transcription_pipeline.domain.job import Attempt
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.engine.workplace import Workplace
from transcription_pipeline.ledger.rows import WorkItem
from transcription_pipeline.providers.base import AudioDelivery, Observation
from transcription_pipeline.providers.watch import Watch

GRACE_S = 600.0
"""A provider may not know a job yet that it just accepted (eventual consistency)."""
HEAR_S = 0.3
"""How often the ledger is asked for webhooks, where a route wants them."""


class Waiting:
    """The jobs of one run that the provider has."""

    def __init__(self, place: Workplace, model: WaitModel) -> None:
        self._place = place
        self._watch = Watch(place.provider, model, interval_s=place.limits.poll_interval_s)
        self._waiting: dict[str, asyncio.Future[Observation]] = {}

    async def wait_for(self, item: WorkItem, attempt: Attempt) -> Observation:
        """Return what the provider says of a job once that is no longer "running"."""
        provider_job_id, facts = attempt.provider_job_id or "", item.recording.facts
        since = attempt.accepted_at or attempt.sent_at
        can = self._place.provider.capabilities
        self._waiting[provider_job_id] = asyncio.get_running_loop().create_future()
        self._watch.add(
            provider_job_id,
            audio_ms=facts.duration_ms if facts else None,
            elapsed_s=(self._place.now() - since).total_seconds() if since else 0.0,
            is_done=AudioDelivery.DIRECT in can.deliveries,
            grace_s=0.0 if can.is_free else GRACE_S,
        )
        return await self._waiting[provider_job_id]

    async def hand_out_observations(self) -> None:
        """Wake whoever waits, until ``close`` and until nobody does."""
        async for seen in self._watch.observations():
            waiting = self._waiting.pop(seen.provider_job_id)
            if not waiting.done():
                waiting.set_result(seen)

    async def hear_webhooks(self) -> None:
        """Look at once at what a provider tells of by itself; the receiver is another process."""
        place = self._place
        last = await place.in_thread(place.ledger.find_last_delivery)
        while True:
            await asyncio.sleep(HEAR_S)
            name = place.provider.name
            told = await place.in_thread(place.ledger.list_deliveries, name, last)
            if told:
                last = told[-1][0]
                self._watch.look_now(job for _, job in told)

    def close(self) -> None:
        """Expect no further job."""
        self._watch.close()
