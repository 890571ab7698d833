"""Which scenarios are played: all of them, or a short seeded sample of each family.

A crossing is struck by its number; what is drawn is drawn from the seed alone, so that a failure
can be played again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from proof import naive
from proof.crossings import Strike
from proof.families import (
    LOST_ANSWERS,
    Act,
    Scenario,
    ask_to_end,
    fail_at,
    kill_at,
    kill_at_first_start,
    kill_in_flight,
    lose_answer,
    wake_a_zombie,
    work_together,
)
from proof.verdict import Calm

T = TypeVar("T")
PAID = ("aitronos", "assemblyai", "plaud", "scriptivox")
PROVIDERS = (*PAID, "local")
_GENTLE = "SIGTERM"
"""Who is asked to end records every paid answer: no doubt may be left."""
_MAKES_LEDGER, _MIGRATION_CROSSINGS = "assemblyai", 2
"""A ledger is made the same for every provider."""
_NAIVE_CROSSINGS, _NAIVE_REQUESTS = 12, 4
"""Of an undisturbed run, at least."""
_AROUND_SUBMIT = (
    "audio presign",
    "provider upload",
    "lake put ledger",
    "ledger OpenAttempt",
    "ledger to sending",
    "provider submit",
    "ledger Saw",
    "provider observe",
)


@dataclass(frozen=True)
class Size:
    """How many scenarios there are of each family, per provider; None: all there can be."""

    name: str
    kills: int | None
    pairs: int
    in_flight: int | None
    in_flight_pairs: int
    lost_answers: int | None
    zombies: int | None
    terms: int | None
    failures: int | None
    full_disks: int | None
    together: int


FULL = Size("full", None, 70, None, 6, None, None, 40, None, 20, 10)
QUICK = Size("quick", 8, 4, 3, 1, 2, 2, 3, 3, 1, 1)


def list_scenarios(
    provider: str, calm: Calm, size: Size, chance: random.Random
) -> Iterator[Scenario]:
    """List what is done to the workers of one provider."""
    if provider == _MAKES_LEDGER:
        for crossing in range(1, _MIGRATION_CROSSINGS + 1):
            title = f"while the ledger is made, {crossing}"
            yield Scenario("kill", provider, title, kill_at_first_start(crossing))
    for family, title, act in _list_acts(calm, size, chance):
        yield Scenario(family, provider, title, act, may_hold=family != _GENTLE)


def _list_acts(calm: Calm, size: Size, chance: random.Random) -> Iterator[tuple[str, str, Act]]:
    names, numbers = calm.crossings, range(1, len(calm.crossings) + 1)

    def name(crossing: int) -> str:
        return f"{crossing} {names[crossing - 1]}"

    for crossing in _draw(numbers, size.kills, chance):
        yield "kill", name(crossing), kill_at(crossing)
    for _ in range(size.pairs):
        first = chance.choice(numbers)
        then = _draw_next(len(numbers) - first, chance)
        yield "two kills", f"{name(first)}, then {then}", kill_at(first, then)
    yield from _list_acts_on_requests(calm, size, chance)
    zombies = [n for n in numbers if names[n - 1].startswith(_AROUND_SUBMIT)]
    for crossing in _draw(zombies, size.zombies, chance):
        yield "zombie", name(crossing), wake_a_zombie(crossing)
    for crossing in _draw(numbers, size.terms, chance):
        yield _GENTLE, name(crossing), ask_to_end(crossing)
    for strike, count in ((Strike.FAILED_CALL, size.failures), (Strike.DISK_FULL, size.full_disks)):
        for crossing in _draw(numbers, count, chance):
            yield strike.value, name(crossing), fail_at(crossing, strike)
    for number in range(size.together):
        killed_at = chance.choice(numbers) if number % 2 else 0
        pause_s = chance.uniform(0.0, 0.3)
        title = f"pauses of {pause_s:.3f} s, one killed at {killed_at or 'no crossing'}"
        yield "four workers", title, work_together(pause_s, killed_at)


def _list_acts_on_requests(
    calm: Calm, size: Size, chance: random.Random
) -> Iterator[tuple[str, str, Act]]:
    """List what only somebody at the other end of a socket can do."""
    requests, numbers = range(1, len(calm.requests) + 1), calm.crossings
    for number in _draw(requests, size.in_flight, chance):
        title = f"{number} {calm.requests[number - 1]}"
        yield "kill in flight", title, kill_in_flight(number)
        for _ in range(size.in_flight_pairs):
            left = len(numbers) * (len(requests) - number) // len(requests)
            then = _draw_next(left, chance)
            yield "kill in flight", f"{title}, then {then}", kill_in_flight(number, then)
    for what in _draw(list(LOST_ANSWERS), size.lost_answers, chance) if requests else ():
        yield "lost answer", what, lose_answer(LOST_ANSWERS[what])


def list_naive_scenarios(size: Size, chance: random.Random) -> Iterator[Scenario]:
    """List the same for the naive client, of which few suffice."""
    for crossing in _draw(range(1, _NAIVE_CROSSINGS + 1), size.kills, chance):
        yield Scenario("naive: kill", naive.PROVIDER, str(crossing), kill_at(crossing), False)
    for number in _draw(range(1, _NAIVE_REQUESTS + 1), size.in_flight, chance):
        act = kill_in_flight(number)
        yield Scenario("naive: kill in flight", naive.PROVIDER, str(number), act, False)
    for what, fault in LOST_ANSWERS.items():
        yield Scenario("naive: lost answer", naive.PROVIDER, what, lose_answer(fault), False)


def _draw_next(left: int, chance: random.Random) -> int:
    """Draw a crossing of a recovery, which has only so much left to do."""
    return chance.randint(1, max(1, left))


def _draw(everything: Sequence[T], count: int | None, chance: random.Random) -> list[T]:
    listed = list(everything)
    if count is None or count >= len(listed):
        return listed
    return chance.sample(listed, count)
