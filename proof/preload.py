"""Imported once by the server that workers are forked from: what is slow to load is loaded here."""

from __future__ import annotations

import proof.worker
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.storage.s3 import open_s3_client

__all__ = ["proof"]

# The first client reads S3's whole model, the first ledger loads Alembic.
open_s3_client("http://127.0.0.1:9")
Ledger.open("sqlite://").close()
