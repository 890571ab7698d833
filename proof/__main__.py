"""``python -m proof [--quick] [--seed N] [--json] [--only assemblyai,plaud] [--family kill]``.

Plays every scenario and prints one table. Exit code 1 when anything was lost or paid twice by the
pipeline, or when the naive client was not caught paying twice.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from proof.families import Scenario
from proof.plan import FULL, PROVIDERS, QUICK, list_naive_scenarios, list_scenarios
from proof.playing import LANES, open_theatre
from proof.report import Report, describe, print_report
from proof.world import set_environment
from transcription_pipeline.cli.output import end_gently
from transcription_pipeline_tests.s3_servers import run_ministack


def main() -> int:
    """Play, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m proof", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a sample of each family")
    parser.add_argument("--seed", type=int, default=20261121, help="what is drawn is drawn from it")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.add_argument("--only", default="", help="comma-separated providers")
    parser.add_argument("--family", default="", help="one family of scenarios")
    parser.add_argument("--lanes", type=int, default=LANES, help="scenarios side by side")
    arguments = parser.parse_args()
    set_environment()
    end_gently()  # what was played by then is reported
    report = Report()
    wanted = [name for name in arguments.only.split(",") if name] or PROVIDERS
    size = QUICK if arguments.quick else FULL
    with (
        TemporaryDirectory(prefix="proof-") as folder,
        run_ministack(Path(folder)) as s3,
        open_theatre(s3, arguments.lanes) as theatre,
    ):
        scenarios: list[Scenario] = []
        for provider in wanted:
            chance = random.Random(f"{arguments.seed} {provider}")
            scenarios += list_scenarios(provider, theatre.calm(provider), size, chance)
        scenarios += list_naive_scenarios(size, random.Random(arguments.seed))
        if arguments.family:
            scenarios = [one for one in scenarios if one.family == arguments.family]
        played = 0
        with suppress(KeyboardInterrupt), closing(theatre.play(scenarios)) as outcomes:
            for played, outcome in enumerate(outcomes, 1):
                report.add(outcome)
                if outcome.is_ours and not outcome.is_well:
                    print(f"\r{describe(outcome)}", file=sys.stderr)
                print(f"\r{played}/{len(scenarios)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        print_report(report)
    return 0 if report.is_well and played == len(scenarios) else 1


if __name__ == "__main__":
    raise SystemExit(main())
