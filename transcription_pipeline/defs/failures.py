"""The only translation of our errors into Dagster's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from transcription_pipeline.errors import TranscriptionPipelineError


@contextmanager
def as_failures() -> Iterator[None]:
    """Raise ``dg.Failure`` for every error of ours: its text is safe to show, its cause is not lost.

    Dagster may retry what is transient; nothing here retries, because the ledger already does.
    """
    try:
        yield
    except TranscriptionPipelineError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__, "is_transient": error.is_transient},
            allow_retries=error.is_transient,
        ) from None
