"""The rows of the report and how they are printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One goal: what was measured on both sides, their ratio, and the target."""

    id: str
    what: str
    ours: str
    peer: str
    ratio: str
    target: str
    is_ok: bool

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)


def print_table(rows: list[Row]) -> None:
    """Print all rows under one another."""
    head = ("id", "what", "ours", "peer", "ratio", "target", "ok")
    lines = [head] + [
        (r.id, r.what, r.ours, r.peer, r.ratio, r.target, "yes" if r.is_ok else "NO") for r in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        if number == 0:
            print("  ".join("-" * width for width in widths))
