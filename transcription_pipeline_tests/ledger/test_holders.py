"""A worker's death is proved where it can be, and never guessed."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from transcription_pipeline.ledger.holders import is_certainly_dead, make_holder
from transcription_pipeline.ledger.ledger import Ledger

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
SCRIPT = (
    "import time\n"
    "from transcription_pipeline.ledger.holders import make_holder\n"
    "print(make_holder(), flush=True)\n"
    "time.sleep(600)\n"
)


def _start() -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_the_living_are_not_dead() -> None:
    """This process, and a child that is merely stopped, count as alive."""
    assert not is_certainly_dead(make_holder())
    child, holder = _start()
    child.send_signal(signal.SIGSTOP)
    assert not is_certainly_dead(holder)
    child.kill()
    child.communicate()


def test_a_killed_process_is_dead_even_before_it_is_reaped() -> None:
    """A process killed with SIGKILL is dead, as a zombie and after."""
    child, holder = _start()
    child.kill()
    child.stdout.read()  # type: ignore[union-attr] - ends with the process
    while not is_certainly_dead(holder):
        pass
    child.communicate()
    assert is_certainly_dead(holder)


@pytest.mark.parametrize("holder", ["", "somebody", "elsewhere boot pid:[1]|1|2|3", "a|b|c|d"])
def test_nothing_is_proved_of_others(holder: str) -> None:
    """Names from other machines, boots or namespaces, and names of another kind, prove nothing."""
    assert not is_certainly_dead(holder)


def test_a_dead_workers_partition_is_free_at_once(ledger: Ledger) -> None:
    """The lease of a killed worker is taken over before it lapses, with a higher fence."""
    child, holder = _start()
    first = ledger.acquire_lease("2026-11-21", "local", holder, at=AT, ttl_s=3600)
    assert first is not None
    later = AT + timedelta(seconds=1)
    assert ledger.acquire_lease("2026-11-21", "local", make_holder(), at=later, ttl_s=60) is None
    child.kill()
    child.communicate()
    second = ledger.acquire_lease("2026-11-21", "local", make_holder(), at=later, ttl_s=60)
    assert second is not None
    assert second.fence == first.fence + 1
