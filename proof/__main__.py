"""``python -m proof [--quick] [--parts workers,days] [--only assemblyai] [--family kill] [--seed N]``.

Plays everything that is to show that no recording is lost and none is paid twice, and prints one
table. Exit code 1 when anything was, when a test failed, when a removed safety line went unnoticed,
or when the naive client was not caught paying twice.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from proof.day import play_days
from proof.families import Scenario
from proof.mutations import try_mutations
from proof.network import FAULTS, IMPATIENT, play_fault
from proof.plan import FULL, PAID, PROVIDERS, QUICK, list_naive_scenarios, list_scenarios
from proof.playing import LANES, open_theatre
from proof.report import Report, print_report
from proof.storms import STORMS, play_storm
from proof.suites import SUITES, Tested, run_suite
from proof.verdict import Outcome
from proof.world import set_environment
from transcription_pipeline.cli.output import end_gently
from transcription_pipeline_tests.engine.scenes import open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server, run_ministack

Arguments = argparse.Namespace
WAITING = {"outage of an hour": 2_000, "budget for ten": 1_000}
"""Storm → recordings that wait; Plaud's bytes are uploaded, and so it gets a tenth."""


def play_workers(arguments: Arguments, s3: S3Server) -> Iterator[Outcome]:
    """Kill, stop, end, rob and multiply workers; the naive client's, too."""
    size = QUICK if arguments.quick else FULL
    with open_theatre(s3, arguments.lanes) as theatre:
        scenarios: list[Scenario] = []
        for provider in arguments.only or PROVIDERS:
            chance = random.Random(f"{arguments.seed} {provider}")
            scenarios += list_scenarios(provider, theatre.calm(provider), size, chance)
        scenarios += list_naive_scenarios(size, random.Random(arguments.seed))
        if arguments.family:
            scenarios = [one for one in scenarios if one.family == arguments.family]
        with closing(theatre.play(scenarios)) as outcomes:
            for number, outcome in enumerate(outcomes, 1):
                print(f"\r{number}/{len(scenarios)} ", end="", file=sys.stderr, flush=True)
                yield outcome


def play_scenes(arguments: Arguments, s3: S3Server) -> Iterator[Outcome]:
    """Fail the network in every way, and let storms pass over many recordings."""
    for provider in arguments.only or PAID:
        with run_emulator(provider) as emulator:
            settings = emulator.control("settings")
            for title in (*FAULTS, *STORMS):
                with (
                    TemporaryDirectory(prefix="scene-") as folder,
                    open_scene(emulator, settings, s3, Path(folder), patience=IMPATIENT) as scene,
                ):
                    if title in FAULTS:
                        yield play_fault(scene, title, FAULTS[title])
                    else:
                        count = 50 if arguments.quick else WAITING.get(title, 200)
                        count = count // 10 if provider == "plaud" else count
                        yield play_storm(scene, title, count)


def play_simulated_days(arguments: Arguments, _s3: S3Server) -> Iterator[Outcome]:
    """Let days of faults pass."""
    count, seeds = (200, 1) if arguments.quick else (arguments.recordings, arguments.days)
    with closing(play_days(range(seeds), count)) as outcomes:
        for outcome in outcomes:
            print(f"\r{outcome.provider}, {outcome.title}", file=sys.stderr)
            yield outcome


def run_suites(arguments: Arguments, _s3: S3Server) -> Iterator[Tested]:
    """Run what is proved by tests."""
    for name in SUITES:
        yield run_suite(name, is_quick=arguments.quick)


def remove_lines(_arguments: Arguments, _s3: S3Server) -> Iterator[Tested]:
    """Take out each line that keeps money safe, one at a time: the tests must notice."""
    tested, started_at = Tested("safety line removed"), time.monotonic()
    for mutation, verdict, _ in try_mutations():
        tested.tests += 1
        if verdict != "red":
            tested.failed.append(f"{mutation.name}: {verdict}")
    tested.seconds = time.monotonic() - started_at
    yield tested


PARTS: Mapping[str, Callable[[Arguments, S3Server], Iterator[Outcome | Tested]]] = {
    "workers": play_workers,
    "scenes": play_scenes,
    "suites": run_suites,
    "lines": remove_lines,
    "days": play_simulated_days,
}
"""The longest at the end: whoever stops it earlier has seen all else."""


def main() -> int:
    """Play, print, judge."""
    arguments = read_arguments()
    set_environment()
    logging.basicConfig(level=logging.ERROR)  # retries and closed gates are what it is about
    end_gently()  # what was played by then is reported
    report, is_whole = Report(), False
    try:
        with (
            TemporaryDirectory(prefix="proof-") as folder,
            run_ministack(Path(folder)) as s3,
            suppress(KeyboardInterrupt),
        ):
            play(arguments, s3, report)
            is_whole = True
    finally:  # hours of playing are not lost with what ended them
        if arguments.json:
            print(json.dumps(report.as_json(), indent=1))
        else:
            print_report(report)
    return 0 if report.is_well and is_whole else 1


def play(arguments: Arguments, s3: S3Server, report: Report) -> None:
    """Play every part, and tell what is wrong as it comes."""
    for part in arguments.parts:
        for found in PARTS[part](arguments, s3):
            known = len(report.failures)
            report.add(found)
            for failure in report.failures[known:]:
                print(f"\r{failure}", file=sys.stderr)
        print(f"\r{part}: done", file=sys.stderr)


def read_arguments() -> Arguments:
    """Read the command line."""

    def listed(known: tuple[str, ...]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            names = text.split(",")
            if unknown := sorted(set(names) - set(known)):
                raise argparse.ArgumentTypeError(f"not one of {', '.join(known)}: {unknown[0]}")
            return names

        return read

    parser = argparse.ArgumentParser(prog="python -m proof", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a sample of everything")
    parts = tuple(PARTS)
    parser.add_argument("--parts", type=listed(parts), default=parts, help=", ".join(parts))
    parser.add_argument("--only", type=listed(PROVIDERS), help="providers")
    parser.add_argument("--family", default="", help="one family of workers' scenarios")
    parser.add_argument("--days", type=int, default=20, help="simulated days, each of its own seed")
    parser.add_argument("--recordings", type=int, default=10_000, help="in a simulated day")
    parser.add_argument("--lanes", type=int, default=LANES, help="workers' scenarios side by side")
    parser.add_argument("--seed", type=int, default=20261121, help="what is drawn is drawn from it")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
