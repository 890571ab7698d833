"""Who holds a lease, and when that worker is certainly dead.

A holder's name says on which boot of which machine, in which process namespace and as which process
it runs. From the same place the death of a process can be proved, so its partition need not wait for
the lease to lapse; from anywhere else nothing can be proved, and the lease decides. Pure but for
``/proc``; only ``pipeline.py`` and ``ledger.py`` call this.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from uuid import uuid4

_PROC = Path("/proc")
_SEPARATOR = "|"


def make_holder() -> str:
    """Name this worker; two workers of one process have different names."""
    pid = os.getpid()
    return _SEPARATOR.join((_here(), str(pid), _started(pid) or "unknown", uuid4().hex))


def is_certainly_dead(holder: str) -> bool:
    """Say whether the process behind a name has ended; False whenever that cannot be proved."""
    place, _, rest = holder.partition(_SEPARATOR)
    pid, _, rest = rest.partition(_SEPARATOR)
    started, _, _ = rest.partition(_SEPARATOR)
    if place != _here() or place == "unknown" or not pid.isdecimal() or started == "unknown":
        return False
    # Another start instant: the number was given to another process since.
    return _started(int(pid)) != started


@cache
def _here() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "unknown"
    return f"{socket.gethostname()} {boot} {namespace}"


def _started(pid: int) -> str | None:
    """Return a process's start in clock ticks since boot; None when it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; state and start are fields 3 and 22 (proc(5)).
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else fields[19]
