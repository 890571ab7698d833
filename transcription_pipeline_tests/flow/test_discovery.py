"""Discovery against a model bucket: every live object is planned within two ticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from transcription_pipeline import pipeline
from transcription_pipeline.domain.route import Route
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline.tools import Tools
from transcription_pipeline_tests.s3_servers import S3Server

ODD_KEYS = (
    "calls/with spaces and  two.wav",
    "calls/ünïcode – 面談.wav",
    "calls/100%2Fpercent.wav",
    "calls/a+b&c=d?e#f.wav",
    "calls//double.wav",
    "calls/../up.wav",
    "calls/" + "long" * 220 + ".wav",
    "'; drop table recordings; --.wav",
)
PREFIX = "inbox/"


class Model:
    """A bucket and what must be known of it: the newest version of every key, and all older ones."""

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.client = server.open_client()
        self.bucket = server.create_bucket()
        self.expected: set[tuple[str, int]] = set()
        self.tools = Tools(
            ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"),
            audio=S3ObjectStore(BucketAddress(self.bucket, ""), make_client=server.open_client),
            audio_prefix=PREFIX,
            lake=FolderStore(folder / "lake"),
            routes=(Route("**", ("local", "assemblyai")),),
            make_provider={},
            limits={},
            first_day=date(2026, 1, 1),
        )

    def put(self, key: str, body: bytes) -> None:
        """Write one version."""
        self.client.put_object(Bucket=self.bucket, Key=PREFIX + key, Body=body)
        self.expected.add((PREFIX + key, len(body)))

    def known(self) -> set[tuple[str, int]]:
        """Return (key, size) of every recording in the ledger."""
        rows = self.tools.ledger.read_recordings()
        return {(row["key"], row["size_bytes"]) for row in rows}


@pytest.fixture
def model(tmp_path: Path, s3_server: S3Server) -> Iterator[Model]:
    """An empty model bucket."""
    opened = Model(s3_server, tmp_path)
    yield opened
    opened.tools.ledger.close()


def test_odd_keys_equal_seconds_and_overwrites_are_all_planned(model: Model) -> None:
    """Whatever the key, however fast the writes: after a tick every version listed is known."""
    for number, key in enumerate(ODD_KEYS):
        model.put(key, b"x" * (number + 1))
    for number in range(20):
        model.put(f"burst/{number}.wav", b"same second")
    pipeline.discover(model.tools)
    assert model.known() == model.expected
    model.put("burst/3.wav", b"overwritten within the second")
    model.put(ODD_KEYS[0], b"another version")
    found = pipeline.discover(model.tools)
    assert found.new == 2
    assert model.known() == model.expected
    counts = model.tools.ledger.count_states()
    assert counts["recordings"] == len(model.expected)
    assert counts["unaccounted"] == 0
    assert counts["by_provider"]["local"]["in_progress"] == len(model.expected)


def test_a_bounded_tick_goes_on_where_it_stopped(model: Model) -> None:
    """A listing longer than one tick is resumed by its token, and nothing in it is skipped."""
    for number in range(1_050):
        model.put(f"many/{number:05}.wav", b"x")
    first = pipeline.discover(model.tools, budget_s=1e-9)
    assert first.next_token is not None
    assert first.seen == 1_000
    model.put("many/00000-late.wav", b"sorts before where the tick stopped")
    second = pipeline.discover(model.tools, token=first.next_token, budget_s=1e-9)
    assert second.next_token is None
    pipeline.discover(model.tools)
    assert model.known() == model.expected


def test_an_object_deleted_after_it_was_seen_stays_known(model: Model) -> None:
    """A recording is not forgotten because its object is gone."""
    model.put("gone.wav", b"x")
    pipeline.discover(model.tools)
    model.client.delete_object(Bucket=model.bucket, Key=f"{PREFIX}gone.wav")
    pipeline.discover(model.tools)
    assert model.known() == model.expected


def test_what_no_route_wants_is_counted_and_left_alone(model: Model) -> None:
    """Objects without a route, folders, and other prefixes make no recording."""
    routes = (Route("calls/*.wav", ("local",)),)
    tools = replace(model.tools, routes=routes)
    model.put("calls/one.wav", b"x")
    model.client.put_object(Bucket=model.bucket, Key=f"{PREFIX}calls/", Body=b"")
    model.client.put_object(Bucket=model.bucket, Key=f"{PREFIX}notes/two.txt", Body=b"x")
    model.client.put_object(Bucket=model.bucket, Key="outbox/three.wav", Body=b"x")
    found = pipeline.discover(tools)
    assert (found.seen, found.new, found.unrouted) == (1, 1, 1)
    assert model.known() == model.expected


def test_days_are_utc_dates_and_never_before_the_first(model: Model) -> None:
    """The partition is the UTC date of LastModified; older recordings belong to the first day."""
    model.put("today.wav", b"x")
    tools = replace(model.tools, first_day=date(2099, 1, 1))
    pipeline.discover(tools)
    assert [row["day"] for row in tools.ledger.read_recordings()] == ["2099-01-01"]
    assert datetime.now(UTC).date() < date(2099, 1, 1)


def test_a_provider_added_to_a_route_pays_only_when_asked(model: Model) -> None:
    """A changed route changes nothing for known recordings until it is applied to them on request."""
    model.put("one.wav", b"x")
    pipeline.discover(replace(model.tools, routes=(Route("**", ("local",)),)))
    assert pipeline.discover(model.tools).new == 0
    assert list(model.tools.ledger.count_states()["by_provider"]) == ["local"]
    pipeline.discover(model.tools, adds_providers=True)
    counts = model.tools.ledger.count_states()
    assert list(counts["by_provider"]) == ["assemblyai", "local"]
    assert counts["unaccounted"] == 0
