"""What a child process reads off itself: CPU seconds and the high-water mark of its memory."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def read_cpu_s() -> float:
    """Return user and system seconds of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def read_peak_mb() -> float:
    """Return the most memory this process ever had resident (not inherited, as ru_maxrss is)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Stretch:
    """CPU and wall time of one part of a run."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = read_cpu_s(), time.monotonic()

    def read(self) -> dict[str, float]:
        """Return what has passed since the start."""
        return {"cpu_s": read_cpu_s() - self._cpu_s, "wall_s": time.monotonic() - self._wall_s}


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do what the order file says and write what was measured, with the peak of memory."""
    order = json.loads(Path(sys.argv[1]).read_text())
    result = work(order)
    result["peak_mb"] = read_peak_mb()
    Path(sys.argv[2]).write_text(json.dumps(result))
