"""One worker's hour of a simulated day, in a process that may be killed at any moment.

What belongs here: the tools that every process of a day opens, and what a worker does with them.
What does not: recordings, faults, kills and the clock (``day.py``, the only caller).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from transcription_pipeline import pipeline
from transcription_pipeline.domain.route import Route
from transcription_pipeline.engine import RunLimits
from transcription_pipeline.errors import TranscriptionPipelineError
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers.aitronos import AitronosProvider
from transcription_pipeline.providers.assemblyai import AssemblyAIProvider
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.providers.plaud import PlaudProvider
from transcription_pipeline.providers.scriptivox import ScriptivoxProvider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline.tools import Tools

FAST = 5_000.0
"""Requests a second: no limit."""
PRICE_MICROS = 1_000_000
"""What an hour costs where no list tells: whoever decides about a doubt wants to know."""
PATIENCE = Patience(retry_wait_s=0.01)
"""Lost answers are connections that end, so nobody waits for silence."""
LIMITS = RunLimits(
    window_s=30.0, lease_s=60.0, url_expires_s=600, max_attempts=3, poll_interval_s=0.2
)


def _open_aitronos(url: str) -> Provider:
    return AitronosProvider(
        api_key="k",
        organization_id="org_day",
        base_url=url,
        requests_per_s=FAST,
        look_s=0.0,
        price_per_hour_micros=PRICE_MICROS,
        patience=PATIENCE,
    )


def _open_assemblyai(url: str) -> Provider:
    return AssemblyAIProvider(api_key="k", base_url=url, requests_per_s=FAST, patience=PATIENCE)


def _open_plaud(url: str) -> Provider:
    return PlaudProvider(
        client_id="day",
        secret_key="day-secret",
        api_key="day-key",
        user_id="day-user",
        base_url=url,
        requests_per_s=FAST,
        tokens_per_s=FAST,
        concurrency=100,
        price_per_hour_micros=PRICE_MICROS,
        patience=PATIENCE,
    )


def _open_scriptivox(url: str) -> Provider:
    return ScriptivoxProvider(
        api_key="k",
        base_url=url,
        submits_per_s=FAST,
        looks_per_s=FAST,
        lists_per_s=FAST,
        patience=PATIENCE,
    )


_CLIENTS: Mapping[str, Callable[[str], Provider]] = {
    "aitronos": _open_aitronos,
    "assemblyai": _open_assemblyai,
    "plaud": _open_plaud,
    "scriptivox": _open_scriptivox,
}
PROVIDERS = tuple(_CLIENTS)


@dataclass(frozen=True)
class Shift:
    """What one worker is told."""

    folder: Path
    s3_url: str
    bucket: str
    emulator_urls: Mapping[str, str]
    offset_s: float = 0.0
    """How far the day's clock is ahead of the machine's."""
    seed: float = 0.0
    """Decides in which order it takes the partitions."""


def open_tools(shift: Shift) -> Tools:
    """Open the ledger, the bucket and the lake of a day; the first part of a key is its provider."""
    offset = timedelta(seconds=shift.offset_s)
    return Tools(
        ledger=Ledger.open(f"sqlite:///{shift.folder}/ledger.db"),
        audio=S3ObjectStore(
            BucketAddress(shift.bucket, ""), make_client=lambda: open_s3_client(shift.s3_url)
        ),
        audio_prefix="",
        lake=FolderStore(shift.folder / "lake"),
        routes=tuple(Route(match=f"{name}/**", providers=(name,)) for name in PROVIDERS),
        make_provider={
            name: partial(_CLIENTS[name], url) for name, url in shift.emulator_urls.items()
        },
        limits=dict.fromkeys(PROVIDERS, LIMITS),
        first_day=date(2026, 1, 1),
        now=lambda: datetime.now(UTC) + offset,
    )


def work(shifts: Connection) -> None:
    """Go once through what is due; the process ends with it."""
    shift: Shift = shifts.recv()
    with (shift.folder / "worker.log").open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    tools = open_tools(shift)
    due = pipeline.list_due(tools)
    random.Random(shift.seed).shuffle(due)
    for partition in due:
        try:
            uvloop.run(pipeline.transcribe(tools, partition.day, partition.provider))
            pipeline.write(tools, partition.day, partition.provider)
        except TranscriptionPipelineError as error:
            print(f"{partition}: {error!r}; the next hour goes on", flush=True)
    tools.ledger.close()
