"""Room on this machine's disks: what is paid for must also fit.

Looked at before every paid request, because an answer that cannot be kept is worth nothing. What a
full disk does to a write is the stores' own matter.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from transcription_pipeline.errors import DiskFull

_MIB = 1 << 20


def check_room(folders: Sequence[Path], reserve_bytes: int) -> None:
    """Raise ``DiskFull`` where less than the reserve is free in one of the folders."""
    for folder in folders:
        free = shutil.disk_usage(folder).free
        if free < reserve_bytes:
            raise DiskFull(
                f"{free // _MIB} MiB are free and runs.reserve_mib keeps {reserve_bytes // _MIB}; "
                "nothing is sent until there is room",
                key=str(folder),
            )
