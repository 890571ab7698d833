"""Where files lie before they are whole: folders that are empty at first and gone afterwards.

A process that is killed leaves what it had there, and that is what was said in recordings. So the
first use of a place in a process removes what nobody has touched for a day. What belongs here: those
folders, for whatever lake. Putting files in place is the stores' part.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from transcription_pipeline.storage.objects import ObjectStore

STALE_AFTER_S = 24 * 3600.0
"""Many times what a living worker needs between two writes to a file."""
LOCK = "lock"
"""Its file stays: removed while one worker holds it, another could hold it too."""
_PREFIX = "transcription-staging-"


@contextmanager
def open_staging(lake: ObjectStore) -> Iterator[Path]:
    """Yield an empty folder for files on their way into ``lake``."""
    place = lake.make_staging_folder()
    if place is None:
        place = Path(gettempdir())
        sweep(place, f"{_PREFIX}*")
    with TemporaryDirectory(prefix=_PREFIX, dir=place) as folder:
        yield Path(folder)


@cache
def sweep(place: Path, pattern: str = "*") -> None:
    """Remove what workers that are dead left in a place; once per process."""
    before = time.time() - STALE_AFTER_S
    for entry in place.glob(pattern):
        with suppress(OSError):  # another worker sweeps, too, or it is not ours to remove
            if entry.name == LOCK or not _is_stale(entry, before):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _is_stale(entry: Path, before: float) -> bool:
    # A folder is as young as the youngest file in it, which may still be written.
    return all(path.lstat().st_mtime < before for path in (entry, *entry.rglob("*")))
