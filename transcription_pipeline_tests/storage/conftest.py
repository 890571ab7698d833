"""A fresh store of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline_tests.s3_servers import S3Server


def make_s3_store(server: S3Server, prefix: str = "lake/") -> S3ObjectStore:
    """Make a store in a bucket of its own."""
    address = BucketAddress(server.create_bucket(), prefix)
    return S3ObjectStore(address, make_client=server.open_client)


@pytest.fixture
def s3_store(s3_server: S3Server) -> S3ObjectStore:
    """An empty S3 store, on each server."""
    return make_s3_store(s3_server)


@pytest.fixture(params=["folder", "ministack", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "folder":
        return FolderStore(tmp_path / "lake")
    return make_s3_store(request.getfixturevalue(request.param))
