"""One worker process: the real tools with watched seams, and one run over everything that is due.

Forked from a server that has imported this (``lane.py``), so that it costs no start of Python. It
does what ``tp run`` does; its order says where the world is, what time it is, and where it is struck.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from proof.crossings import AUDIO, LAKE, PROVIDER, Crossings, Strike, Watched
from transcription_pipeline import pipeline
from transcription_pipeline.cli.output import end_gently
from transcription_pipeline.composition import build_tools
from transcription_pipeline.settings import Settings
from transcription_pipeline.tools import Tools

FAST = 2_000.0
"""Requests a second: no limit."""
URL_LIFE_S = 3
"""Real seconds: the S3 server's clock cannot be moved, so its URLs must die while we wait."""
LEASE_S = 60.0
SETTLE_S = 60.0
"""After a URL's death; by the world's clock, and longer than any emulated list lags here."""
SECRETS = {
    "aitronos_api_key": "proof",
    "aitronos_organization_id": "org_proof",
    "assemblyai_api_key": "proof",
    "plaud_api_key": "proof-key",
    "plaud_client_id": "proof",
    "plaud_secret_key": "proof-secret",
    "plaud_user_id": "proof-user",
    "scriptivox_api_key": "proof",
}


@dataclass(frozen=True)
class Order:
    """What one worker is told."""

    folder: Path
    provider: str
    bucket: str
    s3_url: str
    emulator_url: str
    offset_s: float
    """How far the world's clock is ahead of the machine's."""
    log: Path
    strike_at: int = 0
    """Number of the crossing at which it is struck; 0: at none."""
    strike: Strike = Strike.KILL


def open_tools(order: Order) -> Tools:
    """Open what the configuration of this small world describes, as ``tp`` does."""
    pace: dict[str, dict[str, Any]] = {
        "aitronos": {"requests_per_s": FAST, "look_s": 0.0, "settle_s": SETTLE_S},
        "assemblyai": {"requests_per_s": FAST, "settle_s": SETTLE_S},
        "plaud": {"requests_per_s": FAST},
        "scriptivox": {"submits_per_s": FAST, "looks_per_s": FAST, "lists_per_s": FAST},
    }
    at = {"base_url": order.emulator_url, "poll_interval_s": 0.05}
    providers: dict[str, Any] = {name: {**at, **limits} for name, limits in pace.items()}
    providers["local"] = {"processes": 1, "spool": order.folder / "spool"}
    settings = Settings(
        storage={
            "audio": f"s3://{order.bucket}/",
            "lake": str(order.folder / "lake"),
            "endpoint_url": order.s3_url,
        },
        ledger={"url": f"sqlite:///{order.folder}/ledger.db"},
        runs={"lease_s": LEASE_S},
        routes=[{"match": "**", "providers": [order.provider], "diarize": True}],
        providers=providers,
        secrets=SECRETS,
    )
    tools = build_tools(settings)
    limits = replace(tools.limits[order.provider], url_expires_s=URL_LIFE_S, window_s=60.0)
    offset = timedelta(seconds=order.offset_s)
    return replace(
        tools,
        limits={order.provider: limits},
        now=lambda: datetime.now(UTC) + offset,
    )


def watch(tools: Tools, crossings: Crossings) -> Tools:
    """Return the same tools with every way out of the process watched."""
    watched: Callable[..., Any] = partial(Watched, crossings=crossings)
    return replace(
        tools,
        audio=watched(tools.audio, "audio", AUDIO),
        lake=watched(tools.lake, "lake", LAKE),
        make_provider={
            name: partial(_open_watched, watched, make)
            for name, make in tools.make_provider.items()
        },
    )


def _open_watched(watched: Callable[..., Any], make: Callable[[], Any]) -> Any:
    return watched(make(), "provider", PROVIDER)


def carry(tools: Tools) -> None:
    """Discover, transcribe, write and catalogue until nothing is due or nothing moves."""
    pipeline.discover(tools)
    has_moved = True
    while has_moved and (partitions := pipeline.list_due(tools)):
        has_moved = False
        for due in partitions:
            report = uvloop.run(pipeline.transcribe(tools, due.day, due.provider))
            written = pipeline.write(tools, due.day, due.provider)
            has_moved |= bool(report and report.has_progress) or bool(written and written.published)
    for day in tools.ledger.list_stale_days():
        pipeline.write_catalogue(tools, day)


def work(orders: Connection) -> None:
    """Do one run as ordered; the process ends with it."""
    order: Order = orders.recv()
    with (order.folder / "worker.log").open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    end_gently()
    crossings = Crossings(order.log, strike_at=order.strike_at, strike=order.strike)
    crossings.watch_ledger()
    crossings.watch_files(order.folder)
    tools = open_tools(order)
    carry(watch(tools, crossings))
    tools.ledger.close()
