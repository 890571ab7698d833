"""What one run did, in identifiers, types and numbers.

No text of a transcript, no key and no URL comes in here, because it goes out as it is: into the
metadata of a materialisation and onto the terminal. Filled by every step of the run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAILURE_ROWS = 200
"""Failures named one by one; beyond it they are only counted."""


@dataclass(slots=True)
class RunReport:
    """What one run did; it grows while the run works."""

    due: int = 0
    """Jobs the run found to work on."""
    counts: Counter[str] = field(default_factory=Counter)
    """Steps and outcomes: accepted, resumed, stored, failed, held, rejected, ambiguous,
    quarantined, postponed, gated, overtaken, window_ended, incomplete (stored without one of its
    files), and other verdicts by name."""
    audio_ms: int = 0
    """Audio whose answers were stored."""
    request_count: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    """(recording_id, what became of it, cause), the first ``FAILURE_ROWS``."""
    latencies_s: list[float] = field(default_factory=list)
    """Accepted to stored, per recording."""
    unfinished_count: int = 0
    """Outcomes other than success, capped by nothing."""

    def note(self, outcome: str, recording_id: str, cause: str | None) -> None:
        """Count an outcome that is not success."""
        self.counts[outcome] += 1
        self.unfinished_count += 1
        if len(self.failures) < FAILURE_ROWS:
            self.failures.append((recording_id, outcome, cause or "unknown"))

    @property
    def settled_count(self) -> int:
        """Jobs this run is done with: stored, failed, held, quarantined or put off."""
        return self.counts["stored"] + self.unfinished_count

    @property
    def has_progress(self) -> bool:
        """Whether another run right away may find something else to do."""
        return self.settled_count > self.counts["postponed"] + self.counts["gated"]

    def latency_s(self, share: float) -> float | None:
        """Return the latency that ``share`` (0-1) of the stored recordings stayed within."""
        if not self.latencies_s:
            return None
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def summarise(self) -> dict[str, Any]:
        """Return everything as plain values, for metadata and ``--json``."""
        return {
            "due": self.due,
            "counts": dict(sorted(self.counts.items())),
            "audio_ms": self.audio_ms,
            "request_count": self.request_count,
            "latency_p50_s": self.latency_s(0.50),
            "latency_p95_s": self.latency_s(0.95),
            "failures": [
                {"recording_id": recording_id, "outcome": outcome, "cause": cause}
                for recording_id, outcome, cause in self.failures
            ],
        }
