"""What only a person can decide: a held attempt, a retry, an erasure, whose lake it is.

What belongs here: decisions, each under the partition's lease and with its author as evidence. What
does not: steps of the pipeline (``pipeline.py``) and asking (``cli/deciding.py``). Everything here
may be repeated: what was decided once is not decided again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from transcription_pipeline import pipeline
from transcription_pipeline.domain.job import Attempt, AttemptState, JobState
from transcription_pipeline.engine.claim import Claim
from transcription_pipeline.errors import ConfigurationError, DecisionRefused, ProviderError
from transcription_pipeline.ledger.changes import Change, Lease, Move, Saw
from transcription_pipeline.pipeline import hold_partition
from transcription_pipeline.publishing import WRITE_LEASE_S, remove_rows, renew
from transcription_pipeline.storage.layout import make_raw_key, make_side_file_prefix
from transcription_pipeline.tools import Tools

LEASE_S = 120.0
_S = AttemptState


@dataclass
class Erased:
    """What an erasure did."""

    recording_id: str
    raw_answers: int = 0
    files: int = 0
    """Other copies in the lake, such as redacted audio."""
    tables: list[str] = field(default_factory=list)
    """Partitions whose tables were written anew, ``day/provider``."""
    confirmed: list[str] = field(default_factory=list)
    """Copies a provider says it deleted, ``provider/job``."""
    unconfirmed: list[str] = field(default_factory=list)
    """Copies at providers, and rows, that may still be there, with the reason."""


def resolve(
    tools: Tools,
    named: str,
    *,
    provider_job_id: str | None,
    gives_up: bool = False,
    by: str,
) -> Attempt:
    """Decide what became of a held attempt.

    Args:
        tools: The ledger and the providers.
        named: The attempt's id, or the beginning of it.
        provider_job_id: The provider's job it became, empty for the one that is known already; None
            says that it never became one, so that nothing was charged.
        gives_up: With None: do not try again.
        by: Who decides.

    Returns:
        The attempt as it was. It is ``accepted`` now, and looked at in the next run; or
        ``abandoned``, and the job may be paid for anew.

    Raises:
        DecisionRefused: no such attempt, it is not held, its job is not named or known by now, its
            audio can still be fetched by whoever got the request, or another worker has the partition.
    """
    found = tools.ledger.find_attempts(named)
    if len(found) != 1:
        raise DecisionRefused(f"{len(found) or 'no'} attempts match {named!r}")
    attempt, at = found[0], tools.now()
    if attempt.state is not _S.HELD:
        raise DecisionRefused(f"attempt {attempt.attempt_id} is {attempt.state}, not held")
    day = tools.ledger.get_job(attempt.job_id).day
    if tools.ledger.get_job(attempt.job_id).state is JobState.IN_PROGRESS:
        raise DecisionRefused("its job at the provider is known by now: a run goes on with it")
    values: dict[str, Any] = {}
    if provider_job_id is None:
        if attempt.url_expires_at and attempt.url_expires_at > at:
            # Whoever still holds the request could act on it: only the URL's death is a fence.
            raise DecisionRefused(
                f"its audio can be fetched until {attempt.url_expires_at:%Y-%m-%d %H:%M} UTC; "
                "decide then, or say which job it became"
            )
        to_state, cause = _S.ABANDONED, "given_up_by_person" if gives_up else "released_by_person"
    else:
        to_state, cause = _S.ACCEPTED, "accepted_by_person"
        job = provider_job_id or attempt.provider_job_id
        if not job:
            raise DecisionRefused("name the provider's job: no id of it is known")
        life = asyncio.run(_read_deadline(tools, attempt.provider))
        values = {"provider_job_id": job, "accepted_at": at, "deadline_at": at + life}
    move = Move(
        attempt.attempt_id,
        attempt.job_id,
        _S.HELD,
        to_state,
        at,
        cause,
        values=values,
        job_state=JobState.FAILED if gives_up else None,
    )
    with hold_partition(tools, day, attempt.provider, LEASE_S) as lease:
        _commit(tools, lease, Saw(attempt.attempt_id, cause, at, detail=f"by {by}"), move)
    return attempt


def retry(
    tools: Tools, jobs: Iterable[Mapping[str, Any]], *, may_cost_again: bool, by: str
) -> tuple[list[str], list[str]]:
    """Let failed and quarantined jobs be worked on again, and unreadable answers be read again.

    Args:
        tools: The ledger.
        jobs: Rows of ``Ledger.read_jobs``.
        may_cost_again: Also jobs of which an attempt may have cost something.
        by: Who decides.

    Returns:
        The ids of the jobs that are in progress again, and of those left as they are: they may have
        cost something, were erased, or are at work in another process.
    """
    revived: list[str] = []
    left: list[str] = []
    for job in jobs:
        at = tools.now()
        if job["attempt_state"] == _S.BAD_RESULT:
            move = Move(job["attempt_id"], job["job_id"], _S.BAD_RESULT, _S.STORED, at)
            seen = Saw(job["attempt_id"], "read_again", at, detail=f"by {by}")
            with hold_partition(tools, job["day"], job["provider"], LEASE_S) as lease:
                is_revived = lease is not None
                if is_revived:
                    _commit(tools, lease, seen, move)
        else:
            is_revived = tools.ledger.revive_job(
                job["job_id"], may_cost_again=may_cost_again, at=at
            )
            if is_revived and job["attempt_id"]:
                note = Saw(job["attempt_id"], "retry_by_person", at, detail=f"by {by}")
                tools.ledger.commit([note])
        (revived if is_revived else left).append(job["job_id"])
    return revived, left


def adopt(tools: Tools, *, by: str) -> int:
    """Let this ledger pay for what comes into the lake from now on, whoever did before.

    What it has not sent may have been sent by another ledger, or by a newer copy of this one. So the
    bucket is listed, and from now on every such job of a paid provider is looked up before it is
    sent, as if the answer had been lost: found at the provider, proved never sent, or held. Returns
    how many are waiting for that; 0 when the lake was ours anyway. Safe to repeat: yes.
    """
    ledger, claim = tools.ledger, Claim(tools.ledger, tools.lake)
    standing = claim.look()
    if standing.objection is None:
        return 0
    pipeline.discover(tools)
    pipeline.fall_back(tools)
    is_copy = standing.claimed is not None and standing.claimed.ledger_id == standing.ours.ledger_id
    paid = {provider for _, provider in ledger.list_partitions() if not _is_free(tools, provider)}
    # What a refused ledger goes on with, such as writing tables, moves none of this.
    since = ledger.find_last_sent(paid) if is_copy else None
    ledger.record_adoption(since=since, by=by, at=tools.now())
    claim.take()
    ever = datetime.max.replace(tzinfo=UTC)
    works = [
        ledger.list_work(*where, ever) for where in ledger.list_partitions() if where[1] in paid
    ]
    items = [item for work in works for item in work]
    return sum(item.attempt is None or item.attempt.state is _S.INTENT for item in items)


def _is_free(tools: Tools, provider: str) -> bool:
    try:
        client = tools.make_provider[provider]()
    except ConfigurationError:  # who wants a key is paid
        return False
    asyncio.run(client.aclose())
    return client.capabilities.is_free


def erase(tools: Tools, recording_id: str, *, by: str) -> Erased:
    """Erase what was said in a recording: raw answers, rows, copies in the lake and at providers.

    All its partitions are held from the first look to the last file, and the tombstone comes before
    anything is deleted: nothing is made anew meanwhile, and a worker that was overtaken publishes
    nothing. A crash is mended by calling it again. What the attempts cost stays, and the audio in
    the bucket, which is never ours.

    Raises:
        DecisionRefused: an attempt is on its way to a provider, or another worker has a partition;
            nothing was done.
        LeaseLost: another worker took a partition over; what is left is erased by calling it again.
    """
    ledger, done = tools.ledger, Erased(recording_id)
    jobs = ledger.read_jobs(recording_id=recording_id)
    leases: list[Lease] = []
    with ExitStack() as held:
        for day, provider in sorted({(job["day"], job["provider"]) for job in jobs}):
            lease = held.enter_context(hold_partition(tools, day, provider, WRITE_LEASE_S))
            if lease is None:
                raise DecisionRefused(f"{day}/{provider} is at work elsewhere; erase later")
            leases.append(lease)
        attempts = ledger.list_attempts_at(recording_id)
        unclear = [a for a in attempts if a.state in {_S.SENDING, _S.AMBIGUOUS}]
        if unclear:
            raise DecisionRefused(
                f"attempt {unclear[0].attempt_id} at {unclear[0].provider} is {unclear[0].state}: "
                "let a run find out what became of it first, or there may be a copy that nobody can "
                "name"
            )
        ledger.record_erasure(recording_id, by=by, at=tools.now())
        asyncio.run(_delete_at_providers(tools, leases, attempts, done))
        _delete_in_lake(tools, attempts, done)
        for lease in leases:
            place = f"{lease.day}/{lease.provider}"
            try:
                remove_rows(tools, lease, recording_id, leases=leases)
            except (pa.ArrowException, OSError) as error:  # Arrow's texts may repeat what it read
                why = f"a file cannot be read or written: {type(error).__name__}"
                done.unconfirmed.append(f"rows of {place}: {why}")
            else:
                done.tables.append(place)
    for day in sorted({job["day"] for job in jobs}):
        pipeline.write_catalogue(tools, day)
    return done


async def _delete_at_providers(
    tools: Tools, leases: Iterable[Lease], attempts: Iterable[Attempt], done: Erased
) -> None:
    for attempt in attempts:
        if attempt.provider_job_id is None:
            if attempt.state is _S.HELD:
                done.unconfirmed.append(f"{attempt.provider}: held, nobody knows as which job")
                told = Saw(attempt.attempt_id, "provider_copy_unconfirmed", tools.now())
                tools.ledger.commit([told])
            continue
        renew(tools, leases)  # a provider may take minutes to answer
        copy = f"{attempt.provider}/{attempt.provider_job_id}"
        try:
            client = tools.make_provider[attempt.provider]()
            async with aclosing(client):
                is_gone = await client.delete(attempt.provider_job_id)
            reason = "it has no way to delete, or did not confirm"
        except ConfigurationError as error:
            is_gone, reason = False, str(error)
        except ProviderError as error:
            is_gone, reason = False, type(error).__name__
        kind = "provider_copy_deleted" if is_gone else "provider_copy_unconfirmed"
        tools.ledger.commit([Saw(attempt.attempt_id, kind, tools.now())])
        if is_gone:
            done.confirmed.append(copy)
        else:
            done.unconfirmed.append(f"{copy}: {reason}")


def _delete_in_lake(tools: Tools, attempts: Iterable[Attempt], done: Erased) -> None:
    for attempt in attempts:
        ids = (attempt.provider, attempt.recording_id, attempt.attempt_id)
        # Also where the ledger knows of none: a worker may have ended right after it kept one.
        tools.lake.delete(attempt.raw_key or make_raw_key(*ids))
        if attempt.raw_key:
            tools.ledger.forget_raw_answer(attempt.attempt_id)
            done.raw_answers += 1
    for provider, recording_id in {(a.provider, a.recording_id) for a in attempts}:
        prefix = make_side_file_prefix("redacted_audio", provider, recording_id)
        for stored in tools.lake.list_page(prefix).objects:
            tools.lake.delete(stored.key)
            done.files += 1


async def _read_deadline(tools: Tools, provider: str) -> timedelta:
    client = tools.make_provider[provider]()
    try:
        return timedelta(seconds=client.capabilities.deadline_s)
    finally:
        await client.aclose()


def _commit(tools: Tools, lease: Lease | None, *changes: Change) -> None:
    if lease is None:
        raise DecisionRefused("another worker has this partition; decide when it is done")
    for refusal in tools.ledger.commit(changes, lease):
        if refusal is not None:
            raise refusal
