"""From raw answers to files in the lake: the last two steps of the story, batch by batch.

What belongs here: reading kept answers, what the ledger knows beside them, replacing the files of a
partition, and saying so. ``pipeline.write`` tells the order; an erasure (``decisions.py``) calls it
too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import zstandard

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.transcript import Transcript
from transcription_pipeline.errors import (
    ConfigurationError,
    LeaseLost,
    NormaliseError,
    ObjectChanged,
    ObjectNotFound,
)
from transcription_pipeline.ledger.changes import Lease, Move
from transcription_pipeline.normalise import NORMALISERS, find_unknown_fields
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.storage.objects import ABSENT
from transcription_pipeline.storage.staging import open_staging
from transcription_pipeline.tables import parquet
from transcription_pipeline.tables.build import build_tables
from transcription_pipeline.tables.parquet import Batch, merge_partition
from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES, TableSchema
from transcription_pipeline.tools import Tools

DOCUMENTS_PER_BATCH = 100
"""Answers normalised at a time: large enough for columns to pay, small enough for memory."""
WRITE_LEASE_S = 600.0
"""How long a writer may be silent, as it is during a batch, a PUT, a request to a provider."""
TRIES = 3
"""One is lost when a PUT did arrive and its answer did not, one to a writer that was overtaken."""
_S = AttemptState
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TableFile:
    """One version of the file of a table's partition, to be replaced by another."""

    table: TableSchema
    key: str
    etag: str
    """``ABSENT`` where there is none yet."""


def is_routed(tools: Tools, provider: str) -> bool:
    """Say whether some route names a provider, so that it may be sent something new."""
    return any(provider in (*route.providers, *route.fallback) for route in tools.routes)


def open_provider(tools: Tools, provider: str) -> Provider:
    """Return a client; the caller closes it. Raises ``ConfigurationError`` without credentials."""
    try:
        return tools.make_provider[provider]()
    except ConfigurationError as error:
        if is_routed(tools, provider):
            raise
        why = f"what {provider} was sent waits for it, though no route names {provider} any more"
        raise ConfigurationError(*(f"{problem}: {why}" for problem in error.problems)) from None


def normalise(
    tools: Tools,
    provider: str,
    attempts: Sequence[Attempt],
    good: list[tuple[Attempt, dict[str, Any]]],
    bad: dict[str, tuple[Attempt, NormaliseError]],
    replaced_ids: set[str],
    unknown: set[str],
) -> Iterator[Batch]:
    """Yield tables, batch by batch, in order of recording; sort the attempts into good and bad.

    Before a batch comes, its recordings are added to ``replaced_ids``.
    Fields we do not know are looked for in the first answer of each batch and added to ``unknown``:
    in every answer that would cost a quarter of the reading, and news is in all answers alike.
    """
    newest = {attempt.recording_id: attempt for attempt in attempts}  # a later job replaces
    listed = [newest[recording_id] for recording_id in sorted(newest)]
    jobs = tools.ledger.find_options([attempt.job_id for attempt in listed])
    client = open_provider(tools, provider)
    for start in range(0, len(listed), DOCUMENTS_PER_BATCH):
        batch: list[tuple[dict[str, Any], Transcript]] = []
        for attempt in listed[start : start + DOCUMENTS_PER_BATCH]:
            try:
                body = read_raw(tools, attempt.provider, attempt.raw_key)
                transcript = NORMALISERS[provider](body)
            except NormaliseError as error:
                bad[attempt.recording_id] = (attempt, error)
                continue
            header = _header(tools, client, attempt, transcript, jobs[attempt.job_id])
            good.append((attempt, header))
            replaced_ids.add(attempt.recording_id)
            if not batch:
                unknown.update(find_unknown_fields(provider, body))
            batch.append((header, transcript))
        if batch:
            yield build_tables(batch)


def read_raw(tools: Tools, provider: str, raw_key: str | None) -> bytes:
    """Return a raw answer as it was received; raises ``NormaliseError`` where it is lost."""
    if raw_key is None:
        raise NormaliseError(provider, "$", "no raw answer in the ledger")
    try:
        return zstandard.decompress(tools.lake.get(raw_key))
    except (ObjectNotFound, zstandard.ZstdError):
        raise NormaliseError(provider, "$", "a raw answer lost from the lake") from None


def _header(
    tools: Tools, client: Provider, attempt: Attempt, transcript: Transcript, job: tuple[str, Any]
) -> dict[str, Any]:
    options_json, options = job
    told = transcript.told_cost
    cost = told or client.price(options, transcript.duration_ms or 0, model=transcript.model)
    return {
        "recording_id": attempt.recording_id,
        "provider": attempt.provider,
        "job_id": attempt.job_id,
        "attempt_id": attempt.attempt_id,
        "provider_job_id": attempt.provider_job_id,
        "region": attempt.region,
        "cost_micros": cost.micros if cost else None,
        "currency": cost.currency if cost else None,
        "cost_source": ("provider" if told else "price_list") if cost else None,
        "billed_ms": cost.billed_ms if cost else None,
        "submitted_at": attempt.sent_at,
        "completed_at": attempt.completed_at,
        "collected_at": attempt.stored_at,
        "options_json": options_json,
        "raw_uri": tools.lake.root_uri + (attempt.raw_key or ""),
        "raw_sha256": attempt.raw_sha256,
    }


def find_files(
    tools: Tools, day: str, provider: str | None, tables: Sequence[TableSchema]
) -> list[TableFile]:
    """Return the versions of a partition's files that are to be replaced.

    Without a lease they are found before the rows are read that shall replace them.
    """
    files = []
    for table in tables:
        key = make_table_key(table.name, day, provider)
        found = tools.lake.find(key)
        files.append(TableFile(table, key, found.etag if found else ABSENT))
    return files


def replace_files(
    tools: Tools,
    files: Sequence[TableFile],
    batches: Iterable[Batch],
    *,
    replaced_ids: Collection[str] | None,
    leases: Sequence[Lease] = (),
) -> dict[str, int]:
    """Merge batches into a partition's files; return the rows of each table.

    Old rows stay but those of ``replaced_ids``, see ``merge_partition``; None: no old file is read.

    A file is replaced only while every lease is ours and it is the version that was found: whoever
    slept past its lease loses what it made, not what another published meanwhile. The lease alone
    would leave the moment before the PUT; the version alone would let rows through that were erased
    before they were published, for S3 knows equal bytes by one ETag. What is left is both at once.

    Raises:
        LeaseLost: another worker took a partition over.
        ObjectChanged: another writer replaced a file.
    """
    found = [file for file in files if file.etag != ABSENT and replaced_ids is not None]
    old = {file.table.name: partial(tools.lake.get, file.key) for file in found}
    with open_staging(tools.lake) as folder:
        merged = merge_partition(
            old,
            _renewing(tools, leases, batches),
            tables=[file.table for file in files],
            replaced_ids=() if replaced_ids is None else replaced_ids,
            folder=folder,
        )
        for file in files:
            renew(tools, leases)
            tools.lake.put_file(file.key, merged[file.table.name][0], if_match=file.etag)
    return {name: count for name, (_, count) in merged.items()}


def _renewing(tools: Tools, leases: Sequence[Lease], batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        renew(tools, leases)
        yield batch


def renew(tools: Tools, leases: Iterable[Lease]) -> None:
    """Prolong leases; raises ``LeaseLost`` when one was taken over."""
    for lease in leases:
        if not tools.ledger.renew_lease(lease, at=tools.now(), ttl_s=WRITE_LEASE_S):
            raise LeaseLost(f"partition {lease.day}/{lease.provider}: taken over")


def repeats_if_changed(step: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a step read and write again where another writer's file came between, ``TRIES`` times."""

    @wraps(step)
    def repeat(*arguments: _P.args, **named: _P.kwargs) -> _T:
        for _ in range(TRIES - 1):
            with suppress(ObjectChanged):
                return step(*arguments, **named)
        return step(*arguments, **named)

    return repeat


@repeats_if_changed
def remove_rows(tools: Tools, lease: Lease, recording_id: str, *, leases: Sequence[Lease]) -> None:
    """Write a partition's files anew without one recording, while all of ``leases`` are ours."""
    files = find_files(tools, lease.day, lease.provider, TRANSCRIPT_TABLES)
    replace_files(tools, files, [], replaced_ids={recording_id}, leases=leases)


def count_rows(tools: Tools, day: str, provider: str) -> dict[str, int]:
    """Return the row count of each transcript table in one partition."""
    counts = {}
    for table in TRANSCRIPT_TABLES:
        key = make_table_key(table.name, day, provider)
        counts[table.name] = parquet.count_rows(tools.lake.get(key)) if tools.lake.find(key) else 0
    return counts


def record_published(
    tools: Tools,
    lease: Lease,
    good: Sequence[tuple[Attempt, dict[str, Any]]],
    bad: Iterable[tuple[Attempt, NormaliseError]],
) -> None:
    """Move what was stored to ``published``, with its cost, or to ``bad_result``.

    What was a ``bad_result`` and can be read by now is stored first: its rows stand in the tables.
    """
    at = tools.now()
    money = ("cost_micros", "currency", "cost_source", "billed_ms")
    moves = [
        Move(attempt.attempt_id, attempt.job_id, _S.BAD_RESULT, _S.STORED, at)
        for attempt, _ in good
        if attempt.state is _S.BAD_RESULT
    ]
    moves += [
        Move(
            attempt.attempt_id,
            attempt.job_id,
            _S.STORED,
            _S.PUBLISHED,
            at,
            values={"published_at": at, **{name: header[name] for name in money}},
        )
        for attempt, header in good
        if attempt.state is not _S.PUBLISHED
    ]
    moves += [
        Move(
            attempt.attempt_id,
            attempt.job_id,
            _S.STORED,
            _S.BAD_RESULT,
            at,
            cause="bad_result",
            detail=f"{error.path}: {error.found}",
        )
        for attempt, error in bad
        if attempt.state is _S.STORED
    ]
    for refusal in tools.ledger.commit(moves, lease):
        if refusal is not None:
            raise refusal
