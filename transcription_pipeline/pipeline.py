"""The story: discover, plan, upload, submit, poll, collect, normalise, write.

Everything the command line, the Dagster assets and the tests do with recordings is a call into this
file. It adds no state: the ledger decides, and every function here may run twice. The four steps in
the middle stream through one run and are told in ``engine/``; the last two are done batch by batch in
``publishing.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transcription_pipeline import publishing
from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioObject
from transcription_pipeline.domain.route import Route, find_route
from transcription_pipeline.engine import PartitionRun, RunReport
from transcription_pipeline.errors import NormaliseError
from transcription_pipeline.ledger.changes import Lease
from transcription_pipeline.ledger.holders import make_holder
from transcription_pipeline.ledger.instants import from_text
from transcription_pipeline.ledger.reading import Partition
from transcription_pipeline.tables.build import build_rows
from transcription_pipeline.tables.schema import JOBS, RECORDINGS, TRANSCRIPT_TABLES
from transcription_pipeline.tools import Tools

_S = AttemptState


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
    """(recording_id, cause) of answers that could not be read; rows of them from before stay."""
    unknown_fields: Sequence[str] = ()
    """Names of fields that our reading of the provider's contract does not know, as sampled."""


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


def fall_back(tools: Tools) -> int:
    """Give each job that failed at no cost to the next provider its route names under ``fallback``.

    Decided once per failed job: a route that is changed later pays for nothing by itself. Returns
    how many jobs were added. Safe to repeat: yes.
    """
    added = 0
    for failed in tools.ledger.list_failed_unpaid():
        route = find_route(tools.routes, failed.key.removeprefix(tools.audio_prefix))
        present = tools.ledger.find_providers([failed.recording_id])[failed.recording_id]
        following = [name for name in (route.fallback if route else ()) if name not in present]
        wish = (following[0], route.options_for(following[0])) if route and following else None
        is_new = tools.ledger.record_fallback(failed, wish, at=tools.now())
        added += is_new and wish is not None
    return added


def list_due(tools: Tools, *, is_fresh: bool | None = None) -> list[Partition]:
    """Return the partitions with work that is due, see ``Ledger.list_due_partitions``.

    What failed at no cost is given to its fallback first, so that no crash can forget it. Of
    providers that no route names any more only those with something sent: the rest waits for a route.
    """
    fall_back(tools)
    due = tools.ledger.list_due_partitions(tools.now(), is_fresh=is_fresh)
    return [p for p in due if p.sent_count or publishing.is_routed(tools, p.provider)]


async def transcribe(
    tools: Tools,
    day: str,
    provider: str,
    *,
    on_start: Callable[[RunReport], None] | None = None,
) -> RunReport | None:
    """Upload, submit, poll and collect whatever is due in one partition.

    What a provider has that no route names any more is seen through; it is sent nothing new.

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
        ConfigurationError: they are not set.

    Effects:
        Paid requests, at most one per job and attempt; raw answers in the lake; ledger rows.

    Safe to repeat: yes. Intent is durable before each paid request, and what an earlier run left
    behind is reconciled before anything is sent again.
    """
    limits, ledger = tools.limits[provider], tools.ledger
    if not publishing.is_routed(tools, provider):
        due = ledger.list_due_partitions(tools.now())
        if not any(p.sent_count for p in due if (p.day, p.provider) == (day, provider)):
            return RunReport()
        ledger = ledger.close_all_gates("no_route")
    with hold_partition(tools, day, provider, limits.lease_s) as lease:
        if lease is None:
            return None
        client = publishing.open_provider(tools, provider)
        try:
            run = PartitionRun(
                ledger=ledger,
                provider=client,
                audio=tools.audio,
                lake=tools.lake,
                lease=lease,
                limits=limits,
                now=tools.now,
                find_route=lambda key: find_route(
                    tools.routes, key.removeprefix(tools.audio_prefix)
                ),
            )
            if on_start:
                on_start(run.report)
            return await run.run()
        finally:
            await client.aclose()


def write(tools: Tools, day: str, provider: str, *, is_rebuild: bool = False) -> Written | None:
    """Normalise the raw answers that are stored but not yet published, and write the tables.

    Rows that no answer replaces stay, whether it cannot be read (again) or this ledger has none.
    Those of erased recordings go.

    Args:
        tools: The ledger and the lake.
        day: Partition day.
        provider: Partition provider.
        is_rebuild: Make the rows of all its raw answers anew, not only of new ones; nothing is paid.

    Returns:
        What was written; None while another worker holds the partition.

    Raises:
        LeaseLost: another worker took over meanwhile; nothing of its work was touched.

    Effects: one atomic replacement per table, then the attempts are ``published``.

    Safe to repeat: yes, the same answers give the same bytes.
    """
    with hold_partition(tools, day, provider, publishing.WRITE_LEASE_S) as lease:
        if lease is None:
            return None
        return _write(tools, lease, is_rebuild=is_rebuild)


@publishing.repeats_if_changed
def _write(tools: Tools, lease: Lease, *, is_rebuild: bool) -> Written:
    states = [_S.STORED, _S.PUBLISHED, _S.BAD_RESULT] if is_rebuild else [_S.STORED]
    attempts = tools.ledger.list_attempts(lease.day, lease.provider, states)
    if not attempts:
        return Written(0, {})
    files = publishing.find_files(tools, lease.day, lease.provider, TRANSCRIPT_TABLES)
    bad: dict[str, tuple[Attempt, NormaliseError]] = {}
    good: list[tuple[Attempt, dict[str, Any]]] = []
    unknown: set[str] = set()
    replaced = tools.ledger.find_erased(lease.day)
    batches = publishing.normalise(tools, lease.provider, attempts, good, bad, replaced, unknown)
    rows = publishing.replace_files(tools, files, batches, replaced_ids=replaced, leases=[lease])
    publishing.record_published(tools, lease, good, bad.values())
    causes = [(named, f"{error.path}: {error.found}") for named, (_, error) in bad.items()]
    return Written(len(good), rows, causes, sorted(unknown))


@publishing.repeats_if_changed
def write_catalogue(tools: Tools, day: str) -> dict[str, int]:
    """Write the ``recordings`` and ``jobs`` tables of one day from the ledger.

    Returns the row count of each. Safe to repeat: yes, by many at once: only the version that stood
    there before the rows were read is replaced.
    """
    # Both taken before the rows are read: what changes meanwhile leaves the day stale.
    files = publishing.find_files(tools, day, None, (RECORDINGS, JOBS))
    fingerprint = tools.ledger.take_fingerprints(day).get(day, "")
    recordings = [_typed(row) for row in tools.ledger.read_recordings(day)]
    jobs = [_typed(row) for row in tools.ledger.read_jobs(day)]
    batch = {"recordings": build_rows(RECORDINGS, recordings), "jobs": build_rows(JOBS, jobs)}
    rows = publishing.replace_files(tools, files, [batch], replaced_ids=None)
    tools.ledger.record_publication(day, fingerprint)
    return rows


@contextmanager
def hold_partition(tools: Tools, day: str, provider: str, ttl_s: float) -> Iterator[Lease | None]:
    """Yield the right to decide about a partition; None while another worker has it."""
    holder = make_holder()
    lease = tools.ledger.acquire_lease(day, provider, holder, at=tools.now(), ttl_s=ttl_s)
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
