"""An append-only file of what happened, so that an emulator survives being stopped or killed.

One JSON object per line, written to the operating system before the request that caused it is
answered; a line cut short by a kill is dropped at the next start, as its request was never
answered. What the lines mean is known only to the service that wrote them; ``server.py`` opens the
journal named by ``--state``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec


class Journal:
    """A file of events; without a path everything is forgotten at the end."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def replay(self) -> Iterator[dict[str, Any]]:
        """Yield the events of earlier runs, oldest first, and cut a torn last line off."""
        if self.path is None or not self.path.exists():
            return
        whole = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                yield msgspec.json.decode(line)
        if whole < self.path.stat().st_size:
            with self.path.open("r+b") as torn:
                torn.truncate(whole)

    def append(self, event: dict[str, Any]) -> None:
        """Write one event down. Survives SIGKILL of this process, not loss of power."""
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        self._file.write(msgspec.json.encode(event) + b"\n")
        self._file.flush()

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
