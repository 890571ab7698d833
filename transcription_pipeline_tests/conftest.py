"""What every test may rely on: a clean environment, loopback only, and real servers on request."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

from transcription_pipeline_tests.postgres import PostgresServer, run_postgres
from transcription_pipeline_tests.s3_servers import S3Server, run_ministack, run_moto

# A loaded machine is slow, not wrong: what is generated is bounded by the number of examples.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

_OUTSIDE = ("AWS_", "TRANSCRIPTION", "PLAUD_", "SCRIPTIVOX_", "ASSEMBLYAI_", "AITRONOS_", "PG")
for _name in list(os.environ):
    if _name.startswith(_OUTSIDE) or _name.lower().endswith("_proxy"):
        del os.environ[_name]
os.environ |= {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

_OURSELVES = {"", "localhost", socket.gethostname()}


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host is None or host in _OURSELVES:
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _stay_home(event: str, args: tuple[Any, ...]) -> None:
    # An audit hook sees every Python socket of the process and cannot be forgotten by a test.
    if event == "socket.getaddrinfo" and not _is_loopback(args[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"tests look up no outside name: {args[0]!r}")
    if event in {"socket.connect", "socket.sendto"}:
        address = args[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise PermissionError(f"tests stay on loopback: {address[0]!r}")


sys.addaudithook(_stay_home)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under ``REQUIRE_ALL=1`` count a skipped test as failed: a full run leaves nothing out."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason} (REQUIRE_ALL=1 allows no skips)"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that nobody waits for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One throwaway PostgreSQL cluster for the session."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database of that cluster."""
    return postgres_server.create_database()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The S3 server of the demo, as a child process."""
    with run_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """A second S3 implementation, in a thread: where they agree nothing is an accident."""
    with run_moto() as server:
        yield server


@pytest.fixture(scope="session", params=["ministack", "moto"])
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    """Each S3 server in turn."""
    server: S3Server = request.getfixturevalue(request.param)
    return server
