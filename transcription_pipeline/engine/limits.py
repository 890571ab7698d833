"""What bounds one run: time, attempts, money.

Values only; ``composition.py`` makes them from the settings. How much runs at once is decided where
it runs, from what the provider says it can take.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What bounds one run."""

    window_s: float
    """A run begins nothing after this long, and ends once what is being handed over has landed; jobs
    still at the provider are the next run's."""
    lease_s: float
    """The partition is ours for this long after each heartbeat."""
    url_expires_s: int
    """Life of a signed audio URL, and with it of a doubt about whether it was accepted."""
    max_attempts: int
    """Per job, for failures that cost nothing."""
    poll_interval_s: float = 0.4
    """Between looks at the list: half of it is how late a finished job is noticed, on average."""
    cap_micros: int | None = None
    """What the provider may cost per UTC day; None: no limit."""
    reserve_bytes: int = 0
    """Nothing paid is sent while a disk of ours has less room than this."""
