"""One run in a process of its own, so that a test can kill it."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from transcription_pipeline import pipeline
from transcription_pipeline.domain.route import Route
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline.tools import Tools
from transcription_pipeline_tests.engine.scene import LIMITS, PROVIDER, make_client


def main(emulator_url: str, s3_url: str, bucket: str, folder: str, offset_s: str) -> None:
    """Work on the only partition of a ledger that another process filled."""
    offset = timedelta(seconds=float(offset_s))
    tools = Tools(
        ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"),
        audio=S3ObjectStore(BucketAddress(bucket, ""), make_client=lambda: open_s3_client(s3_url)),
        audio_prefix="",
        lake=FolderStore(Path(folder) / "lake"),
        routes=(Route(match="**", providers=(PROVIDER,)),),
        make_provider={PROVIDER: make_client(emulator_url, concurrency=12)},
        limits={PROVIDER: LIMITS},
        first_day=date(2026, 1, 1),
        now=lambda: datetime.now(UTC) + offset,
    )
    day = tools.ledger.list_partitions()[0][0]
    asyncio.run(pipeline.transcribe(tools, day, PROVIDER))


if __name__ == "__main__":
    main(*sys.argv[1:])
