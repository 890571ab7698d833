"""Commands in processes of their own, forked from one that has imported the package already.

Importing takes longer than most commands do. A line in asks for a command, a line out tells its exit
code; what it printed is in two files. Whoever stops asking ends the server.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from transcription_pipeline.__main__ import main

WIDTH = "200"
"""Columns of the terminal that commands think they write to."""


def run_command(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> tuple[int, str, str]:
    """Run ``tp`` in a folder; return its exit code and what it printed on both ways."""
    server = _start_server()
    assert server.stdin is not None
    assert server.stdout is not None
    with TemporaryDirectory() as printed:
        out, err = Path(printed, "out"), Path(printed, "err")
        asked = [list(arguments), str(folder), dict(environment), str(out), str(err)]
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline()), out.read_text(), err.read_text()


@cache
def _start_server() -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", __name__]
    environment = {**os.environ, "COLUMNS": WIDTH}  # asked for when consoles are made
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)
    atexit.register(server.communicate)
    return server


def serve(asked: IO[str], told: IO[str]) -> None:
    """Fork a process for each line; in that process, run its command and end."""
    while line := asked.readline():
        pid = os.fork()
        if pid == 0:
            _become(*json.loads(line))
            main()
            return
        _, status = os.waitpid(pid, 0)
        told.write(f"{os.waitstatus_to_exitcode(status)}\n")
        told.flush()


def _become(
    arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tp", *arguments]
    for number, path in enumerate((os.devnull, out, err)):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
