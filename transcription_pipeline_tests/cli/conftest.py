"""Deployments for the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, ministack: S3Server) -> Iterator[World]:
    """An empty deployment."""
    with open_world(tmp_path, ministack, job_s=0.2, word_count=30, audio_s=8) as opened:
        yield opened


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, ministack: S3Server) -> Iterator[World]:
    """A deployment in which ``tp run`` has carried two good recordings and a bad one."""
    folder = tmp_path_factory.mktemp("finished")
    with open_world(folder, ministack, job_s=0.2, word_count=30, audio_s=8) as opened:
        opened.put("appointment.flac", "calls/one.flac")
        opened.put("launch.opus", "calls/two with spaces.opus")
        opened.put("text.mp3", "calls/text.mp3")
        opened.tp("run")
        yield opened
