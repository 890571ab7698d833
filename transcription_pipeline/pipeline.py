"""The story: discover, plan, upload, submit, poll, collect, normalise, write.

Everything the command line, the Dagster assets and the tests do with recordings is a call into this
file. It adds no state: the ledger decides, and every function here may run twice. The four steps in
the middle stream through one run and are told in ``engine.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import zstandard

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioObject
from transcription_pipeline.domain.route import Route, find_route
from transcription_pipeline.domain.transcript import Transcript
from transcription_pipeline.engine import PartitionRun, RunLimits, RunReport
from transcription_pipeline.errors import NormaliseError, ObjectNotFound
from transcription_pipeline.ledger.changes import Lease, Move
from transcription_pipeline.ledger.instants import from_text
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.normalise import NORMALISERS
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.storage.layout import make_table_key
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline.tables import parquet
from transcription_pipeline.tables.build import build_rows, build_tables
from transcription_pipeline.tables.parquet import Batch, merge_partition
from transcription_pipeline.tables.schema import JOBS, RECORDINGS, TRANSCRIPT_TABLES, TableSchema

DOCUMENTS_PER_BATCH = 100
"""Answers normalised at a time: large enough for columns to pay, small enough for memory."""
WRITE_LEASE_S = 600.0
_S = AttemptState


@dataclass(frozen=True)
class Tools:
    """Everything a step needs from outside, opened once by ``composition.py``."""

    ledger: Ledger
    audio: S3ObjectStore
    """The whole bucket: keys are complete."""
    audio_prefix: str
    """The watched part of it."""
    lake: ObjectStore
    routes: Sequence[Route]
    make_provider: Mapping[str, Callable[[], Provider]]
    """Provider name → a function that opens a client; the caller closes it."""
    limits: Mapping[str, RunLimits]
    """Provider name → what bounds a run."""
    first_day: date
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Discovered:
    """What one stretch of listing found."""

    seen: int
    new: int
    unrouted: int
    next_token: str | None
    """Where to go on; None when the listing is complete."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one write put into the tables."""

    published: int
    rows: Mapping[str, int]
    """Table name → rows of the partition's file; empty when nothing was written."""
    bad_results: Sequence[tuple[str, str]] = ()
    """(recording_id, cause) of answers that could not be read."""


def discover(
    tools: Tools,
    *,
    token: str | None = None,
    budget_s: float | None = None,
    adds_providers: bool = False,
) -> Discovered:
    """List the bucket from ``token`` on and remember what is new, with the jobs it is routed to.

    The listing itself is compared with the ledger; no clock and no last key decides, so equal
    seconds, late multipart uploads and overwritten keys are all found.

    Args:
        tools: The ledger and the bucket.
        token: Continuation of an earlier call; None starts over.
        budget_s: Stop after the page during which this much time has passed; None lists to the end.
        adds_providers: Also give known recordings a job for each provider that a changed route
            names and that has none for them yet.

    Safe to repeat: yes.
    """
    started_at = time.monotonic()
    seen = new = unrouted = 0
    while True:
        page = tools.audio.list_page(tools.audio_prefix, token)
        found = []
        for stored in page.objects:
            if stored.key.endswith("/") and stored.size_bytes == 0:
                continue  # what S3 consoles make of a folder
            audio = AudioObject(
                bucket=tools.audio.bucket,
                key=stored.key,
                etag=stored.etag,
                size_bytes=stored.size_bytes,
                last_modified_at=stored.last_modified_at,
            )
            wishes = plan(tools.routes, stored.key.removeprefix(tools.audio_prefix))
            if wishes is None:
                unrouted += 1
            else:
                found.append((audio, wishes))
        seen += len(found)
        new += tools.ledger.record_recordings(found, first_day=tools.first_day, at=tools.now())
        if adds_providers:
            _add_providers(tools, found)
        token = page.next_token
        if token is None or (budget_s and time.monotonic() - started_at > budget_s):
            return Discovered(seen, new, unrouted, token)


def _add_providers(tools: Tools, found: Sequence[tuple[AudioObject, dict[str, Any]]]) -> None:
    present = tools.ledger.find_providers([audio.recording_id for audio, _ in found])
    for audio, wishes in found:
        for provider in wishes.keys() - present[audio.recording_id]:
            tools.ledger.record_job(audio.recording_id, provider, wishes[provider], at=tools.now())


def plan(routes: Sequence[Route], key: str) -> dict[str, dict[str, Any]] | None:
    """Say which providers get a recording and with which options; None when no route wants it.

    ``key`` is relative to the watched prefix.
    """
    route = find_route(routes, key)
    if route is None:
        return None
    return {provider: route.options_for(provider) for provider in route.providers}


async def transcribe(
    tools: Tools,
    day: str,
    provider: str,
    *,
    on_start: Callable[[RunReport], None] | None = None,
) -> RunReport | None:
    """Upload, submit, poll and collect whatever is due in one partition.

    Args:
        tools: The ledger, the bucket, the lake and the providers.
        day: Partition day, ``YYYY-MM-DD``.
        provider: Partition provider.
        on_start: Called with the report that grows while the run works.

    Returns:
        What was done; None while another worker holds the partition.

    Raises:
        LeaseLost: another worker took over meanwhile.
        AuthenticationFailed: the provider refuses the credentials.

    Effects:
        Paid requests, at most one per job and attempt; raw answers in the lake; ledger rows.

    Safe to repeat: yes. Intent is durable before each paid request, and what an earlier run left
    behind is reconciled before anything is sent again.
    """
    limits = tools.limits[provider]
    with _lease(tools, day, provider, limits.lease_s) as lease:
        if lease is None:
            return None
        client = tools.make_provider[provider]()
        try:
            run = PartitionRun(
                ledger=tools.ledger,
                provider=client,
                audio=tools.audio,
                lake=tools.lake,
                lease=lease,
                limits=limits,
                now=tools.now,
            )
            if on_start:
                on_start(run.report)
            return await run.run()
        finally:
            await client.aclose()


def write(tools: Tools, day: str, provider: str, *, is_rebuild: bool = False) -> Written | None:
    """Normalise the raw answers that are stored but not yet published, and write the tables.

    Args:
        tools: The ledger and the lake.
        day: Partition day.
        provider: Partition provider.
        is_rebuild: Make the partition's files anew from all its raw answers; nothing is paid.

    Returns:
        What was written; None while another worker holds the partition.

    Effects:
        One atomic replacement per table, then the attempts are ``published``.

    Safe to repeat: yes, the same answers give the same bytes.
    """
    states = [_S.STORED, _S.PUBLISHED, _S.BAD_RESULT] if is_rebuild else [_S.STORED]
    with _lease(tools, day, provider, WRITE_LEASE_S) as lease:
        if lease is None:
            return None
        attempts = tools.ledger.list_attempts(day, provider, states)
        if not attempts:
            return Written(0, {})
        bad: list[tuple[Attempt, NormaliseError]] = []
        good: list[tuple[Attempt, dict[str, Any]]] = []
        batches = _normalise(tools, provider, attempts, good, bad)
        ids = frozenset() if is_rebuild else frozenset(a.recording_id for a in attempts)
        rows = _replace_files(
            tools, day, provider, batches, TRANSCRIPT_TABLES, ids, is_rebuild=is_rebuild
        )
        _record_published(tools, lease, good, bad)
        causes = [(attempt.recording_id, f"{error.path}: {error.found}") for attempt, error in bad]
        return Written(len(good), rows, causes)


def write_catalogue(tools: Tools, day: str) -> dict[str, int]:
    """Write the ``recordings`` and ``jobs`` tables of one day from the ledger.

    Returns the row count of each. Safe to repeat: yes.
    """
    # Taken before the rows are read: what changes meanwhile leaves the day stale.
    fingerprint = tools.ledger.take_fingerprints(day).get(day, "")
    recordings = [_typed(row) for row in tools.ledger.read_recordings(day)]
    jobs = [_typed(row) for row in tools.ledger.read_jobs(day)]
    batch = {"recordings": build_rows(RECORDINGS, recordings), "jobs": build_rows(JOBS, jobs)}
    ids = frozenset(str(row["recording_id"]) for row in recordings)
    rows = _replace_files(tools, day, None, [batch], (RECORDINGS, JOBS), ids, is_rebuild=True)
    tools.ledger.record_publication(day, fingerprint)
    return rows


def count_rows(tools: Tools, day: str, provider: str) -> dict[str, int]:
    """Return the row count of each transcript table in one partition."""
    counts = {}
    for table in TRANSCRIPT_TABLES:
        key = make_table_key(table.name, day, provider)
        counts[table.name] = parquet.count_rows(tools.lake.get(key)) if tools.lake.find(key) else 0
    return counts


def _normalise(
    tools: Tools,
    provider: str,
    attempts: Sequence[Attempt],
    good: list[tuple[Attempt, dict[str, Any]]],
    bad: list[tuple[Attempt, NormaliseError]],
) -> Iterator[Batch]:
    """Yield tables, batch by batch, in order of recording; sort the attempts into good and bad."""
    newest = {attempt.recording_id: attempt for attempt in attempts}  # a later job replaces
    listed = [newest[recording_id] for recording_id in sorted(newest)]
    jobs = tools.ledger.find_options([attempt.job_id for attempt in listed])
    client = tools.make_provider[provider]()
    for start in range(0, len(listed), DOCUMENTS_PER_BATCH):
        batch: list[tuple[dict[str, Any], Transcript]] = []
        for attempt in listed[start : start + DOCUMENTS_PER_BATCH]:
            try:
                transcript = NORMALISERS[provider](_read_raw(tools, attempt))
            except NormaliseError as error:
                bad.append((attempt, error))
                continue
            header = _header(tools, client, attempt, transcript, jobs[attempt.job_id])
            good.append((attempt, header))
            batch.append((header, transcript))
        if batch:
            yield build_tables(batch)


def _read_raw(tools: Tools, attempt: Attempt) -> bytes:
    if attempt.raw_key is None:
        raise NormaliseError(attempt.provider, "$", "no raw answer in the ledger")
    try:
        return zstandard.decompress(tools.lake.get(attempt.raw_key))
    except (ObjectNotFound, zstandard.ZstdError):
        raise NormaliseError(attempt.provider, "$", "a raw answer lost from the lake") from None


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


def _replace_files(
    tools: Tools,
    day: str,
    provider: str | None,
    batches: Iterator[Batch] | Sequence[Batch],
    tables: Sequence[TableSchema],
    replaced_ids: frozenset[str],
    *,
    is_rebuild: bool,
) -> dict[str, int]:
    keys = {table.name: make_table_key(table.name, day, provider) for table in tables}
    old = {}
    if not is_rebuild:
        old = {n: tools.lake.get(key) for n, key in keys.items() if tools.lake.find(key)}
    with TemporaryDirectory(prefix="tables-", dir=tools.lake.make_staging_folder()) as folder:
        merged = merge_partition(
            old, batches, tables=tables, replaced_ids=replaced_ids, folder=Path(folder)
        )
        for name, (path, _) in merged.items():
            tools.lake.put_file(keys[name], path)
    return {name: count for name, (_, count) in merged.items()}


def _record_published(
    tools: Tools,
    lease: Lease,
    good: Sequence[tuple[Attempt, dict[str, Any]]],
    bad: Sequence[tuple[Attempt, NormaliseError]],
) -> None:
    at = tools.now()
    money = ("cost_micros", "currency", "cost_source", "billed_ms")
    moves = [
        Move(
            attempt.attempt_id,
            attempt.job_id,
            _S.STORED,
            _S.PUBLISHED,
            at,
            values={"published_at": at, **{name: header[name] for name in money}},
        )
        for attempt, header in good
        if attempt.state is _S.STORED
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


@contextmanager
def _lease(tools: Tools, day: str, provider: str, ttl_s: float) -> Iterator[Lease | None]:
    lease = tools.ledger.acquire_lease(day, provider, uuid4().hex, at=tools.now(), ttl_s=ttl_s)
    try:
        yield lease
    finally:
        if lease is not None:
            tools.ledger.release_lease(lease)


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: from_text(value) if name.endswith("_at") and value is not None else value
        for name, value in row.items()
    }
