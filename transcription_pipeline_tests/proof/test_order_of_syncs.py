"""What is on disk when: a killed process cannot show it, because the page cache outlives it.

``strace`` writes down every write, sync, rename and socket write of a whole ``tp run`` on one
recording; the order is read from there. Only a power cut would tell otherwise.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import open_world

CALLS = "fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg,rename,link,linkat"
NAMES = {"rename", "link", "linkat"}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]
Call = tuple[str, str, str]
"""Name, path of its file (of what gives a name: the name), all its arguments."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, ministack: S3Server) -> list[Call]:
    """The calls of one run, in the order in which they ended."""
    folder = tmp_path_factory.mktemp("traced")
    trace = folder / "trace"
    tracer = ["strace", "-f", "-qq", "-y", "-o", str(trace), "-e", f"trace={CALLS}"]
    with open_world(folder, ministack) as world:
        world.environment["TRANSCRIPTION__ROUTES"] = (
            '[{"match": "**", "providers": ["assemblyai"]}]'
        )
        world.put("delivery.wav")
        command = [*tracer, sys.executable, "-m", "transcription_pipeline", "run"]
        subprocess.run(
            command, cwd=folder, env=world.environment, check=True, capture_output=True, timeout=240
        )
        assert len(world.emulator.invoice()) == 1
    return list(read_calls(trace))


def read_calls(trace: Path) -> Iterator[Call]:
    """Read what strace wrote; a call that another thread's interrupted counts where it ends."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, told = line.split(maxsplit=1)  # short numbers are padded
        if told.endswith("<unfinished ...>"):
            begun[thread] = told.removesuffix("<unfinished ...>")
            continue
        if told.startswith("<... "):
            told = begun.pop(thread) + told.partition(" resumed>")[2]
        call = re.match(r"(\w+)\((.*)\)\s+= \d", told)
        if call:
            name, arguments = call.groups()
            paths = re.findall(r'"([^"]*)"' if name in NAMES else r"^\d+<([^>]*)>", arguments)
            yield name, paths[-1] if paths else "", arguments


def _is_ledger(path: str) -> bool:
    return path.endswith(("ledger.db", "ledger.db-wal"))


def test_the_ledger_is_on_disk_before_a_paid_request_leaves(calls: list[Call]) -> None:
    """No byte of it is unsynced when the POST goes out, nor when its answer's file is made."""
    unsynced, writes, posts, answers = set[str](), 0, 0, 0
    for name, path, arguments in calls:
        if "POST /v2/transcript" in arguments:
            posts += 1
            assert writes > 0
            assert not unsynced
        if name in NAMES and "/raw/" in path:
            answers += 1
            assert not unsynced
        if not _is_ledger(path):
            continue
        if name in {"write", "pwrite64"}:
            writes += 1
            unsynced.add(path)
        elif name in {"fsync", "fdatasync"}:
            unsynced.discard(path)
    assert (posts, answers) == (1, 1)


def test_a_file_is_on_disk_before_and_its_name_after_the_rename(calls: list[Call]) -> None:
    """Raw answer and tables: the bytes are synced first, then the folder that names them."""
    synced, unnamed, named = set[str](), set[str](), 0
    for name, path, arguments in calls:
        if name == "fsync":
            synced.add(path)
            unnamed.discard(path)
        elif name in NAMES and "/lake/" in path:
            staged = arguments.split('"')[1]
            assert staged in synced
            unnamed.add(str(Path(path).parent))
            named += 1
        elif name == "pwrite64" and _is_ledger(path):
            assert not unnamed  # the ledger speaks of it only afterwards
    assert named >= 8
    assert not unnamed
