"""The table: one row per family of scenarios and side, and what went wrong below it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from proof.verdict import Outcome


@dataclass
class Row:
    """One family, all its providers together."""

    family: str
    provider: str
    scenarios: int = 0
    lost: int = 0
    paid_twice: int = 0
    held: int = 0
    """Scenarios after which a person has to decide about a recording."""
    seconds: float = 0.0
    """All scenarios one after the other; they are played side by side."""


@dataclass
class Report:
    """What all scenarios came to."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    """Why recordings were held: provider and cause → recordings."""
    failures: list[Outcome] = field(default_factory=list)
    naive_scenarios: int = 0
    naive_paid_twice: int = 0
    """Scenarios in which the naive client was caught: without any the harness proves nothing."""

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        key = outcome.family, outcome.provider
        row = self.rows.setdefault(key, Row(*key))
        row.scenarios += 1
        row.lost += bool(outcome.lost)
        row.paid_twice += bool(outcome.paid_twice)
        row.held += bool(outcome.held)
        row.seconds += outcome.seconds
        self.causes.update({f"{outcome.provider}: {why}": n for why, n in outcome.held.items()})
        if outcome.is_ours and not outcome.is_well:
            self.failures.append(outcome)
        if not outcome.is_ours:
            self.naive_scenarios += 1
            self.naive_paid_twice += bool(outcome.paid_twice)

    @property
    def is_well(self) -> bool:
        """Whether the pipeline lost nothing and paid nothing twice, and the naive client did."""
        is_caught = self.naive_paid_twice > 0 or self.naive_scenarios == 0
        return not self.failures and is_caught

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "rows": [asdict(row) for row in self.rows.values()],
            "held": dict(self.causes),
            "failures": [asdict(outcome) for outcome in self.failures],
        }


def print_report(report: Report) -> None:
    """Print the table, the reasons for what is held, and every failure by name."""
    head = ("family", "provider", "scenarios", "lost", "paid twice", "held", "seconds")
    lines: list[tuple[str, ...]] = [head]
    for row in sorted(report.rows.values(), key=lambda row: (row.family, row.provider)):
        numbers = (row.scenarios, row.lost, row.paid_twice, row.held)
        lines.append((row.family, row.provider, *map(str, numbers), f"{row.seconds:.0f}"))
    _print_columns(lines)
    for why, count in sorted(report.causes.items()):
        print(f"held, {why}: {count} recordings")
    for outcome in report.failures:
        print(describe(outcome))


def _print_columns(lines: list[tuple[str, ...]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        if number == 0:
            print("  ".join("-" * width for width in widths))


def describe(outcome: Outcome) -> str:
    """Name a failure: the scenario, and what is wrong after it."""
    problems = (*outcome.lost, *outcome.paid_twice)
    return f"FAILED {outcome.family}, {outcome.provider}, {outcome.title}: {'; '.join(problems)}"
