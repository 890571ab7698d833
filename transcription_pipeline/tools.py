"""Everything a step of the pipeline needs from outside, as one value.

``composition.py`` and Dagster's resources fill it; ``pipeline.py`` and ``publishing.py`` only read it. It holds no state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from transcription_pipeline.domain.route import Route
from transcription_pipeline.engine import RunLimits
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore


@dataclass(frozen=True)
class Tools:
    """Everything a step needs from outside, opened once by ``composition.py``."""

    ledger: Ledger
    audio: S3ObjectStore
    """The whole bucket: keys are complete."""
    audio_prefix: str
    """The watched part of it."""
    lake: ObjectStore
    routes: Sequence[Route]
    make_provider: Mapping[str, Callable[[], Provider]]
    """Provider name → a function that opens a client; the caller closes it."""
    limits: Mapping[str, RunLimits]
    """Provider name → what bounds a run."""
    first_day: date
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
