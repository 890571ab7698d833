"""Commands that serve until interrupted: emulate and webhooks.

``emulate`` runs the emulated service, which keeps its own books; ``webhooks`` the receiver.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import click

from transcription_pipeline.cli.output import (
    OK,
    console,
    reports_errors,
)
from transcription_pipeline.composition import (
    open_ledger,
)
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.providers.webhooks import READERS
from transcription_pipeline.settings import Settings

PORT = click.IntRange(0, 65_535)


@click.command()
@click.argument("provider")
@click.option("--port", type=PORT, default=0, show_default=True, help="0 takes any free port.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Keep jobs and invoice in this file."
)
@click.option("--setting", "-s", "pairs", multiple=True, metavar="NAME=VALUE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready.")
@reports_errors
def emulate(
    provider: str, port: int, state: Path | None, pairs: tuple[str, ...], as_json: bool
) -> int:
    """Run the emulator of PROVIDER on loopback until interrupted."""
    from transcription_pipeline.emulators.server import serve

    settings = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise ConfigurationError(f"--setting {pair}: write NAME=VALUE")
        settings[name] = value
    # Recognition is the default for people; tests that want speed ask for scripted speech.
    serve(
        provider,
        port=port,
        json_output=as_json,
        state=state,
        settings={"speech": "recognised", **settings},
    )
    return OK


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=19520, show_default=True, help="0 takes any free port.")
@reports_errors
def webhooks(host: str, port: int) -> int:
    """Receive webhooks until interrupted: each is kept, and its job is looked at at once.

    Plain HTTP: put a proxy with TLS in front, and its address into a route's `webhook`.
    """
    from transcription_pipeline.webhooks import serve

    settings = Settings.load()
    secrets = {
        provider: found[name]
        for provider, (name, _) in READERS.items()
        if (found := settings.secrets.of((), optional=[name]))
    }
    if not secrets:
        names = sorted({name.upper() for name, _ in READERS.values()})
        raise ConfigurationError(f"none of {', '.join(names)} is set: no delivery could be proved")
    # Being stopped is how it ends.
    with closing(open_ledger(settings)) as ledger, suppress(KeyboardInterrupt):
        serve(ledger, secrets, host, port, say=console.print)
    return OK
