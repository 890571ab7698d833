"""Runs the real sensors and the real asset jobs on a Dagster instance until nothing is asked for.

The daemon does the same by the clock, with a process per run; the demo wants it now. Every run is a
run of the instance like any other and is seen in the UI. ``python -m`` prints a JSON line per run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import dagster as dg

Say = Callable[[dict[str, object]], None]
MOST_ROUNDS = 50
"""Each round moves something or is the last; more than this is a fault of ours."""


def drive_until_quiet(defs: dg.Definitions, instance: dg.DagsterInstance, say: Say) -> bool:
    """Evaluate the sensors and execute what they request, again and again, until they are quiet.

    Returns:
        True when every run succeeded.
    """
    repository = defs.get_repository_def()
    is_well = True
    cursors: dict[str, str | None] = {}
    for _ in range(MOST_ROUNDS):
        requests = []
        for sensor in repository.sensor_defs:
            context = dg.build_sensor_context(
                instance=instance,
                cursor=cursors.get(sensor.name),
                definitions=defs,
                resources=defs.resources,
            )
            with context:
                tick = sensor.evaluate_tick(context)
            cursors[sensor.name] = tick.cursor
            requests += list(tick.run_requests or [])
        if not requests and not any(cursors.values()):
            return True
        for request in _unique(requests):
            is_well &= _execute(defs, instance, request, say)
        if not is_well:
            return False  # what failed is still due, and would be asked for again at once
    raise RuntimeError(f"the sensors still ask for runs after {MOST_ROUNDS} rounds")


def _unique(requests: list[dg.RunRequest]) -> Iterator[dg.RunRequest]:
    seen = set()
    for request in requests:
        named = (request.job_name, request.partition_key)
        if named not in seen:
            seen.add(named)
            yield request


def _execute(
    defs: dg.Definitions, instance: dg.DagsterInstance, request: dg.RunRequest, say: Say
) -> bool:
    started_at = time.monotonic()
    result = defs.resolve_job_def(str(request.job_name)).execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        tags=dict(request.tags),
        raise_on_error=False,
    )
    say(
        {
            "job": request.job_name,
            "partition": request.partition_key,
            "run_id": result.run_id,
            "success": result.success,
            "seconds": round(time.monotonic() - started_at, 2),
        }
    )
    return result.success


def _print(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Drive the definitions in force on the instance of ``DAGSTER_HOME``."""
    # Imported here: the definitions compose this room and stand above it.
    import importlib

    definitions = importlib.import_module("transcription_pipeline.definitions")
    with dg.DagsterInstance.get() as instance:
        return 0 if drive_until_quiet(definitions.defs, instance, _print) else 1


if __name__ == "__main__":
    sys.exit(main())
