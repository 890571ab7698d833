"""One emulator per paid service for the whole suite, and an empty world around one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.engine.scenes import LocalScene, open_scene, run_emulator
from transcription_pipeline_tests.s3_servers import S3Server

OpenScene = Callable[..., Scene]


@pytest.fixture(scope="package")
def emulators() -> Iterator[Callable[[str], Any]]:
    """Give each provider's emulator with its first settings; it starts when it is first wanted."""
    with ExitStack() as stack:

        @cache
        def get(provider: str) -> tuple[Any, dict[str, Any]]:
            server = stack.enter_context(run_emulator(provider))
            return server, server.control("settings")

        yield get


@pytest.fixture
def new_scene(
    emulators: Callable[[str], Any], ministack: S3Server, tmp_path: Path
) -> Iterator[OpenScene]:
    """Open empty worlds around a provider; signed URLs die there as they say."""
    with ExitStack() as stack:

        def build(provider: str, **client: Any) -> Scene:
            if provider == "local":
                spool = tmp_path / "spool"
                scene = LocalScene.build(None, ministack, tmp_path, spool=spool)
                scene.spool = spool
                stack.callback(scene.tools.ledger.close)
                return scene
            server, settings = emulators(provider)
            opened: Scene = stack.enter_context(
                open_scene(server, settings, ministack, tmp_path, **client)
            )
            return opened

        yield build
