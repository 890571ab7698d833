"""The table: one row per family of scenarios and side, and what went wrong below it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from proof.suites import Tested
from proof.verdict import Outcome

_HEAD = (
    "family", "provider", "scenarios", "struck", "failed", "lost", "paid twice", "held", "seconds",
)  # fmt: skip


@dataclass
class Row:
    """One family at one provider."""

    family: str
    provider: str
    """``-`` where a suite of tests is about several."""
    scenarios: int = 0
    struck: int | None = None
    """Scenarios in which all befell the workers that was to; None where nothing was."""
    failed: int = 0
    """Scenarios in which anything was lost or paid twice; tests that failed."""
    lost: int | None = 0
    """Scenarios; None where tests decided."""
    paid_twice: int | None = 0
    held: int | None = 0
    """Scenarios after which a person has to decide about a recording."""
    seconds: float = 0.0
    """All scenarios one after the other; many are played side by side."""

    def cells(self) -> tuple[str, ...]:
        """Return what is printed."""
        counts = (self.scenarios, self.struck, self.failed, self.lost, self.paid_twice, self.held)
        shown = ("-" if count is None else str(count) for count in counts)
        return (self.family, self.provider, *shown, f"{self.seconds:.0f}")


@dataclass
class Report:
    """What everything came to."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    """Why recordings were held: provider and cause → recordings."""
    unpaid: Counter[str] = field(default_factory=Counter)
    """Why recordings failed without a charge: provider and cause → recordings."""
    missed: list[str] = field(default_factory=list)
    """Scenarios in which something did not befall the workers that was to; one line each."""
    failures: list[str] = field(default_factory=list)
    """One line each."""
    naive_scenarios: int = 0
    naive_paid_twice: int = 0
    """Scenarios in which the naive client was caught: without any the harness proves nothing."""

    def add(self, found: Outcome | Tested) -> None:
        """Count one scenario, or a suite of tests."""
        if isinstance(found, Outcome):
            self._add_scenario(found)
        else:
            self._add_suite(found)

    def _add_scenario(self, outcome: Outcome) -> None:
        key = outcome.family, outcome.provider
        row = self.rows.setdefault(key, Row(*key))
        row.scenarios += 1
        row.failed += not outcome.is_well
        row.lost = (row.lost or 0) + bool(outcome.lost)
        row.paid_twice = (row.paid_twice or 0) + bool(outcome.paid_twice)
        row.held = (row.held or 0) + bool(outcome.held)
        row.seconds += outcome.seconds
        if outcome.strikes:
            row.struck = (row.struck or 0) + (outcome.struck >= outcome.strikes)
        if outcome.struck < outcome.strikes:
            self.missed.append(f"{name(outcome)}: {outcome.struck} of {outcome.strikes}")
        self.causes.update({f"{outcome.provider}: {why}": n for why, n in outcome.held.items()})
        self.unpaid.update({f"{outcome.provider}: {why}": n for why, n in outcome.failed.items()})
        if not outcome.is_ours:
            self.naive_scenarios += 1
            self.naive_paid_twice += bool(outcome.paid_twice)
        elif not outcome.is_well:
            self.failures.append(describe(outcome))

    def _add_suite(self, tested: Tested) -> None:
        counts = (tested.tests, None, len(tested.failed), None, None, None, tested.seconds)
        self.rows[tested.family, "-"] = Row(tested.family, "-", *counts)
        self.failures += [f"FAILED {tested.family}: {name}" for name in tested.failed]
        if not tested.tests:
            self.failures.append(f"FAILED {tested.family}: no test was run")

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
            "failed_unpaid": dict(self.unpaid),
            "missed": self.missed,
            "failures": self.failures,
        }


def print_report(report: Report) -> None:
    """Print the table, the reasons for what is held or failed, and every failure by name."""
    rows = sorted(report.rows.values(), key=lambda row: (row.family, row.provider))
    lines = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        if number == 0:
            print("  ".join("-" * width for width in widths))
    for why, count in sorted(report.causes.items()):
        print(f"held, {why}: {count} recordings")
    for why, count in sorted(report.unpaid.items()):
        print(f"failed unpaid, {why}: {count} recordings")
    for miss in report.missed:
        print(f"did not strike, {miss}")
    for failure in report.failures:
        print(failure)


def describe(outcome: Outcome) -> str:
    """Name a failure: the scenario, and what is wrong after it."""
    problems = (*outcome.lost, *outcome.paid_twice)
    return f"FAILED {name(outcome)}: {'; '.join(problems)}"


def name(outcome: Outcome) -> str:
    """Name a scenario."""
    return f"{outcome.family}, {outcome.provider}, {outcome.title}"
