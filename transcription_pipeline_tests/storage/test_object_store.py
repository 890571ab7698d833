"""What every object store does, whether it is a folder or S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from transcription_pipeline.errors import ObjectChanged, ObjectNotFound
from transcription_pipeline.storage.objects import ABSENT, ObjectStore, StoredObject

BODY = bytes(range(256)) * 40


def list_all(store: ObjectStore, prefix: str = "") -> list[StoredObject]:
    """Follow the pages to the end."""
    found: list[StoredObject] = []
    token = None
    while True:
        page = store.list_page(prefix, token)
        found += page.objects
        token = page.next_token
        if token is None:
            return found


def test_what_is_put_is_got(store: ObjectStore) -> None:
    """Bytes come back exactly, whole, in pieces and as a stream; an empty object too."""
    store.put("raw/a.bin", BODY)
    store.put("raw/empty", b"")
    assert store.get("raw/a.bin") == BODY
    assert b"".join(store.iterate("raw/a.bin")) == BODY
    assert store.get("raw/empty") == b"".join(store.iterate("raw/empty")) == b""


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (0, 100), (5_000, 70), (len(BODY) - 3, 3), (len(BODY) - 3, 50)]
)
def test_a_range(store: ObjectStore, start: int, length: int) -> None:
    """A range is exactly these bytes, and fewer at the end of the object."""
    store.put("a", BODY)
    assert store.get_range("a", start, length) == BODY[start : start + length]


def test_a_range_past_the_end(store: ObjectStore) -> None:
    """A range that starts at or after the end is empty."""
    store.put("a", BODY)
    assert store.get_range("a", len(BODY), 10) == b""
    assert store.get_range("a", len(BODY) + 100, 10) == b""


def test_absent_objects(store: ObjectStore) -> None:
    """What is not there is not found by every reader, and deleting it is fine."""
    assert store.find("no/such") is None
    for read in (
        lambda: store.get("no/such"),
        lambda: store.get_range("no/such", 0, 1),
        lambda: list(store.iterate("no/such")),
    ):
        with pytest.raises(ObjectNotFound) as caught:
            read()
        assert caught.value.key == "no/such"
    store.delete("no/such")


def test_find_describes(store: ObjectStore) -> None:
    """Looking up gives size, an aware instant of about now, and the ETag that put returned."""
    etag = store.put("a", BODY)
    found = store.find("a")
    assert found is not None
    assert (found.key, found.size_bytes, found.etag) == ("a", len(BODY), etag)
    assert abs(datetime.now(UTC) - found.last_modified_at) < timedelta(minutes=1)
    assert [(o.key, o.etag, o.size_bytes) for o in list_all(store)] == [("a", etag, len(BODY))]


def test_put_replaces(store: ObjectStore) -> None:
    """A second put gives the new bytes and another ETag."""
    first = store.put("a", b"one")
    second = store.put("a", b"two!")
    assert store.get("a") == b"two!"
    assert first != second


def test_delete(store: ObjectStore) -> None:
    """A deleted object is gone; its neighbours stay."""
    store.put("a/1", b"x")
    store.put("a/2", b"y")
    store.delete("a/1")
    assert store.find("a/1") is None
    assert [o.key for o in list_all(store)] == ["a/2"]


def test_listing_is_by_prefix_in_key_order(store: ObjectStore) -> None:
    """A prefix is text, not a folder, and keys come in the order of their bytes."""
    keys = ["a/b", "a.b", "a/b-c/d", "a/b/c", "raw/provider=local/1", "raw/provider=other/1"]
    if store.root_uri.startswith("file:"):
        keys.remove("a/b")  # a name is a file or a folder there, not both
    for key in keys:
        store.put(key, b"x")
    assert [o.key for o in list_all(store)] == sorted(keys)
    assert [o.key for o in list_all(store, "raw/provider=lo")] == ["raw/provider=local/1"]
    assert [o.key for o in list_all(store, "a/")] == sorted(k for k in keys if k.startswith("a/"))
    assert list_all(store, "zzz/") == []


def test_only_if_absent(store: ObjectStore) -> None:
    """The second conditional put is refused and changes nothing."""
    store.put("a", b"first", only_if_absent=True)
    with pytest.raises(ObjectChanged):
        store.put("a", b"second", only_if_absent=True)
    assert store.get("a") == b"first"


@pytest.mark.parametrize("store", ["folder", "ministack"], indirect=True)
def test_one_of_many_conditional_writers_wins(store: ObjectStore) -> None:
    """Of eight writers that all want to be first exactly one is, ten times in a row.

    Moto is not asked: it looks and then writes.
    """

    def write(number: int) -> int | None:
        try:
            store.put(f"a{number // 8}", str(number).encode(), only_if_absent=True)
        except ObjectChanged:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(80)) if number is not None]
    assert len(winners) == 10
    assert [store.get(f"a{n // 8}") for n in winners] == [str(n).encode() for n in winners]


def test_if_match(store: ObjectStore) -> None:
    """A conditional read gives the version it names and refuses any other."""
    etag = store.put("a", BODY)
    assert store.get_range("a", 0, 4, if_match=etag) == BODY[:4]
    assert b"".join(store.iterate("a", if_match=etag)) == BODY
    store.put("a", BODY + b"changed")
    with pytest.raises(ObjectChanged):
        store.get_range("a", 0, 4, if_match=etag)
    with pytest.raises(ObjectChanged):
        list(store.iterate("a", if_match=etag))


def test_put_file(store: ObjectStore) -> None:
    """A finished file takes the place of the object, and is gone from where it was."""
    with TemporaryDirectory(dir=store.make_staging_folder()) as folder:
        for body in (b"old", BODY):
            path = Path(folder) / "part"
            path.write_bytes(body)
            store.put_file("tables/words/date=2026-11-21/part-0.parquet", path)
            assert not path.exists()
    assert store.get("tables/words/date=2026-11-21/part-0.parquet") == BODY
    assert len(list_all(store)) == 1


def put_version(store: ObjectStore, key: str, body: bytes, if_match: str) -> None:
    """Replace one version of an object by a file."""
    with TemporaryDirectory(dir=store.make_staging_folder()) as folder:
        path = Path(folder) / "part"
        path.write_bytes(body)
        store.put_file(key, path, if_match=if_match)


def test_only_the_named_version_is_replaced(store: ObjectStore) -> None:
    """A file takes the place of the version that was looked at, and of no other, nor of none."""
    put_version(store, "a", b"first", ABSENT)
    with pytest.raises(ObjectChanged):
        put_version(store, "a", b"lost", ABSENT)
    found = store.find("a")
    assert found is not None
    put_version(store, "a", b"second", found.etag)
    with pytest.raises(ObjectChanged):
        put_version(store, "a", b"lost", found.etag)
    assert store.get("a") == b"second"
    store.delete("a")
    with pytest.raises((ObjectChanged, ObjectNotFound)):
        put_version(store, "a", b"lost", found.etag)
    assert list_all(store) == []


@pytest.mark.parametrize("store", ["folder", "ministack"], indirect=True)
def test_one_of_many_writers_replaces_a_version(store: ObjectStore) -> None:
    """Of eight writers that all saw one version exactly one replaces it, ten times in a row."""
    etags = [store.put(f"a{number}", b"old") for number in range(10)]

    def write(number: int) -> int | None:
        try:
            put_version(store, f"a{number // 8}", str(number).encode(), etags[number // 8])
        except ObjectChanged:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(write, range(80)) if number is not None]
    assert len(winners) == 10
    assert [store.get(f"a{n // 8}") for n in winners] == [str(n).encode() for n in winners]


def test_readers_never_see_half_a_file(store: ObjectStore) -> None:
    """While a writer replaces an object, every read gives one whole version."""
    versions = {bytes([65 + n]) * 200_000 for n in range(4)}
    store.put("a", b"A" * 200_000)

    def write() -> None:
        for _ in range(5):
            for body in sorted(versions):
                store.put("a", body)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            assert store.get("a") in versions
        writing.result()


def test_put_makes_no_rubbish(store: ObjectStore) -> None:
    """After successes and refusals only the objects themselves are listed and on disk."""
    store.put("a", b"1")
    with pytest.raises(ObjectChanged):
        store.put("a", b"2", only_if_absent=True)
    assert [o.key for o in list_all(store)] == ["a"]
    staging = store.make_staging_folder()
    assert staging is None or not list(staging.iterdir())
