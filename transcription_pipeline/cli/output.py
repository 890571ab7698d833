"""How commands speak: tables and sentences for people, JSON for programs, exit codes for both.

What belongs here: printing and the one place where errors become exit codes. What does not: any
step of the pipeline. Every command module uses this one.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import wraps
from typing import Any, ParamSpec

import click
from rich.console import Console
from rich.table import Table

from transcription_pipeline.errors import (
    ConfigurationError,
    QueryError,
    TranscriptionPipelineError,
)

OK, SOMETHING_FAILED, USAGE = 0, 1, 2
# Keys, transcripts and causes are anybody's: "[/b]" or ":phone:" in them are only text.
console = Console(highlight=False, markup=False, emoji=False)
complaints = Console(stderr=True, highlight=False, markup=False, emoji=False)
P = ParamSpec("P")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def reports_errors(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code, and errors into one line each."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs) or OK
        except ConfigurationError as error:
            for problem in error.problems:
                complaints.print(f"configuration: {problem}", style="red")
            code = USAGE
        except QueryError as error:
            complaints.print(str(error), style="red")
            code = USAGE
        except TranscriptionPipelineError as error:
            complaints.print(f"{type(error).__name__}: {error}", style="red")
            code = SOMETHING_FAILED
        except KeyboardInterrupt:
            complaints.print("interrupted; nothing is lost, run it again to go on", style="yellow")
            code = SOMETHING_FAILED
        sys.exit(code)

    return wrapped


def end_gently() -> None:
    """Let SIGTERM, by which services and containers are stopped, do what Ctrl-C does.

    Its default ends the process where it stands: a paid request on the wire would be in doubt. What
    a shell starts in the background inherits Ctrl-C ignored, and with it would ignore both.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def print_json(value: Any) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table; numbers are set to the right, nothing is interpreted as markup."""
    listed = [[("" if cell is None else cell) for cell in row] for row in rows]
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for place, column in enumerate(columns):
        is_number = bool(listed) and all(isinstance(row[place], int | float) for row in listed)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.4g}"
    if isinstance(value, datetime):
        value = f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
