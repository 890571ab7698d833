"""The README's table of offers is true: each *yes* has a test, and what is ordered arrives."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline.domain.route import Route
from transcription_pipeline_tests.contract.conftest import OpenScene
from transcription_pipeline_tests.contract.offers import OFFERS, PROVIDERS, YES, put_into
from transcription_pipeline_tests.contract.proxy import Proxy
from transcription_pipeline_tests.world import REPOSITORY

TESTS = Path(__file__).parent.parent
ORDER = "test_what_is_ordered_arrives_and_is_paid_once"
OVER_A_SOCKET = (
    "Emulator",
    "FaultServer",
    "WireClient",
    "Scene",
    "Server",
    "aai.",
    "_world import",
)
"""Words of a test's module or conftest that only those have which speak to a server."""

Sent = Mapping[str, Any]
_EXTRA: Mapping[str, Mapping[str, Sent]] = {
    "assemblyai": {
        "part of a recording": {"audio_start_from": 1_000, "audio_end_at": 5_000},
        "least share of speech": {"speech_threshold": 0.1},
        "several languages": {"language_code": "en", "language_codes": ["en", "es"]},
        "prompt": {"prompt": "a call", "speech_models": ["universal-3-5-pro"]},
        "custom spelling": {"custom_spelling": [{"from": ["dag ster"], "to": "Dagster"}]},
        "disfluencies kept": {"disfluencies": True},
        "profanity filter": {"filter_profanity": True},
        "chapters": {"auto_chapters": True},
        "topics": {"iab_categories": True},
        "content safety": {"content_safety": True},
    },
    "plaud": {
        "voice activity filter": {"decode_silence": True},
        "voice embeddings": {"return_embedding": True},
    },
}
"""What has no common option: it is named as the service names it, and sent like that."""
_COMMON: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Sent]]] = {
    "choice of language": (
        {"language": "de"},
        {
            "assemblyai": {"language_code": "de"},
            "scriptivox": {"language": "de"},
            "aitronos": {"language": "de"},
            "plaud": {"language": "de"},
        },
    ),
    "language detection": (
        {"language": "auto"},
        {
            "assemblyai": {"language_detection": True},
            "scriptivox": {},  # what is left out is detected
            "aitronos": {"language": "en"},  # which means the same there
            "plaud": {"language": "auto"},
        },
    ),
    "choice of model": (
        {},
        {
            "assemblyai": {"speech_models": ["universal-2"]},
            "plaud": {"model": "plaud-fast-whisper"},
        },
    ),
    "key terms": (
        {"keyterms": ["Dagster", "Parquet"]},
        {
            "assemblyai": {"keyterms_prompt": ["Dagster", "Parquet"]},
            "plaud": {"hotwords": "Dagster,Parquet"},
        },
    ),
    "speakers": (
        {"diarize": True},
        {
            "assemblyai": {"speaker_labels": True},
            "scriptivox": {"diarize": True},
            "plaud": {"enabled": True},
        },
    ),
    "expected count of speakers": (
        {"diarize": True, "speakers_expected": 2},
        {
            "assemblyai": {"speakers_expected": 2},
            "scriptivox": {"speaker_count": 2},
            "aitronos": {"speakers_expected_count": 2},
        },
    ),
    "channels": ({"multichannel": True}, {"assemblyai": {"multichannel": True}}),
    "PII redaction": (
        {"redact_pii": ["email"]},
        {"aitronos": {"pii_redaction_enabled": True, "pii_policies": ["email"]}},
    ),
}
"""Common options, and the fields they become."""
_MODELS = {"assemblyai": "universal-2", "plaud": "plaud-fast-whisper"}

CELLS = [
    pytest.param(provider, offer, id=f"{provider}: {offer}")
    for offer, cells in OFFERS.items()
    for provider in PROVIDERS
    if (cells[provider][1] or "").endswith(ORDER)
]


def _find_order(provider: str, offer: str) -> tuple[Route, Sent]:
    """Return the route that orders something, and the fields that must be sent for it."""
    extra: Sent = {}
    if offer in _COMMON:
        options, sent = dict(_COMMON[offer][0]), _COMMON[offer][1][provider]
        if offer == "choice of model":
            options["model"] = _MODELS[provider]
    else:
        options, sent = {}, _EXTRA[provider][offer]
        extra = {provider: dict(sent)}
        if offer == "voice embeddings":
            options["diarize"] = True
    return Route("**", (provider,), options=options, extra=extra), sent


@pytest.mark.parametrize(("provider", "offer"), CELLS)
def test_what_is_ordered_arrives_and_is_paid_once(
    new_scene: OpenScene, provider: str, offer: str
) -> None:
    """The option is in the one body that was sent, and its recording is in the tables."""
    scene = new_scene(provider)
    route, sent = _find_order(provider, offer)
    scene.tools = replace(scene.tools, routes=(route,))
    with Proxy(scene.emulator) as proxy:
        scene.use(base_url=proxy.base_url)
        scene.put(["a.wav"])
        scene.run()
    assert scene.write().published == 1, scene.jobs()
    (body,) = proxy.asked["submit"]
    fields = _flatten(json.loads(body))
    assert fields | sent == fields
    assert len(scene.emulator.invoice()) == 1


def _flatten(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of all sections, whatever section they stand in."""
    fields = dict(value)
    for inner in value.values():
        if isinstance(inner, dict):
            fields |= _flatten(inner)
    return fields


@pytest.mark.parametrize(("provider", "region"), [("assemblyai", "eu"), ("plaud", "jp")])
def test_the_region_is_kept_with_the_attempt(
    new_scene: OpenScene, provider: str, region: str
) -> None:
    """A job says where it was done."""
    scene = new_scene(provider)
    if provider == "plaud":
        scene.emulator.configure(region=region)
    scene.use(region=region)
    scene.put(["a.wav"])
    scene.run()
    assert scene.write().published == 1
    assert [job["region"] for job in scene.jobs().values()] == [region]


@cache
def _read(file: Path) -> tuple[set[str], str]:
    """Return the names of a module's tests, and its text with that of the conftest beside it."""
    text = file.read_text("utf-8")
    names = {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}
    beside = file.with_name("conftest.py")
    return names, text + (beside.read_text("utf-8") if beside.exists() else "")


@pytest.mark.parametrize("offer", OFFERS)
def test_every_yes_has_a_test_over_a_socket(offer: str) -> None:
    """What is claimed is shown; only the recogniser is not asked over a socket."""
    for provider, (answer, test_id) in OFFERS[offer].items():
        assert (answer == YES) == (test_id is not None)
        if test_id is None:
            continue
        file, _, name = test_id.partition("::")
        names, text = _read(TESTS / file)
        assert name.partition("[")[0] in names, test_id
        assert provider == "local" or any(word in text for word in OVER_A_SOCKET), test_id


def test_the_readme_says_the_same() -> None:
    """Its table is made of ``offers.py`` and of nothing else."""
    text = (REPOSITORY / "README.md").read_text("utf-8")
    assert put_into(text) == text
