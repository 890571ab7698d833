"""From settings to tools: the one place where implementations are chosen.

What belongs here: constructors. What does not: steps (``pipeline.py``) and reading the environment
(``settings.py``). The command line and the Dagster resources both build their tools here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from transcription_pipeline.domain.route import Route
from transcription_pipeline.engine import RunLimits
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.provider_settings import Amount
from transcription_pipeline.providers import aitronos, assemblyai, local, plaud, scriptivox
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress, parse_s3_uri
from transcription_pipeline.storage.objects import ObjectStore
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline.tools import Tools

_FindProblems = Callable[[Mapping[str, Any]], list[str]]


@dataclass(frozen=True)
class ProviderEntry:
    """What there is to know of a provider before one is opened."""

    options: frozenset[str]
    """The common options it can honour."""
    secrets: tuple[str, ...]
    """Its credentials, as named in ``Settings.secrets``."""
    optional_secrets: tuple[str, ...]
    """Credentials that only some options need."""
    tells_credit: bool
    """A free call tells what may still be spent."""
    currency: str | None
    """In which it counts; None where it is free."""
    open: Callable[[Any, Mapping[str, str]], Provider]
    """From its section of ``Settings.providers`` and its credentials to a client."""
    find_problems: _FindProblems
    """What it could not honour of a route's options, beyond their names."""
    find_form: Callable[[Any], tuple[frozenset[str], _FindProblems]] | None
    """``options`` and ``find_problems`` by its section of ``Settings.providers``; None: always those."""


def _find_none(options: Mapping[str, Any]) -> list[str]:
    del options  # whatever it has a field for, it takes any value of
    return []


REGISTRY: Mapping[str, ProviderEntry] = {
    module.NAME: ProviderEntry(
        frozenset(module.OPTIONS),
        module.SECRETS,
        getattr(module, "OPTIONAL_SECRETS", ()),
        getattr(module, "TELLS_CREDIT", False),
        None if module is local else getattr(module, "CURRENCY", "USD"),
        cast(Any, module.open_provider),
        getattr(module, "find_problems", _find_none),
        getattr(module, "find_form", None),
    )
    for module in (aitronos, assemblyai, local, plaud, scriptivox)
}
"""Every provider there is."""


def build_tools(settings: Settings) -> Tools:
    """Open the ledger and describe everything else; nothing is contacted yet.

    Raises ``ConfigurationError`` naming everything that is missing or cannot work.
    """
    routes = build_routes(settings)
    return Tools(
        ledger=open_ledger(settings),
        audio=build_audio_store(settings),
        audio_prefix=parse_s3_uri(settings.storage.audio, "storage.audio").prefix,
        lake=build_lake(settings),
        routes=routes,
        make_provider=build_provider_factories(settings),
        limits={name: build_limits(settings, name) for name in REGISTRY},
        first_day=settings.partitions.start,
    )


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger with the key that seals what it keeps of open requests."""
    key = settings.secrets.transcription_ledger_key
    return Ledger.open(settings.ledger.url, key=key.get_secret_value() if key else None)


def build_audio_store(settings: Settings) -> S3ObjectStore:
    """Describe the watched bucket, all of it: keys of recordings are complete."""
    bucket = parse_s3_uri(settings.storage.audio, "storage.audio").bucket
    return S3ObjectStore(BucketAddress(bucket, ""), make_client=_client_maker(settings))


def build_lake(settings: Settings) -> ObjectStore:
    """Describe the lake: a bucket or a folder."""
    lake = settings.storage.lake
    if "://" in lake:
        address = parse_s3_uri(lake, "storage.lake")
        return S3ObjectStore(address, make_client=_client_maker(settings))
    return FolderStore(Path(lake))


def build_routes(settings: Settings) -> tuple[Route, ...]:
    """Check the routes against what providers can honour.

    An option that a provider cannot honour is never dropped in silence.
    """
    problems = [] if settings.routes else ["routes: none; say which recordings go where"]
    routes = []
    for place, route in enumerate(settings.routes):
        options = route.common_options()
        for name in (*route.providers, *route.fallback):
            if name not in REGISTRY:
                problems.append(f"routes.{place}: provider {name} is not available yet")
                continue
            entry = REGISTRY[name]
            able_to, find_problems = entry.options, entry.find_problems
            if entry.find_form:
                able_to, find_problems = entry.find_form(getattr(settings.providers, name))
            for option in options.keys() - able_to:
                able = sorted(p for p, entry in REGISTRY.items() if option in entry.options)
                problems.append(
                    f"routes.{place}: {name} cannot honour {option}; it works with {able}"
                )
            wishes = {option: options[option] for option in options.keys() & able_to}
            found = find_problems({**wishes, "extra": route.extra.get(cast(Any, name), {})})
            problems += [f"routes.{place}: {name}: {problem}" for problem in found]
            if "webhook" in options:
                lacking = settings.secrets.list_missing(REGISTRY[name].optional_secrets)
                problems += [f"routes.{place}: {name}: webhook needs {one}" for one in lacking]
        routes.append(
            Route(
                match=route.match,
                providers=route.providers,
                fallback=route.fallback,
                options=options,
                extra={str(name): fields for name, fields in route.extra.items()},
                caps_micros={str(name): cap.micros for name, cap in route.per_day.items()},
            )
        )
    for named in _list_amounts(settings):
        problems += _find_currency_problems(*named)
    if problems:
        raise ConfigurationError(*problems)
    return tuple(routes)


def _list_amounts(settings: Settings) -> Iterator[tuple[str, str, Amount]]:
    """Yield every setting that is an amount of what a provider takes, with the provider."""
    for place, route in enumerate(settings.routes):
        for name, cap in route.per_day.items():
            yield f"routes.{place}.per_day.{name}", name, cap
    for name, budget in settings.budgets.items():
        yield f"budgets.{name}.per_day", name, budget.per_day
    for provider in REGISTRY:
        price = getattr(getattr(settings.providers, provider), "price_per_hour", None)
        if price is not None:
            yield f"providers.{provider}.price_per_hour", provider, price


def _find_currency_problems(place: str, provider: str, amount: Amount) -> list[str]:
    """Say why an amount could not be compared with what the provider takes."""
    currency = REGISTRY[provider].currency if provider in REGISTRY else amount.currency
    if currency is None:
        return [f"{place}: {provider} costs nothing"]
    if currency != amount.currency:
        return [f"{place}: {provider} counts in {currency}, this is in {amount.currency}"]
    return []


def build_provider_factories(settings: Settings) -> dict[str, Callable[[], Provider]]:
    """Return a constructor per provider; it raises where credentials are missing."""

    def open_named(name: str) -> Provider:
        entry = REGISTRY[name]
        secrets = settings.secrets.of(entry.secrets, optional=entry.optional_secrets)
        return entry.open(getattr(settings.providers, name), secrets)

    return {name: partial(open_named, name) for name in REGISTRY}


def build_limits(settings: Settings, provider: str) -> RunLimits:
    """Return what bounds a run over one partition of ``provider``."""
    runs = settings.runs
    budget = next((b for name, b in settings.budgets.items() if name == provider), None)
    account = getattr(settings.providers, provider, None)
    return RunLimits(
        window_s=runs.poll_window_s,
        lease_s=runs.lease_s,
        url_expires_s=settings.storage.url_expires_s,
        max_attempts=runs.max_attempts,
        reserve_bytes=runs.reserve_mib << 20,
        poll_interval_s=getattr(account, "poll_interval_s", 0.5),
        cap_micros=budget.per_day.micros if budget else None,
    )


def _client_maker(settings: Settings) -> Callable[[], object]:
    storage = settings.storage
    return lambda: open_s3_client(storage.endpoint_url, storage.region)
