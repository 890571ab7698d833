"""How long a provider takes, learned from what it did, and when to look next.

Pure arithmetic. ``providers/watch.py`` asks it for the next look where there is no list of jobs;
the ledger keeps its parameters between runs so that a restart is warm.

The model predicts ``P = offset_s + ratio × audio seconds`` by running least squares, of which a
ridge keeps the ratio small while lengths hardly differ: one slow answer among equals must not
foretell hours for a longer recording. It keeps the mean and spread of ``log(T / P)``. The first look comes two spreads before the predicted end; after
it, looks follow the classic rule of optimal inspection, ``sqrt(2 c P / hazard)``: often where the
chance of completion is high, seldom where it is not.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

COST_OF_A_LOOK = 0.005
"""What one request costs, as a share of the predicted time: PERFORMANCE's setting for short lag."""
MINIMUM_WAIT_S = 0.2
SHORTEST_S = 0.001
"""No job is faster: a ratio of nothing has no logarithm."""
WARM_AFTER = 20
"""Below this many observations nothing is believed and looks follow the elapsed time."""
SMOOTHING = 0.05
"""Weight of a new observation in the running mean and spread."""
SAME_LENGTH = 0.05
"""Lengths that differ by less than this share of their mean, plus a second, tell no ratio."""


@dataclass(slots=True)
class WaitModel:
    """The learned distribution of job time for one provider."""

    count: int = 0
    sum_x: float = 0.0
    sum_y: float = 0.0
    sum_xx: float = 0.0
    sum_xy: float = 0.0
    mean_log: float = 0.0
    spread: float = 0.5

    def predict_s(self, audio_s: float) -> float:
        """Return the expected job time in seconds, at least 0.1."""
        if self.count == 0:
            return max(0.1, 5.0 + 0.05 * audio_s)
        mean_x, mean_y = self.sum_x / self.count, self.sum_y / self.count
        variance = self.sum_xx / self.count - mean_x * mean_x
        ridge = (1.0 + SAME_LENGTH * mean_x) ** 2
        slope = (self.sum_xy / self.count - mean_x * mean_y) / (variance + ridge)
        slope = max(0.0, slope)
        return max(0.1, mean_y + slope * (audio_s - mean_x))

    def learn(self, audio_s: float, took_s: float) -> None:
        """Take one finished job into account."""
        if took_s <= 0:
            return
        took_s = max(took_s, SHORTEST_S)
        if self.count:
            deviation = math.log(took_s / self.predict_s(audio_s)) - self.mean_log
            limit = 3 * max(self.spread, 0.1)
            deviation = max(-limit, min(limit, deviation))
            weight = max(SMOOTHING, 1 / (self.count + 1))
            self.mean_log += weight * deviation
            variance = (1 - weight) * (self.spread**2 + weight * deviation**2)
            self.spread = max(0.05, math.sqrt(variance))
        self.count += 1
        self.sum_x += audio_s
        self.sum_y += took_s
        self.sum_xx += audio_s * audio_s
        self.sum_xy += audio_s * took_s

    def next_look_s(self, audio_s: float, elapsed_s: float) -> float:
        """Return how many seconds to wait before looking (again) at a job ``elapsed_s`` old."""
        if self.count < WARM_AFTER:
            return max(1.0, 0.2 * elapsed_s)
        predicted = self.predict_s(audio_s) * math.exp(self.mean_log)
        first = predicted * math.exp(-2 * self.spread)
        if elapsed_s < first:
            return max(MINIMUM_WAIT_S, first - elapsed_s)
        hazard = max(self._hazard(elapsed_s, predicted), 0.35 / max(elapsed_s, 0.1))
        return max(MINIMUM_WAIT_S, math.sqrt(2 * COST_OF_A_LOOK * predicted / hazard))

    def _hazard(self, elapsed_s: float, predicted_s: float) -> float:
        """Return the lognormal hazard: chance per second of ending now, given not ended before."""
        z = math.log(max(elapsed_s, 1e-3) / predicted_s) / self.spread
        survival = 0.5 * math.erfc(z / math.sqrt(2))
        if survival < 1e-6:
            return 0.0
        density = math.exp(-0.5 * z * z) / (elapsed_s * self.spread * math.sqrt(2 * math.pi))
        return density / survival

    def to_json(self) -> str:
        """Serialise for the ledger."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> WaitModel:
        """Restore what ``to_json`` wrote."""
        return cls(**json.loads(text))
