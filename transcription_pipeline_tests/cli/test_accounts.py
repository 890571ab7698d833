"""``tp doctor`` and ``tp cost`` about the accounts: free calls, one line each, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.world import SECRET, World

ACCOUNTS = {
    "aitronos": {"AITRONOS_API_KEY": SECRET, "AITRONOS_ORGANIZATION_ID": "org_cli"},
    "scriptivox": {"SCRIPTIVOX_API_KEY": SECRET},
    "plaud": {
        "PLAUD_CLIENT_ID": "cli",
        "PLAUD_SECRET_KEY": f"{SECRET}-secret",
        "PLAUD_API_KEY": f"{SECRET}-api",
        "PLAUD_USER_ID": "cli-user",
    },
}
ALL = ("aitronos", "assemblyai", "local", "plaud", "scriptivox")


@pytest.fixture
def services(world: World) -> Iterator[dict[str, EmulatorServer]]:
    """Every service, with a route and credentials for each."""
    with ExitStack() as stack:
        found = {"assemblyai": world.emulator}
        for name, secrets in ACCOUNTS.items():
            found[name] = stack.enter_context(EmulatorServer(name))
            variable = f"TRANSCRIPTION__PROVIDERS__{name.upper()}__BASE_URL"
            world.environment |= {variable: found[name].base_url, **secrets}
        routes = [{"match": "**", "providers": list(ALL)}]
        world.environment["TRANSCRIPTION__ROUTES"] = json.dumps(routes)
        yield found


def _findings(world: World, code: int) -> dict[str, tuple[bool, str]]:
    told = {f["check"]: (f["ok"], f["found"]) for f in world.json("doctor", code=code)}
    return {name: told[name] for name in ALL}


def test_five_accounts_are_well(world: World, services: dict[str, EmulatorServer]) -> None:
    """Each is asked, nothing is paid for, and no secret is printed."""
    found = _findings(world, 0)
    assert all(is_well for is_well, _ in found.values())
    assert "USD available" in found["scriptivox"][1]
    assert SECRET not in str(found)
    for service in services.values():
        assert service.invoice() == []
        assert "submit" not in service.request_counts()


def test_each_trouble_is_one_line_with_its_mend(
    world: World, services: dict[str, EmulatorServer]
) -> None:
    """A refused key, an empty account, a key that is not set, and a service that is down."""
    services["assemblyai"].set_faults({"action": "status", "status": 401})
    services["scriptivox"].configure(balance_cents=0.0)
    world.environment.pop("AITRONOS_API_KEY")
    world.environment["TRANSCRIPTION__PROVIDERS__PLAUD__BASE_URL"] = "http://127.0.0.1:9"
    found = _findings(world, 1)
    assert [name for name, (is_well, _) in found.items() if is_well] == ["local"]
    assert "check ASSEMBLYAI_API_KEY" in found["assemblyai"][1]
    assert "top the account up" in found["scriptivox"][1]
    assert "AITRONOS_API_KEY is not set: put it into the environment" in found["aitronos"][1]
    assert "providers.plaud.base_url" in found["plaud"][1]
    assert not any("\n" in told for _, told in found.values())


def test_the_credit_that_is_left(world: World, services: dict[str, EmulatorServer]) -> None:
    """``cost`` tells what a provider says may still be spent, or that it does not say now."""
    assert "credit at scriptivox: 10000.00 USD" in world.tp("cost")
    services["scriptivox"].set_faults({"action": "status", "status": 401})
    assert "credit at scriptivox: not told now" in world.tp("cost")
