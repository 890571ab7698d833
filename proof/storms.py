"""Storms: outages of an hour, refused credentials, no funds, and a budget that is far too small.

Many recordings wait. What counts is how many paid requests reach the provider meanwhile, that it is
asked something free before it is trusted again, and that all goes on by itself afterwards.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from proof.books import judge_scene, tell_apart
from proof.network import run_proxy
from proof.verdict import Outcome
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.engine.scene import learn_fast_jobs
from transcription_pipeline_tests.engine.scenes import SCENES, run_emulator

MOST_DOUBTS, MOST_REFUSED = 3, 3
"""Paid requests that an outage may put into doubt, and that an account may refuse."""
AFFORDED = 10
"""Recordings that the budget is for."""
_HOUR_S = 3_600
_STEP_S = 300.0
"""Between two trials of a provider that is left alone. Where only paid requests fail, each trial is
one paid request."""
_TRIALS = int(_HOUR_S / _STEP_S)
_CALM = Patience(retries=2, retry_wait_s=0.01)
"""Nothing here hangs: who waits for an answer waits for a busy machine."""
_DRAIN_S, _DRAIN_STEP_S = 600.0, 60.0
_DAYS_S = 3 * 24 * 3600.0
_OUT = {"action": "status", "status": 502}
_URL_S = 7_200
"""As by default. Where URLs die within an hour, a job may use up its attempts while nothing is taken."""
_PRICE_MICROS = 360_000
"""Per hour, in the provider's currency, where it has no price of its own."""
Storm = Callable[[Any, int, Outcome], None]


def play_storm(scene: Any, title: str, count: int) -> Outcome:
    """Let one storm pass over so many recordings, and judge by the provider's invoice."""
    outcome = Outcome(title, scene.provider, f"{count} recordings")
    started_at = time.monotonic()
    tell_apart(scene)
    scene.use(patience=_CALM)
    STORMS[title](scene, count, outcome)
    outcome.seconds = time.monotonic() - started_at
    return outcome


def _fill(scene: Any, count: int, *, is_alike: bool = False) -> None:
    """Let recordings be known; Plaud wants their bytes, too."""
    if scene.provider == "plaud":
        scene.put([f"known/{n:04}.wav" for n in range(count)])
    else:
        scene.put_known(count, is_alike=is_alike)


def _count_unsent(scene: Any) -> int:
    return sum(row["attempt_state"] in {None, "intent"} for row in scene.jobs().values())


@contextmanager
def _count_risked(scene: Any) -> Iterator[Callable[[], int]]:
    """Count the paid requests that reach the emulator.

    Scriptivox' count once per idempotency key, which the emulator does not tell of requests that
    fail: a replay of the same key is free.
    """
    if scene.provider != "scriptivox":
        yield lambda: scene.emulator.request_counts().get("submit", 0)
        return
    keys: list[bytes] = []

    def note(_connection: socket.socket, head: bytes) -> bool:
        keys.extend(re.findall(rb"(?i)\r\nidempotency-key: *([^\r]+)", head))
        return False

    with run_proxy(scene.emulator.port, note) as base_url:
        scene.use(base_url=base_url, patience=_CALM)
        yield lambda: len(set(keys))
    sent = scene.emulator.request_counts().get("submit", 0)
    assert len(keys) == sent, f"{len(keys)} keys of {sent} paid requests"
    scene.use(patience=_CALM)


def _fail_for_an_hour(operation: str, most_doubts: int) -> Storm:
    def storm(scene: Any, count: int, outcome: Outcome) -> None:
        """The provider answers some requests, or all, with 502 for an hour."""
        _fill(scene, count)
        scene.limit(url_expires_s=_URL_S)
        scene.emulator.set_faults(_OUT | {"operation": operation})
        with _count_risked(scene) as count_risked:
            for _ in range(_TRIALS):
                scene.run()
                scene.pass_time(_STEP_S + 1)
            risked = count_risked()
        if risked > most_doubts:
            outcome.lost.append(f"{risked} paid requests in doubt")
        _see_outage(scene, outcome)
        _go_on(scene, outcome)
        judge_scene(scene, outcome, most_held=risked)

    return storm


def _see_outage(scene: Any, outcome: Outcome) -> None:
    """Hold the storm to having been one."""
    (rule,) = scene.emulator.control("faults")["rules"]
    if not rule["struck"] or scene.emulator.invoice():
        outcome.lost.append(f"no outage: {rule['struck']} requests failed")


def _go_on(scene: Any, outcome: Outcome) -> None:
    """Let the provider be well again: all goes on by itself, and doubts are cleared up."""
    scene.emulator.set_faults()
    for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
        scene.run()
        scene.pass_time(_DRAIN_STEP_S)
    if waiting := _count_unsent(scene):
        outcome.lost.append(f"{waiting} not sent {_DRAIN_S / 60:.0f} minutes after the outage")
    for _ in range(2):
        scene.pass_time(_DAYS_S)
        scene.run()


def _outage_beside_another(scene: Any, count: int, outcome: Outcome) -> None:
    """One provider is out; another does the same recordings, in the same ledger, undisturbed."""
    other = "aitronos" if scene.provider == "assemblyai" else "assemblyai"
    routes = [replace(one, providers=(scene.provider, other)) for one in scene.tools.routes]
    scene.tools = replace(scene.tools, routes=routes)
    scene.put([f"known/{n:04}.wav" for n in range(count)])
    with run_emulator(other) as emulator:
        emulator.advance(scene.offset_s)
        limits = {other: scene.tools.limits[scene.provider]}
        neighbour: Any = SCENES[other](emulator, replace(scene.tools, limits=limits))
        neighbour.use(patience=_CALM)
        neighbour.keys = scene.keys
        neighbour.tools.ledger.save_wait_model(other, learn_fast_jobs())
        for one in (scene, neighbour):
            one.jobs = partial(_find_own_jobs, one)

        async def run_both() -> None:
            await asyncio.gather(scene.transcribe(), neighbour.transcribe())

        scene.emulator.set_faults(_OUT)
        asyncio.run(run_both())
        judge_scene(neighbour, outcome, most_held=0)
    _see_outage(scene, outcome)
    _go_on(scene, outcome)
    judge_scene(scene, outcome, most_held=MOST_DOUBTS)


def _find_own_jobs(scene: Any) -> dict[str, dict[str, Any]]:
    rows = scene.tools.ledger.read_jobs(provider=scene.provider)
    return {row["key"]: row for row in rows}


def _refuse(status: int) -> Storm:
    def storm(scene: Any, count: int, outcome: Outcome) -> None:
        """The account is refused, is mended, and all goes on without anybody's telling us."""
        _fill(scene, count)
        scene.emulator.set_faults({"operation": "submit", "action": "status", "status": status})
        for _ in range(3):
            scene.run()
            scene.pass_time(100)
        refused = scene.emulator.request_counts()["submit"]
        if not 0 < refused <= MOST_REFUSED or scene.emulator.invoice():
            outcome.lost.append(f"{refused} paid requests to an account that is refused")
        scene.emulator.set_faults()
        scene.pass_time(_DRAIN_S)
        for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
            scene.run()
            scene.pass_time(_DRAIN_STEP_S)
        judge_scene(scene, outcome, most_held=0)

    return storm


def _budget(scene: Any, count: int, outcome: Outcome) -> None:
    """The budget of the day is for ten recordings, whoever starts runs and however often."""
    scene.use(price_per_hour_micros=_PRICE_MICROS, patience=_CALM)
    _fill(scene, count, is_alike=True)
    client = scene.tools.make_provider[scene.provider]()
    lengths = [row["duration_ms"] or 1_000 for row in scene.tools.ledger.read_recordings()]
    scene.limit(cap_micros=client.price({}, min(lengths)).micros * AFFORDED)
    for _ in range(3):
        scene.run()
    charged = len(scene.emulator.invoice())
    if not 0 < charged <= AFFORDED:
        outcome.paid_twice.append(f"{charged} charges on a budget for {AFFORDED}")
    judge_scene(scene, outcome, may_wait_for="budget_exceeded", most_held=0)


STORMS: Mapping[str, Storm] = {
    "outage of an hour": _fail_for_an_hour("*", MOST_DOUBTS),
    "paid requests fail for an hour": _fail_for_an_hour("submit", MOST_DOUBTS + _TRIALS),
    "outage beside another": _outage_beside_another,
    "credentials refused": _refuse(401),
    "no funds": _refuse(402),
    "budget for ten": _budget,
}
