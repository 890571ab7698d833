"""The small world of ``scene.py`` around each provider, and the emulator that belongs into it.

Clients keep to no rate and emulators work in a twentieth of a second, so that a test waits for
nothing but what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from transcription_pipeline import pipeline
from transcription_pipeline.domain.route import Route
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.providers.aitronos import AitronosProvider
from transcription_pipeline.providers.base import AudioDelivery, Provider
from transcription_pipeline.providers.local import LocalProvider
from transcription_pipeline.providers.plaud import PlaudProvider
from transcription_pipeline.providers.scriptivox import ScriptivoxProvider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.audio.sample_set import FOLDER
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server

FAST = 2_000.0
"""Requests a second: no limit."""
PLAUD_DEADLINE_S = 3_600.0
PLAUD_CHUNK_BYTES = 2_000


class AitronosScene(Scene):
    """One small world around an emulated Aitronos."""

    provider: ClassVar[str] = "aitronos"

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of clients that keep to no rate and look at any time."""
        settings: Mapping[str, Any] = {
            "api_key": "engine-key",
            "organization_id": "org_engine",
            "base_url": base_url,
            "requests_per_s": FAST,
            "concurrency": 50,
            "look_s": 0.0,
            "sentences_limit": 2,
            "patience": Patience(retry_wait_s=0.01),
            **arguments,
        }
        return lambda: AitronosProvider(**settings)


class ScriptivoxScene(Scene):
    """One small world around an emulated Scriptivox."""

    provider: ClassVar[str] = "scriptivox"

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of clients that keep to no rate."""
        settings: Mapping[str, Any] = {
            "api_key": "engine-key",
            "base_url": base_url,
            "submits_per_s": FAST,
            "looks_per_s": FAST,
            "lists_per_s": FAST,
            "concurrency": 50,
            "patience": Patience(retry_wait_s=0.01),
            **arguments,
        }
        return lambda: ScriptivoxProvider(**settings)

    def wish(self, **options: Any) -> None:
        """Route what is discovered from now on with other options."""
        self.tools = replace(
            self.tools, routes=(Route(match="**", providers=(self.provider,), options=options),)
        )

    def use_upload(self) -> None:
        """Hand bytes over instead of URLs."""
        self.use(delivery=AudioDelivery.UPLOAD)


class PlaudScene(Scene):
    """One small world around an emulated Plaud."""

    provider: ClassVar[str] = "plaud"

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of clients that keep to no rate."""
        settings: Mapping[str, Any] = {
            "client_id": "engine",
            "secret_key": "engine-secret",
            "api_key": "engine-key",
            "user_id": "engine-user",
            "base_url": base_url,
            "requests_per_s": FAST,
            "tokens_per_s": FAST,
            "deadline_s": PLAUD_DEADLINE_S,
            "patience": Patience(retry_wait_s=0.01),
            **arguments,
        }
        return lambda: PlaudProvider(**settings)

    def put_file(self, key: str, name: str) -> None:
        """Drop one of the sample recordings into the bucket and discover it."""
        self.tools.audio.put(key, (FOLDER / name).read_bytes())
        pipeline.discover(self.tools)

    def count_charges(self) -> int:
        """Count the charged jobs, none of which may be charged twice."""
        lines = self.emulator.invoice()
        assert len({line["provider_job_id"] for line in lines}) == len(lines)
        return len(lines)


class LocalScene(Scene):
    """One small world around the recogniser, which has no emulator; it needs a ``spool``."""

    provider: ClassVar[str] = "local"

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of recognisers with one process."""
        del base_url
        return lambda: LocalProvider(spool=arguments["spool"], process_count=1)


SCENES: Mapping[str, type[Scene]] = {
    "aitronos": AitronosScene,
    "assemblyai": Scene,
    "local": LocalScene,
    "plaud": PlaudScene,
    "scriptivox": ScriptivoxScene,
}
PAID = tuple(name for name in SCENES if name != "local")
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "aitronos": {"refresh_s": 0.0},
    "assemblyai": {},
    "plaud": {"chunk_bytes": PLAUD_CHUNK_BYTES, "requests_per_min": 0, "tokens_per_min": 0},
    "scriptivox": {"limit_factor": 0.0},
}


@contextmanager
def run_emulator(provider: str) -> Iterator[EmulatorServer]:
    """Run one provider's emulator without limits per minute until the end of the block."""
    settings = _SETTINGS[provider]
    with EmulatorServer(provider, job_s=0.05, audio_s=30.0, word_count=40, **settings) as server:
        yield server


@contextmanager
def open_scene(
    emulator: EmulatorServer,
    settings: Mapping[str, Any],
    s3: S3Server,
    folder: Path,
    **provider: Any,
) -> Iterator[Any]:
    """Open an empty world around an emulator, which forgets all and has its ``settings`` again."""
    emulator.reset()
    emulator.configure(**settings)
    scene = SCENES[emulator.name].build(emulator, s3, folder, **provider)
    yield scene
    scene.tools.ledger.close()
