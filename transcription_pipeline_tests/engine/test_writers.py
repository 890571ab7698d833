"""Two writers of the same tables, the first of which sleeps in the middle: nothing comes to harm."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.errors import LeaseLost
from transcription_pipeline.providers.base import Provider
from transcription_pipeline.publishing import WRITE_LEASE_S
from transcription_pipeline.storage.layout import BucketAddress, make_table_key
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline.tables import parquet
from transcription_pipeline.tables.schema import TABLES
from transcription_pipeline_tests.engine.scene import Scene
from transcription_pipeline_tests.s3_servers import S3Server


class Sleeper:
    """Makes the scene's writer sleep once at a place, and says what happens meanwhile.

    After reading the tables and an answer a writer asks its provider what that cost; before a PUT
    everything is checked and the request about to leave.
    """

    def __init__(self, scene: Scene, moto: S3Server, place: str) -> None:
        self._scene = scene
        self._meanwhile: list[Callable[[], object]] = []
        if place == "after reading":
            self._make = scene.tools.make_provider[scene.provider]
            scene.tools = replace(scene.tools, make_provider={scene.provider: self._make_provider})
        else:
            client = moto.open_client()
            client.meta.events.register("before-send.s3.PutObject", self._before_send)
            address = BucketAddress(moto.create_bucket(), "lake/")
            lake = S3ObjectStore(address, make_client=lambda: client)
            scene.tools = replace(scene.tools, lake=lake)

    def sleep(self, meanwhile: Callable[[], object]) -> None:
        """Let the next writer that comes to the place sleep past its lease."""
        self._meanwhile.append(meanwhile)

    def _come_by(self) -> None:
        if self._meanwhile:
            meanwhile = self._meanwhile.pop()
            self._scene.pass_time(WRITE_LEASE_S + 1)
            meanwhile()

    def _make_provider(self) -> Provider:
        client = self._make()
        price = client.price

        def sleep_and_price(*arguments: Any, **named: Any) -> Any:
            self._come_by()
            return price(*arguments, **named)

        client.price = sleep_and_price  # type: ignore[method-assign]
        return client

    def _before_send(self, **_: Any) -> None:
        self._come_by()


@pytest.fixture(params=["after reading", "before a PUT"])
def sleeper(request: pytest.FixtureRequest, scene: Scene, moto: S3Server) -> Sleeper:
    """A writer that sleeps at each place."""
    return Sleeper(scene, moto, request.param)


def read_keys(scene: Scene, table: str, provider: str | None = None) -> set[str]:
    """Return whose rows stand in a table."""
    file = scene.tools.lake.get(make_table_key(table, scene.day, provider))
    rows = parquet.read_table(TABLES[table], file)
    return {scene.keys[named] for named in rows.column("recording_id").to_pylist()}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_rebuild", [True, False])
def test_what_another_published_meanwhile_stays(
    scene: Scene, sleeper: Sleeper, is_rebuild: bool, is_first: bool
) -> None:
    """A writer that slept past its lease replaces no file that another has written since."""

    def publish_more() -> None:
        scene.put(["c.wav"], seconds=3.0)
        scene.run()
        assert scene.write().published == 2

    if not is_first:
        scene.put(["a.wav"], seconds=1.0)
        scene.run()
        scene.write()
    scene.put(["b.wav"], seconds=2.0)
    scene.run()
    sleeper.sleep(publish_more)
    with suppress(LeaseLost):  # unless it finds that nothing is left to be done
        pipeline.write(scene.tools, scene.day, scene.provider, is_rebuild=is_rebuild)
    assert set(scene.attempt_states().values()) == {"published"}
    for table in ("transcripts", "words"):
        assert read_keys(scene, table, scene.provider) == set(scene.keys.values())


def test_what_was_erased_meanwhile_is_not_published(scene: Scene, moto: S3Server) -> None:
    """Not even what stood in no table yet when it was erased, so that its files look as before."""
    sleeper = Sleeper(scene, moto, "after reading")
    scene.put(["a.wav", "b.wav"])
    scene.run()
    scene.write()
    scene.put(["c.wav"], seconds=2.0)
    scene.run()
    (gone,) = (named for named, key in scene.keys.items() if key == "c.wav")
    sleeper.sleep(lambda: decisions.erase(scene.tools, gone, by="ada"))
    with pytest.raises(LeaseLost):
        scene.write()
    assert scene.write().published == 0
    assert scene.jobs()["c.wav"]["state"] == "quarantined"
    assert read_keys(scene, "transcripts", scene.provider) == {"a.wav", "b.wav"}


def test_a_catalogue_that_comes_late_is_made_again(scene: Scene, moto: S3Server) -> None:
    """Whoever finds that another wrote the day's tables meanwhile reads once more what is true."""
    sleeper = Sleeper(scene, moto, "before a PUT")
    scene.put(["a.wav"])

    def write_more() -> None:
        scene.put(["b.wav"], seconds=2.0)
        pipeline.write_catalogue(scene.tools, scene.day)

    sleeper.sleep(write_more)
    assert pipeline.write_catalogue(scene.tools, scene.day) == {"recordings": 2, "jobs": 2}
    assert read_keys(scene, "recordings") == read_keys(scene, "jobs") == {"a.wav", "b.wav"}
