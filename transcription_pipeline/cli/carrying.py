"""Carrying what is due to the tables, several partitions at once, until nothing moves.

What belongs here: whose trouble is whose while ``tp run`` or ``tp rebuild`` works. What does not: the
steps (``pipeline.py``), and telling what came of them (``working.py``, the only caller).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
from rich.progress import Progress

from transcription_pipeline import pipeline
from transcription_pipeline.engine import RunReport
from transcription_pipeline.errors import (
    AuthenticationFailed,
    DiskFull,
    LedgerBusy,
    LedgerNotOurs,
    TranscriptionPipelineError,
)
from transcription_pipeline.ledger.reading import Partition
from transcription_pipeline.tools import Tools

PARTITIONS_AT_ONCE = 4
LEASES_S = 90.0
"""How long a run waits for partitions that other workers hold."""
LOOK_AGAIN_S = 2.0
_EVERYBODYS = (LedgerNotOurs, DiskFull, LedgerBusy)
"""Trouble of the lake, the machine or the ledger: no further partition is begun."""
_FORESEEN = (TranscriptionPipelineError, pa.ArrowException, OSError)
"""What a partition may come to grief over; a broken table file is told in Arrow's words."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What ended the work on one partition, or on the catalogue of one day."""

    place: str
    error: Exception

    def __str__(self) -> str:
        kind = type(self.error).__name__
        if isinstance(self.error, TranscriptionPipelineError):
            return f"{self.place}: {kind}: {self.error}"
        # Arrow's texts may repeat what stands in a table.
        reason = getattr(self.error, "strerror", None) or kind
        return f"{self.place}: a file cannot be read or written: {reason}"

    @property
    def is_everybodys(self) -> bool:
        """Whether it is more than this partition's."""
        return isinstance(self.error, _EVERYBODYS)


async def carry_until_quiet(tools: Tools, progress: Progress) -> list[Trouble]:
    """Carry what is due; the trouble of a partition hurts no other one.

    A partition in trouble is left to the next run, like everything of a provider that refuses our
    key. After trouble that is everybody's no further partition is begun.
    """
    carrying = _Carrying(tools, progress)
    patience_s = LEASES_S
    while partitions := carrying.list_due():
        # What nobody foresaw ends the run, but only once the others have come to their end.
        done = await asyncio.gather(*map(carrying.carry, partitions), return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException):
                raise outcome
        if any(done):
            continue
        if patience_s <= 0 or None not in done:
            break
        # Another worker holds a partition; if it died elsewhere its lease lapses.
        await asyncio.sleep(LOOK_AGAIN_S)
        patience_s -= LOOK_AGAIN_S
    return carrying.troubles


def write_catalogues(tools: Tools) -> list[Trouble]:
    """Write the tables of the ledger anew for every day that changed."""
    stale = [(day,) for day in tools.ledger.list_stale_days()]
    return do_each(partial(pipeline.write_catalogue, tools), stale)[1]


def do_each(
    step: Callable[..., _T], places: Iterable[tuple[str, ...]]
) -> tuple[list[tuple[tuple[str, ...], _T]], list[Trouble]]:
    """Do a step for one place after another; the trouble of one hurts no other one.

    Returns what came of each, and the troubles. After one that is everybody's no further place is
    begun.
    """
    done: list[tuple[tuple[str, ...], _T]] = []
    troubles: list[Trouble] = []
    for place in places:
        try:
            done.append((place, step(*place)))
        except _FORESEEN as error:
            troubles.append(Trouble("/".join(place), error))
            if troubles[-1].is_everybodys:
                break
    return done, troubles


class _Carrying:
    """What one run has come to so far."""

    def __init__(self, tools: Tools, progress: Progress) -> None:
        self._tools = tools
        self._progress = progress
        self._at_once = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        self._left: set[tuple[str, str]] = set()
        """Partitions, by day and provider, that are in trouble."""
        self._refused: set[str] = set()
        self.troubles: list[Trouble] = []

    @property
    def is_over(self) -> bool:
        """Whether no partition is worth beginning."""
        return any(trouble.is_everybodys for trouble in self.troubles)

    def list_due(self) -> list[Partition]:
        """Return what is due and not in trouble."""
        return [
            partition
            for partition in ([] if self.is_over else pipeline.list_due(self._tools))
            if partition.provider not in self._refused
            and (partition.day, partition.provider) not in self._left
        ]

    async def carry(self, partition: Partition) -> bool | None:
        """Carry one partition in its turn; False: nothing to do now, None: another worker has it.

        One in trouble counts as moved: it is left out from now on, and what it did before may have
        made others due.
        """
        day, provider = partition.day, partition.provider
        async with self._at_once:
            if self.is_over:
                return False
            has_moved, errors = await _carry(self._tools, day, provider, self._progress)
        for error in errors:
            if isinstance(error, AuthenticationFailed):
                self._refused.add(provider)  # its gate is closed, and says so in the end
            else:
                self._left.add((day, provider))
                self.troubles.append(Trouble(f"{day}/{provider}", error))
        return True if errors else has_moved


async def _carry(
    tools: Tools, day: str, provider: str, progress: Progress
) -> tuple[bool | None, list[Exception]]:
    """Transcribe and write one partition; return whether it moved, and what went wrong."""
    task = progress.add_task(f"{provider} {day}", total=None)
    watching: asyncio.Task[None] | None = None
    report = written = None
    errors: list[Exception] = []

    def follow(report: RunReport) -> None:
        nonlocal watching
        watching = asyncio.create_task(_follow(report, progress, task))

    try:
        report = await pipeline.transcribe(tools, day, provider, on_start=follow)
    except _FORESEEN as error:
        errors.append(error)
    finally:
        if watching:
            watching.cancel()
    try:  # in any case: what is stored is paid for
        written = await asyncio.to_thread(pipeline.write, tools, day, provider)
    except _FORESEEN as error:
        errors.append(error)
    progress.update(task, total=1, completed=1)
    if report is None or written is None:
        return None, errors
    return report.has_progress or written.published > 0, errors


async def _follow(report: RunReport, progress: Progress, task: Any) -> None:
    while True:
        progress.update(task, total=report.due or None, completed=report.settled_count)
        await asyncio.sleep(0.2)
