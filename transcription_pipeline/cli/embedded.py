"""The outside world on this machine: an S3 server and emulated providers, on loopback.

What belongs here: starting, waiting for and stopping child processes, and the environment that
points the pipeline at them. ``tp demo`` and ``tp ui`` use it; nothing else does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from transcription_pipeline.errors import ConfigurationError, TranscriptionPipelineError
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.layout import parse_s3_uri
from transcription_pipeline.storage.s3 import ensure_bucket_with_events

# The emulators take any credentials; a real one must not reach a log by way of them. What limits an
# account out there is lifted here on both sides: nobody waits a minute to see a demo.
_ACCOUNT = "TRANSCRIPTION__PROVIDERS__"
EMULATED: Mapping[str, tuple[Mapping[str, str], Sequence[str]]] = {
    "assemblyai": ({"ASSEMBLYAI_API_KEY": "emulated"}, ()),
    "scriptivox": (
        {
            "SCRIPTIVOX_API_KEY": "emulated",
            f"{_ACCOUNT}SCRIPTIVOX__SUBMITS_PER_S": "20",
            f"{_ACCOUNT}SCRIPTIVOX__LOOKS_PER_S": "20",
            f"{_ACCOUNT}SCRIPTIVOX__POLL_INTERVAL_S": "0.5",
        },
        ("limit_factor=0",),
    ),
    "aitronos": (
        {
            "AITRONOS_API_KEY": "emulated",
            "AITRONOS_ORGANIZATION_ID": "org_emulated",
            f"{_ACCOUNT}AITRONOS__REQUESTS_PER_S": "20",
            f"{_ACCOUNT}AITRONOS__LOOK_S": "1",
            f"{_ACCOUNT}AITRONOS__POLL_INTERVAL_S": "0.5",
        },
        ("refresh_s=1",),
    ),
    "plaud": (
        {
            "PLAUD_CLIENT_ID": "emulated",
            "PLAUD_SECRET_KEY": "emulated-secret",
            "PLAUD_API_KEY": "emulated-key",
            "PLAUD_USER_ID": "emulated-user",
            f"{_ACCOUNT}PLAUD__REQUESTS_PER_S": "20",
            f"{_ACCOUNT}PLAUD__POLL_INTERVAL_S": "0.5",
        },
        ("requests_per_min=0",),
    ),
}
"""Provider → variables that open its emulator, and settings of the emulator."""
START_S = 30.0
STOP_S = 10.0
QUEUE = "recordings-created"
# The embedded server's own credentials; they open nothing but it.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}


@dataclass(frozen=True)
class Embedded:
    """The running outside world."""

    environment: Mapping[str, str]
    """For child processes: everything points at the embedded services."""
    settings: Settings
    endpoint_url: str
    emulator_urls: Mapping[str, str]


@contextmanager
def run_embedded(var: Path) -> Iterator[Embedded]:
    """Start the S3 server and the emulators, make bucket and queue, stop all at the end.

    Data lives below ``var``. The configured ports are taken when free, others when not.
    """
    settings = Settings.load()
    var.mkdir(parents=True, exist_ok=True)
    _set_environment({**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true"})
    with ExitStack() as stack:
        endpoint_url = stack.enter_context(_run_s3(var, _port_of(settings.storage.endpoint_url)))
        changed = {"TRANSCRIPTION__STORAGE__ENDPOINT_URL": endpoint_url}
        urls = {}
        for name, (variables, emulator) in EMULATED.items():
            wanted = _port_of(getattr(settings.providers, name).base_url)
            urls[name] = stack.enter_context(_run_emulator(name, var, wanted, emulator))
            changed[f"TRANSCRIPTION__PROVIDERS__{name.upper()}__BASE_URL"] = urls[name]
            changed |= variables
        _set_environment(changed)
        address = parse_s3_uri(settings.storage.audio, "storage.audio")
        ensure_bucket_with_events(endpoint_url, settings.storage.region, address, QUEUE)
        yield Embedded(dict(os.environ), Settings.load(), endpoint_url, urls)


def _set_environment(values: Mapping[str, str]) -> None:
    # For this process and its children alike: commands below see one world.
    os.environ.update(values)


@contextmanager
def _run_s3(var: Path, wanted_port: int) -> Iterator[str]:
    port = _free_port(wanted_port)
    data = var.resolve() / "s3"
    environment = {
        **os.environ,
        **CREDENTIALS,
        "BIND_HOST": "127.0.0.1",  # its default is every interface
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3,sqs",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "AUTH": "true",
        "LOG_LEVEL": "WARNING",
    }
    (var / "logs").mkdir(exist_ok=True)
    with (var / "logs" / "s3.log").open("ab") as log:
        command = [str(Path(sys.executable).parent / "ministack")]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        with _stopped_at_the_end(process):
            _wait_for(port, process, "the embedded S3 server")
            yield f"http://127.0.0.1:{port}"


@contextmanager
def _run_emulator(name: str, var: Path, wanted_port: int, settings: Sequence[str]) -> Iterator[str]:
    state = var.resolve() / "emulators" / f"{name}.jsonl"
    state.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "transcription_pipeline", "emulate", name, "--json"]
    command += ["--port", str(_free_port(wanted_port)), "--state", str(state)]
    heard = f"heard={state.parent / 'heard'}"
    for pair in (heard, f"workers={os.cpu_count() or 1}", *settings):
        command += ["--setting", pair]
    with (var / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        with _stopped_at_the_end(process):
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise TranscriptionPipelineError(
                    f"the {name} emulator did not start; see {var}/logs/{name}.log"
                )
            yield str(json.loads(line)["base_url"])


@contextmanager
def _stopped_at_the_end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        stop_all([process])


def stop_all(processes: Sequence[subprocess.Popen[bytes] | subprocess.Popen[str]]) -> None:
    """Ask processes to end, and end those that take too long over it."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    if parts.hostname != "127.0.0.1" or not parts.port:
        raise ConfigurationError(
            f"{url or 'no address'}: the embedded services need http://127.0.0.1:PORT in "
            "storage.endpoint_url and in providers.*.base_url; this configuration is for others"
        )
    return parts.port


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError("no free port on 127.0.0.1")


def _wait_for(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TranscriptionPipelineError(f"{what} did not start on port {port}")
