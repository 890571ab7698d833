"""How much is measured: the full numbers of the goals, and a quick version of the same."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

PROVIDER = "assemblyai"
DAY = "2026-01-05"


@dataclass(frozen=True)
class Plan:
    """One size of benchmark."""

    name: str
    recordings: int
    slots: int
    job_base_s: float
    job_per_audio_s: float
    growth: tuple[int, int] = (200, 2_000)
    rate_jobs: int = 200
    rate_sides: tuple[str, ...] = ("ours",)
    table_documents: int = 400
    service: dict[str, Any] = field(default_factory=dict)

    def emulator_settings(self, **changes: Any) -> dict[str, Any]:
        """Return the emulator's settings: calls of any length, 750 words each, no audio fetched."""
        return {
            "concurrency": self.slots,
            "requests_per_5_min": 0,
            "fetch_audio": False,
            "word_count": 750,
            "job_time": "lognormal",
            "job_base_s": self.job_base_s,
            "job_per_audio_s": self.job_per_audio_s,
            **changes,
        }


# T = 8 s x LN(.2) + 0.03 x audio x LN(.25) on 200 slots: the scale of the published figures.
FULL = Plan("full", 1_000, 200, 8.0, 0.03, rate_sides=("ours", "sdk"))
QUICK = Plan("quick", 150, 50, 1.0, 0.006, (50, 500), 200, ("ours",), 100)


def draw_durations_s(count: int) -> list[float]:
    """Draw the lengths of calls: median five minutes, a few of an hour."""
    chance = random.Random(20261121)
    return [min(3_600.0, chance.lognormvariate(math.log(300), 0.8)) for _ in range(count)]


def make_url(key: str, audio_s: float, token: str) -> str:
    """Return the address under which the emulated provider knows a recording, and its length."""
    return f"https://audio.invalid/{key}?x-tp-audio-s={audio_s:.3f}&x-tp-attempt={token}"
