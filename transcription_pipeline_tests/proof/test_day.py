"""A short simulated day at each provider; ``python -m proof.day`` plays long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof.day import PROVIDERS, simulate


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_day_of_faults_loses_and_repeats_nothing(provider: str, tmp_path: Path) -> None:
    """Every recording is published and charged once, or held where nobody can know."""
    day = simulate(provider, 7, 72, tmp_path)
    assert (day.lost, day.paid_twice, dict(day.wrongly_held)) == ([], [], {})
