"""Storms: an hour's outage, refused credentials, no funds, and a budget that is far too small.

Many recordings wait. What counts is how many paid requests are risked meanwhile, that the provider
is asked something free before it is trusted again, and that all goes on by itself afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from proof.books import judge_scene, tell_apart
from proof.verdict import Outcome

MOST_DOUBTS, MOST_REFUSED = 5, 3
"""Paid requests that an outage may put into doubt, and that an account may refuse."""
AFFORDED = 10
"""Recordings that the budget is for."""
_HOUR_S = 3_600
_STEP_S = 300.0
_DRAIN_S, _DRAIN_STEP_S = 600.0, 60.0
_DAYS_S = 3 * 24 * 3600.0
_PRICE_MICROS = 360_000
"""Per hour, in the provider's currency, where it has no price of its own."""
Storm = Callable[[Any, int, Outcome], None]


def play_storm(scene: Any, title: str, count: int) -> Outcome:
    """Let one storm pass over so many recordings, and judge by the provider's invoice."""
    outcome = Outcome(title, scene.provider, f"{count} recordings")
    started_at = time.monotonic()
    tell_apart(scene)
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


def _settle(scene: Any, outcome: Outcome) -> None:
    """Let doubts be cleared up, and judge."""
    for _ in range(2):
        scene.pass_time(_DAYS_S)
        scene.run()
    judge_scene(scene, outcome)


def _outage(scene: Any, count: int, outcome: Outcome) -> None:
    """The provider answers everything with 502 for an hour."""
    _fill(scene, count)
    scene.emulator.set_faults({"action": "status", "status": 502})
    for _ in range(int(_HOUR_S / _STEP_S)):
        scene.run()
        scene.pass_time(_STEP_S + 1)
    doubts = sum(row["sent_at"] is not None for row in scene.jobs().values())
    if doubts > MOST_DOUBTS:
        outcome.lost.append(f"{doubts} paid requests in doubt")
    scene.emulator.set_faults()
    for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
        scene.run()
        scene.pass_time(_DRAIN_STEP_S)
    if waiting := _count_unsent(scene):
        outcome.lost.append(f"{waiting} not sent {_DRAIN_S / 60:.0f} minutes after the outage")
    _settle(scene, outcome)


def _refuse(status: int) -> Storm:
    def storm(scene: Any, count: int, outcome: Outcome) -> None:
        """The account is refused, is mended, and all goes on without anybody's telling us."""
        _fill(scene, count)
        scene.emulator.set_faults({"operation": "submit", "action": "status", "status": status})
        for _ in range(3):
            scene.run()
            scene.pass_time(100)
        refused = scene.emulator.request_counts()["submit"]
        if refused > MOST_REFUSED:
            outcome.lost.append(f"{refused} paid requests to an account that is refused")
        scene.emulator.set_faults()
        scene.pass_time(_DRAIN_S)
        for _ in range(int(_DRAIN_S / _DRAIN_STEP_S)):
            scene.run()
            scene.pass_time(_DRAIN_STEP_S)
        judge_scene(scene, outcome)

    return storm


def _budget(scene: Any, count: int, outcome: Outcome) -> None:
    """The budget of the day is for ten recordings, whoever starts runs and however often."""
    scene.use(price_per_hour_micros=_PRICE_MICROS)
    _fill(scene, count, is_alike=True)
    client = scene.tools.make_provider[scene.provider]()
    lengths = [row["duration_ms"] or 1_000 for row in scene.tools.ledger.read_recordings()]
    scene.limit(cap_micros=client.price({}, min(lengths)).micros * AFFORDED)
    for _ in range(3):
        scene.run()
    charged = len(scene.emulator.invoice())
    if not 0 < charged <= AFFORDED:
        outcome.paid_twice.append(f"{charged} charges on a budget for {AFFORDED}")
    judge_scene(scene, outcome, may_wait_for="budget_exceeded")


STORMS: Mapping[str, Storm] = {
    "outage of an hour": _outage,
    "credentials refused": _refuse(401),
    "no funds": _refuse(402),
    "budget for ten": _budget,
}
