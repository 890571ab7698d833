"""Waiting for many jobs of one provider with few requests.

What belongs here: when to look and at what. What a look means is the provider's business, what
follows from it the pipeline's. With a list, one or two requests show hundreds of jobs; below
``FEW`` in flight, and for jobs no list shows, looks follow the learned ``WaitModel``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass

from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.errors import AuthenticationFailed, ProviderError
from transcription_pipeline.providers.base import Observation, Phase, Provider

FEW = 10
"""From this many in flight pages of the list are cheaper than single looks."""
LAST_FEW = 3
"""Down to this many a list in use stays in use: the end of a batch is what everybody waits for."""
LOOKS_AT_ONCE = 16
SECOND_LOOK_S = 2.0
"""A job that just left the list of unfinished ones gets one look per this long."""
UNKNOWN_LOOK_S = 30.0
"""A job the provider does not know (yet) is asked for again after this long."""
_IDLE_S = 0.1


@dataclass(slots=True)
class _Watched:
    provider_job_id: str
    audio_s: float
    accepted_at: float
    next_look_at: float
    looked_at: float = 0.0
    """When it last had a look of its own."""
    unknown_until: float = 0.0
    """Until then the provider may not know the job yet, and that means nothing."""
    may_teach: bool = True
    """False while its end may have come long before anybody looked."""


class Watch:
    """The jobs of one provider that have no answer yet."""

    def __init__(self, provider: Provider, model: WaitModel, *, interval_s: float = 0.5) -> None:
        self._provider = provider
        self._model = model
        self._interval_s = interval_s
        self._running: dict[str, _Watched] = {}
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._told_early: set[str] = set()
        """Jobs a webhook spoke of before they were watched."""
        self._is_closed = False
        self._uses_list = False
        self._surveyed_at = -interval_s

    def add(
        self,
        provider_job_id: str,
        *,
        audio_ms: int | None,
        elapsed_s: float = 0.0,
        is_done: bool = False,
        grace_s: float = 0.0,
    ) -> None:
        """Start watching a job that was accepted ``elapsed_s`` ago, ``is_done`` by our own word.

        That the provider does not know the job counts only ``grace_s`` after it was accepted.
        """
        now = _now()
        audio_s = (audio_ms or 0) / 1000
        is_old = elapsed_s >= _IDLE_S or provider_job_id in self._told_early
        wait_s = 0.0 if is_old or is_done else self._model.next_look_s(audio_s, 0.0)
        accepted_at = now - elapsed_s
        self._running[provider_job_id] = _Watched(
            provider_job_id,
            audio_s,
            accepted_at,
            now + wait_s,
            unknown_until=accepted_at + grace_s,
            may_teach=not is_old and not is_done,
        )
        self._changed.set()

    def look_now(self, provider_job_ids: Iterable[str]) -> None:
        """Look at jobs of which the provider itself told something, at once instead of later."""
        for provider_job_id in provider_job_ids:
            watched = self._running.get(provider_job_id)
            if watched is None:
                self._told_early.add(provider_job_id)
            else:
                watched.next_look_at = _now()
                self._told.set()

    def close(self) -> None:
        """Let ``observations`` end once nothing is watched any more."""
        self._is_closed = True
        self._changed.set()

    async def observations(self) -> AsyncIterator[Observation]:
        """Yield each job once, when it is no longer running.

        A look that fails moves nothing: the job is looked at again. Ends after ``close`` when all
        have been seen through.
        """
        while self._running or not self._is_closed:
            if not self._running:
                self._changed.clear()
                await self._changed.wait()
                continue
            started_at = _now()
            async for observation in self._look():
                watched = self._running.pop(observation.provider_job_id, None)
                if watched is None:
                    continue
                if observation.phase is Phase.COMPLETED and watched.may_teach:
                    self._model.learn(watched.audio_s, _now() - watched.accepted_at)
                yield observation
            await self._pause(self._pause_s() - (_now() - started_at))

    def _has_use_for_a_list(self) -> bool:
        enough = LAST_FEW if self._uses_list else FEW
        self._uses_list = self._provider.capabilities.has_list and len(self._running) >= enough
        return self._uses_list

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), max(0.0, seconds))
        self._told.clear()

    def _pause_s(self) -> float:
        if self._has_use_for_a_list():
            return self._interval_s
        due_at = min((w.next_look_at for w in self._running.values()), default=0.0)
        return max(_IDLE_S, min(due_at - _now(), self._interval_s))

    async def _look(self) -> AsyncIterator[Observation]:
        # A pause that a webhook cut short is not over for the list.
        is_time = _now() - self._surveyed_at >= self._interval_s / 2
        if self._has_use_for_a_list() and is_time:
            self._surveyed_at = _now()
            for observation in await self._look_at_list():
                yield observation
        now = _now()
        due = [w for w in self._running.values() if w.next_look_at <= now]
        for start in range(0, len(due), LOOKS_AT_ONCE):
            looks = [self._look_at(w) for w in due[start : start + LOOKS_AT_ONCE]]
            for found in await asyncio.gather(*looks):
                if found is not None:
                    yield found

    async def _look_at_list(self) -> list[Observation]:
        try:
            survey = await self._provider.survey(frozenset(self._running))
        except AuthenticationFailed:
            raise
        except ProviderError:
            return []  # a look that fails moves nothing
        now = _now()
        for provider_job_id, seen in survey.seen.items():
            watched = self._running.get(provider_job_id)
            if watched and seen.phase is Phase.RUNNING:
                # The list will show it again; a single look is for jobs it stops showing.
                watched.next_look_at = now + 10 * self._interval_s
                watched.may_teach = True
        for provider_job_id in survey.absent:
            watched = self._running.get(provider_job_id)
            if watched:
                watched.next_look_at = max(now, watched.looked_at + SECOND_LOOK_S)
        return [o for o in survey.seen.values() if o.phase is not Phase.RUNNING]

    async def _look_at(self, watched: _Watched) -> Observation | None:
        watched.looked_at = _now()
        try:
            observation = await self._provider.observe(watched.provider_job_id)
        except AuthenticationFailed:
            raise
        except ProviderError:
            watched.next_look_at = _now() + SECOND_LOOK_S
            return None
        now = _now()
        if observation.phase is Phase.UNKNOWN_JOB and now < watched.unknown_until:
            watched.next_look_at = min(now + UNKNOWN_LOOK_S, watched.unknown_until)
            return None
        if observation.phase is not Phase.RUNNING:
            return observation
        watched.may_teach = True
        wait_s = self._model.next_look_s(watched.audio_s, now - watched.accepted_at)
        if self._has_use_for_a_list():
            wait_s = max(wait_s, SECOND_LOOK_S)
        watched.next_look_at = now + wait_s
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
