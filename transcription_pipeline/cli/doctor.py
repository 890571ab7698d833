"""``tp doctor``: whether everything outside can be reached and would do its part; free calls only.

One line each: what was looked at, whether it is well, and what was found or how to mend it.
"""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Callable, Iterator

import click
from rich.text import Text

from transcription_pipeline.cli.output import (
    OK,
    SOMETHING_FAILED,
    console,
    json_option,
    print_json,
    reports_errors,
)
from transcription_pipeline.composition import (
    REGISTRY,
    build_audio_store,
    build_lake,
    build_provider_factories,
    build_routes,
    open_ledger,
)
from transcription_pipeline.engine.claim import Claim
from transcription_pipeline.errors import (
    AuthenticationFailed,
    ConfigurationError,
    LedgerNotOurs,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    TranscriptionPipelineError,
)
from transcription_pipeline.providers.base import Checkup, Provider
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.layout import parse_s3_uri

CHECKUP_S = 20.0
"""A provider that has not answered by then does not answer."""
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
            mark = Text("ok ", "green") if is_well else Text("bad", "red")
            console.print(mark, f"{what}: {found}")
    return OK if all(is_well for _, is_well, _ in findings) else SOMETHING_FAILED


async def check_provider(open_provider: Callable[[], Provider]) -> Checkup:
    """Ask one provider how it is; raises what opening or asking raises, and ``TimeoutError``."""
    provider = open_provider()
    try:
        async with asyncio.timeout(CHECKUP_S):
            return await provider.check()
    finally:
        await provider.aclose()


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
        yield name, *_look_at_provider(name, factories[name])


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    try:
        return what, True, look()
    except TranscriptionPipelineError as error:
        return what, False, str(error)


def _look_at_ledger(settings: Settings) -> str:
    ledger = open_ledger(settings)
    try:
        objection = Claim(ledger, build_lake(settings)).look().objection
        if objection:
            raise LedgerNotOurs(f"{objection}; if this one is to go on: `tp adopt`")
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


def _look_at_provider(name: str, open_provider: Callable[[], Provider]) -> tuple[bool, str]:
    try:
        checkup = asyncio.run(check_provider(open_provider))
        return checkup.is_well, checkup.found
    except TimeoutError:
        return False, f"no answer within {CHECKUP_S:.0f} s: {_mend_connection(name)}"
    except ConfigurationError as error:
        return False, f"{'; '.join(error.problems)}: put it into the environment"
    except ProviderError as error:
        return False, f"{error}: {_mend(name, error)}"


def _mend(name: str, error: ProviderError) -> str:
    if isinstance(error, AuthenticationFailed):
        variables = ", ".join(secret.upper() for secret in REGISTRY[name].secrets)
        return f"check {variables}, and that they belong to this region and account"
    if isinstance(error, RateLimited):
        return "somebody else uses up this account's requests; ask again later"
    if isinstance(error, ProviderUnavailable):
        return _mend_connection(name)
    return f"is providers.{name}.base_url the service itself?"


def _mend_connection(name: str) -> str:
    return f"check the network, providers.{name}.base_url, and the provider's status page"
