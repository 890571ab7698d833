"""A short simulated day at all paid providers; ``python -m proof`` plays long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from proof.day import simulate
from proof.day_worker import PROVIDERS
from transcription_pipeline_tests.s3_servers import S3Server


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_day_of_faults_and_kills_loses_and_repeats_nothing(
    tmp_path: Path, ministack: S3Server
) -> None:
    """Every recording is published and charged once, or held where nobody can know."""
    outcomes = simulate(7, 80, tmp_path, ministack, hours=6)
    assert [outcome.provider for outcome in outcomes] == list(PROVIDERS)
    assert all(o.title.startswith("seed 7, 20 recordings, ") for o in outcomes)
    wrong = [(o.provider, o.lost, o.paid_twice) for o in outcomes if not o.is_well]
    assert not wrong, outcomes[0].log
