"""Which trouble ends a run, and which of many errors is told as its reason.

What one recording's trouble means for its job is in ``partition_run.py``, the only caller.
"""

from __future__ import annotations

from typing import Any

from transcription_pipeline.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DiskFull,
    LeaseLost,
    LedgerBusy,
    LedgerNotOurs,
)

FATAL = (
    LeaseLost,
    LedgerBusy,
    LedgerNotOurs,
    DiskFull,
    AuthenticationFailed,
    ConfigurationError,
)
"""Trouble that is not one recording's: the run ends."""


def find_reason(errors: BaseExceptionGroup[Any]) -> BaseException:
    """Pick from a tree of errors the one that ended the run; the others are its consequences."""
    leaves: list[BaseException] = []
    branches: list[BaseExceptionGroup[Any]] = [errors]
    while branches:
        for error in branches.pop().exceptions:
            if isinstance(error, BaseExceptionGroup):
                branches.append(error)
            else:
                leaves.append(error)
    return next((leaf for leaf in leaves if isinstance(leaf, LeaseLost)), leaves[0])
