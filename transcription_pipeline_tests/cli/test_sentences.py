"""What is odd or wrong ends with a sentence and an exit code, never with a stack trace."""

from __future__ import annotations

import socket

import pytest

from transcription_pipeline_tests.world import World

KEY = r"a\[/]b [red] :phone: [/.mp3"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("", "no statement"),
        (" ; ", "no statement"),
        ("select interval 2000000000 days", "a value cannot be shown"),
        ("select interval 2000000000 months", "a value cannot be shown"),
    ],
)
def test_a_query_without_an_answer(finished: World, sql: str, told: str) -> None:
    """Nothing to run, and values that Python has no object for, are usage errors."""
    said = finished.tp("query", sql, code=2)
    assert told in said
    assert "Traceback" not in said


def test_nothing_is_markup(world: World) -> None:
    """Names of columns, keys and values are shown as they are, whatever they look like."""
    world.put("text.mp3", KEY)
    world.tp("run")
    for command in (["jobs"], ["show", f"inbox/{KEY}"]):
        assert KEY in world.tp(*command, COLUMNS="400")
    said = world.tp("query", "select regexp_replace(key, '[/]', '_') from recordings")
    assert "regexp_replace(\"key\", '[/]', '_')" in said
    assert f"inbox_{KEY}" in said
    odd = f"s3://{world.bucket}/in[red]/"
    assert f"{odd} answers" in world.tp("doctor", TRANSCRIPTION__STORAGE__AUDIO=odd)


def test_a_state_that_is_none(finished: World) -> None:
    """A mistyped state is not an empty list."""
    said = finished.tp("jobs", "--state", "hold", code=2)
    assert "'held'" in said
    assert finished.json("jobs", "--state", "held") == []


def test_a_port_that_cannot_be_had(world: World) -> None:
    """The receiver says which address it wanted and why it has it not."""
    secret = {"TRANSCRIPTION_WEBHOOK_SECRET": "canary-hook-secret"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = world.tp("webhooks", "--port", port, code=2, **secret)
    assert f"--port {port}" in said
    assert "in use" in said
    assert "0<=x<=65535" in world.tp("webhooks", "--port", "70000", code=2, **secret)
    said = world.tp("webhooks", "--host", "nowhere.invalid", code=2, **secret)
    assert "configuration: --host nowhere.invalid" in said


def test_a_ledger_that_cannot_be_opened(world: World) -> None:
    """A folder that cannot be made, and a URL whose password breaks it, of which nothing is told."""
    (world.folder / "file").write_bytes(b"")
    url = f"sqlite:///{world.folder}/file/ledger.db"
    said = world.tp("status", code=1, TRANSCRIPTION__LEDGER__URL=url)
    assert f"LedgerError: the ledger's folder {world.folder}/file" in said.replace("\n", " ")
    url = "postgresql://ada:pass@w:canary-word@db/ledger"
    said = world.tp("status", code=2, TRANSCRIPTION__LEDGER__URL=url)
    assert "configuration: ledger.url: not a database URL" in said
    assert "canary" not in said
