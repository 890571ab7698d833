"""Commands that check or serve: doctor, emulate and webhooks.

``doctor`` makes free calls only; ``emulate`` runs the emulated service, which keeps its own books.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from transcription_pipeline.cli.output import (
    OK,
    SOMETHING_FAILED,
    console,
    json_option,
    print_json,
    reports_errors,
)
from transcription_pipeline.composition import (
    build_audio_store,
    build_lake,
    build_provider_factories,
    build_routes,
    open_ledger,
)
from transcription_pipeline.errors import ConfigurationError, TranscriptionPipelineError
from transcription_pipeline.providers.webhooks import READERS
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.layout import parse_s3_uri

Finding = tuple[str, bool, str]
"""(what was checked, whether it is well, what was found or how to mend it)."""


@click.command()
@json_option
@reports_errors
def doctor(as_json: bool) -> int:
    """Check configuration, ledger, bucket, lake and providers, with free calls only."""
    findings = list(_examine())
    if as_json:
        print_json([{"check": w, "ok": ok, "found": found} for w, ok, found in findings])
    else:
        for what, is_well, found in findings:
            mark = "[green]ok [/green]" if is_well else "[red]bad[/red]"
            console.print(mark, f"{what}: {found}".replace("[", r"\["))
    return OK if all(is_well for _, is_well, _ in findings) else SOMETHING_FAILED


@click.command()
@click.argument("provider")
@click.option("--port", default=0, show_default=True, help="0 takes any free port.")
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
@click.option("--port", default=19520, show_default=True, help="0 takes any free port.")
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
    ledger = open_ledger(settings)
    try:
        serve(ledger, secrets, host, port, say=console.print)
    finally:
        ledger.close()
    return OK


def _examine() -> Iterator[Finding]:
    yield "python", sys.version_info[:2] == (3, 11), f"{platform.python_version()} (3.11 is needed)"
    try:
        settings = Settings.load()
        build_routes(settings)
    except ConfigurationError as error:
        for problem in error.problems:
            yield "configuration", False, problem
        return
    yield "configuration", True, f"routes to {', '.join(settings.enabled_providers)}"
    yield _attempt("ledger", lambda: _look_at_ledger(settings))
    yield _attempt("audio bucket", lambda: _look_at_bucket(settings))
    yield _attempt("lake", lambda: _look_at_lake(settings))
    factories = build_provider_factories(settings)
    for name in settings.enabled_providers:
        yield _attempt(name, lambda name=name: asyncio.run(_greet(factories[name])))  # type: ignore[misc]


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    try:
        return what, True, look()
    except TranscriptionPipelineError as error:
        return what, False, str(error)


def _look_at_ledger(settings: Settings) -> str:
    ledger = open_ledger(settings)
    try:
        return f"{ledger.count_states()['recordings']} recordings"
    finally:
        ledger.close()


def _look_at_bucket(settings: Settings) -> str:
    page = build_audio_store(settings).list_page(
        parse_s3_uri(settings.storage.audio, "storage.audio").prefix
    )
    more = " or more" if page.next_token else ""
    return f"{settings.storage.audio} answers, {len(page.objects)}{more} objects"


def _look_at_lake(settings: Settings) -> str:
    lake = build_lake(settings)
    lake.put("probe/doctor", b"written by doctor")
    lake.delete("probe/doctor")
    return f"{lake.root_uri} can be written"


async def _greet(open_provider: Callable[[], Any]) -> str:
    provider = open_provider()
    try:
        if not provider.capabilities.has_list:
            return "ready" if provider.capabilities.is_free else "configured, not contacted"
        await provider.survey([])
        return "credentials accepted, the list answers"
    finally:
        await provider.aclose()
