"""Two S3 servers on loopback: ministack as a child process, moto in a thread."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from transcription_pipeline.storage.s3 import open_s3_client

_STARTUP_S = 30.0


@dataclass
class S3Server:
    """One running server and its address."""

    name: str
    endpoint_url: str
    verifies_signatures: bool
    """False where a forged signed URL is served all the same."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def open_client(self) -> Any:
        """Return a client as the product makes it."""
        return open_s3_client(self.endpoint_url)

    def create_bucket(self) -> str:
        """Create a new bucket and return its name."""
        bucket = f"bucket-{next(self._numbers)}"
        self.open_client().create_bucket(Bucket=bucket)
        return bucket


def find_free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def run_ministack(folder: Path) -> Iterator[S3Server]:
    """Run ministack until the end of the block, its files below ``folder``."""
    port = find_free_port()
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",  # its default is every interface
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3,sqs",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "AUTH": "true",
        "LOG_LEVEL": "WARNING",
    }
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_open(port, child, folder / "log")
        yield S3Server("ministack", f"http://127.0.0.1:{port}", verifies_signatures=True)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@contextmanager
def run_moto() -> Iterator[S3Server]:
    """Run moto until the end of the block."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server("moto", f"http://{host}:{port}", verifies_signatures=False)
    finally:
        server.stop()


def _wait_until_open(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + _STARTUP_S
    while time.monotonic() < give_up_at:
        if child.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"ministack did not start: {log.read_text(errors='replace')[-2000:]}")
