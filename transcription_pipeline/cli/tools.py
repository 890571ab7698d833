"""Opening what a command needs, and closing it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transcription_pipeline.composition import build_tools
from transcription_pipeline.settings import Settings
from transcription_pipeline.tools import Tools


@contextmanager
def open_tools(settings: Settings | None = None) -> Iterator[Tools]:
    """Yield the tools for the configuration in force; the ledger is closed afterwards."""
    tools = build_tools(settings or Settings.load())
    try:
        yield tools
    finally:
        tools.ledger.close()
