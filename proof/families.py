"""The families of scenarios: what is done to the workers of one small world before it may end.

Which scenarios there are, in full or as a seeded sample, is ``plan.py``; what each must come to is
``verdict.py``. Every family ends with workers that nobody disturbs, until nothing is left to do.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proof.crossings import Strike
from proof.verdict import Outcome
from proof.world import World

Act = Callable[[World, Outcome], None]
LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "closed": {"action": "drop_after"},
    "reset": {"action": "reset"},
    "cut": {"action": "truncate"},
    "502": {"action": "status", "status": 502, "act": True},
    "HTML page": {"action": "html"},
    "never sent on": {"action": "drop_before"},
}
"""What may become of the answer to a paid request, without any crash of ours."""
FOUR = 4


@dataclass(frozen=True)
class Scenario:
    """One story to be played."""

    family: str
    provider: str
    title: str
    act: Act
    is_ours: bool = True
    """False where the naive client is at work, which is to be caught paying twice."""
    may_hold: bool = True
    """False where no answer can be lost, and so no doubt may be left to a person."""


def kill_at(*crossings: int) -> Act:
    """Kill the first worker at the first crossing, the next one at the second, and so on."""

    def act(world: World, outcome: Outcome) -> None:
        kill_in_turn(world, outcome, crossings)
        world.run_until_quiet()

    return act


def kill_in_turn(world: World, outcome: Outcome, crossings: Sequence[int]) -> None:
    """Kill one worker after the other; who ends before its crossing leaves nothing to the next."""
    outcome.strikes += len(crossings)
    for crossing in crossings:
        if world.wait_for(world.start(crossing)) != -signal.SIGKILL:
            break
        outcome.struck += 1


def kill_at_first_start(crossing: int) -> Act:
    """Kill the worker that makes the ledger."""

    def act(world: World, outcome: Outcome) -> None:
        world.ledger_file.unlink()
        kill_in_turn(world, outcome, [crossing])
        world.run_until_quiet()

    return act


def kill_in_flight(request: int, *crossings: int) -> Act:
    """Let the provider kill the worker right after it did what a request asked, unanswered."""

    def act(world: World, outcome: Outcome) -> None:
        assert world.emulator is not None
        outcome.strikes += 1
        worker = world.prepare()
        world.emulator.set_faults({"action": "kill_pid", "nth": request, "pid": worker.pid})
        worker.begin()
        outcome.struck += world.wait_for(worker) == -signal.SIGKILL
        world.emulator.set_faults()
        kill_in_turn(world, outcome, crossings)
        world.run_until_quiet()

    return act


def lose_answer(fault: dict[str, Any]) -> Act:
    """Lose the answer to the first paid request."""

    def act(world: World, outcome: Outcome) -> None:
        assert world.emulator is not None
        world.emulator.set_faults({"operation": "submit", "nth": 1, **fault})
        world.run_until_quiet()
        outcome.strikes += 1
        outcome.struck += world.emulator.control("faults")["rules"][0]["struck"]

    return act


def fail_at(crossing: int, strike: Strike) -> Act:
    """Let a call of the first worker fail, or its disk be full from there on."""

    def act(world: World, outcome: Outcome) -> None:
        worker = world.run(crossing, strike)
        code = world.exits[-1]
        outcome.strikes += 1
        outcome.struck += worker.came_to_its_strike
        if code < 0:
            outcome.lost.append(f"died of it: signal {-code}")
        elif code == 0 and strike is Strike.DISK_FULL and not world.is_quiet():
            outcome.lost.append("ended as if nothing were left to do")
        world.run_until_quiet()

    return act


def wake_a_zombie(crossing: int) -> Act:
    """Stop a worker, let another take over and finish, and let the first go on."""

    def act(world: World, outcome: Outcome) -> None:
        zombie = world.start(crossing, Strike.STOP)
        outcome.strikes += 1
        if zombie.wait_until_stopped():
            outcome.struck += 1
            world.note_urls(zombie)
            world.lapse_lease()
            world.run_until_quiet()
            os.kill(zombie.pid, signal.SIGCONT)
        world.wait_for(zombie)
        world.run_until_quiet()
        outcome.lost += find_forgotten_jobs(world) + find_late_decisions(world)

    return act


def ask_to_end(crossing: int) -> Act:
    """Send SIGTERM to a worker: it ends by itself, with every paid answer recorded.

    The recogniser's work costs nothing: it is cut short, and done again.
    """

    def act(world: World, outcome: Outcome) -> None:
        worker = world.run(crossing, Strike.TERM)
        code = world.exits[-1]
        outcome.strikes += 1
        outcome.struck += worker.came_to_its_strike and code != 0
        if code < 0:
            outcome.lost.append(f"not a clean end: signal {-code}")
        with world.open_ledger() as ledger:
            states = {row["attempt_state"] for row in ledger.read_jobs()}
        doubts = states & {"sending", "ambiguous"} if world.emulator else ()
        outcome.lost += [f"left in doubt: {state}" for state in doubts]
        world.run_until_quiet()
        outcome.lost += find_forgotten_jobs(world)

    return act


def work_together(pause_s: float, crossing: int = 0) -> Act:
    """Let four workers loose on one partition, the first of them perhaps to be killed."""

    def act(world: World, outcome: Outcome) -> None:
        workers = [world.prepare(0 if number else crossing) for number in range(FOUR)]
        for worker in workers:
            worker.begin()
            time.sleep(pause_s)
        codes = [world.wait_for(worker) for worker in workers]
        outcome.strikes += crossing > 0
        outcome.struck += codes.count(-signal.SIGKILL)
        world.run_until_quiet()

    return act


def find_late_decisions(world: World) -> list[str]:
    """List decisions of a worker that were taken after another had taken over: fences only rise."""
    late: list[str] = []
    with world.open_ledger() as ledger:
        for recording in ledger.read_recordings():
            newest = 0
            for step in ledger.read_history(recording["recording_id"]):
                if step["fence"] < newest:
                    late.append(f"a zombie decided: {step['from_state']} to {step['to_state']}")
                newest = max(newest, step["fence"])
    return late


def find_forgotten_jobs(world: World) -> list[str]:
    """List jobs on the invoice that the ledger has no evidence of, though nobody was killed."""
    if world.emulator is None:
        return []
    with world.open_ledger() as ledger:
        seen = {
            row["provider_job_id"]
            for recording in ledger.read_recordings()
            for row in ledger.read_evidence(recording["recording_id"])
        }
    jobs = [line["provider_job_id"] for line in world.emulator.invoice()]
    return [f"no evidence of the charged job {job}" for job in jobs if job not in seen]
