"""``python -m bench [--quick] [--json] [--only batch,tables]``: measure, compare, print one table.

Each side of a comparison is a child process of this interpreter, pinned to the first core where
there are several; the emulated provider is a third process on the second. Times are CPU times of
the child, memory is its high-water mark.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.batch import measure_batch, measure_growth
from bench.plan import FULL, QUICK
from bench.rates import measure_rates
from bench.rows import Row, print_table
from bench.tables import measure_tables


def main() -> int:
    """Run the benchmark; exit code 1 when a row misses its target."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, under a minute")
    parser.add_argument("--json", action="store_true", help="rows as JSON on standard output")
    parser.add_argument(
        "--only", default="", help="comma-separated parts: batch,growth,rates,tables"
    )
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    parts = {
        "batch": measure_batch,
        "growth": measure_growth,
        "rates": measure_rates,
        "tables": measure_tables,
    }
    wanted = [name for name in arguments.only.split(",") if name] or list(parts)
    rows: list[Row] = []
    root = Path("var")
    root.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=root) as folder:
        for name in wanted:
            print(f"measuring {name} ({plan.name}) ...", file=sys.stderr, flush=True)
            place = Path(folder) / name
            place.mkdir()
            rows += parts[name](plan, place)
    if arguments.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        print_table(rows)
    return 0 if all(row.is_ok for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
