"""What is particular to S3: odd keys, pages, signed URLs, and errors that tell no secret."""

from __future__ import annotations

import http.client
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from transcription_pipeline.errors import (
    ConfigurationError,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
)
from transcription_pipeline.storage.layout import (
    BucketAddress,
    make_raw_key,
    make_table_key,
    parse_s3_uri,
)
from transcription_pipeline.storage.s3 import S3ObjectStore, open_s3_client
from transcription_pipeline_tests.s3_servers import S3Server, find_free_port
from transcription_pipeline_tests.storage.conftest import make_s3_store
from transcription_pipeline_tests.storage.test_object_store import list_all

ODD_KEYS = [
    "a b.mp3",
    "a+b.mp3",
    "a%2Fb.mp3",
    "a%20b&c=d?e#f.mp3",
    "é音𝄞/ü.mp3",
    "e\u0301.mp3",
    "a//b.mp3",
    "/leading.mp3",
    "trailing/",
    "'quote\".mp3",
    "a\\b*[c]{d}.mp3",
    "x" * (1024 - len("lake/")),
    "音" * ((1024 - len("lake/")) // 3),
]
DOTTED_KEYS = ["a/../b.mp3", "a/./b.mp3"]


def fetch(url: str) -> tuple[int, bytes]:
    """GET a URL as it is written, without any S3 library."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize("key", ODD_KEYS + DOTTED_KEYS, ids=range(len(ODD_KEYS + DOTTED_KEYS)))
def test_odd_keys(s3_store: S3ObjectStore, key: str) -> None:
    """Every legal key is put, found, listed, read, signed and deleted exactly as written."""
    body = key.encode()
    s3_store.put(key, body)
    found = s3_store.find(key)
    assert found is not None
    assert [o.key for o in list_all(s3_store)] == [key]
    assert s3_store.get(key) == body
    assert s3_store.get_range(key, 1, 3, if_match=found.etag) == body[1:4]
    assert fetch(s3_store.presign(key, expires_s=900, token="t") or "") == (200, body)
    s3_store.delete(key)
    assert s3_store.find(key) is None


def test_pages(s3_store: S3ObjectStore) -> None:
    """More than a thousand objects come in pages, all of them once and in order."""
    keys = sorted(f"in/{number:04} +%.mp3" for number in range(1_050))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3_store.put(key, b"x"), keys))
    first = s3_store.list_page("in/")
    assert len(first.objects) == 1_000
    assert first.next_token
    assert [o.key for o in list_all(s3_store, "in/")] == keys


def test_a_prefix_is_its_own_world(s3_server: S3Server) -> None:
    """A store sees only what lies below its prefix."""
    store = make_s3_store(s3_server, "calls/")
    outside = S3ObjectStore(BucketAddress(store.bucket, ""), make_client=s3_server.open_client)
    outside.put("other/a", b"x")
    store.put("a", b"y")
    assert [o.key for o in list_all(store)] == ["a"]
    assert [o.key for o in list_all(outside)] == ["calls/a", "other/a"]
    assert store.find("other/a") is None


def test_a_signed_url_carries_the_token(s3_store: S3ObjectStore) -> None:
    """A plain HTTP client reads the object, and the URL names the attempt and its end."""
    s3_store.put("a.mp3", b"audio")
    url = s3_store.presign("a.mp3", expires_s=1_234, token="attempt-7")
    assert url is not None
    query = parse_qs(urlsplit(url).query)
    assert query["x-tp-attempt"] == ["attempt-7"]
    assert query["X-Amz-Expires"] == ["1234"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert fetch(url) == (200, b"audio")


def test_the_token_is_signed(ministack: S3Server) -> None:
    """With another token, or without it, the signature is wrong and nothing is read."""
    store = make_s3_store(ministack)
    store.put("a.mp3", b"audio")
    url = store.presign("a.mp3", expires_s=900, token="attempt-7") or ""
    assert fetch(url)[0] == 200
    assert fetch(url.replace("attempt-7", "attempt-8"))[0] == 403
    assert fetch(url.replace("x-tp-attempt=attempt-7&", ""))[0] == 403


def test_tokens_do_not_mix(s3_store: S3ObjectStore) -> None:
    """Threads that sign at the same time each get their own token, from the first use on."""
    s3_store.put("a", b"x")
    fresh = S3ObjectStore(
        BucketAddress(s3_store.bucket, s3_store.prefix), make_client=s3_store._make_client
    )

    def sign(number: int) -> bool:
        url = fresh.presign("a", expires_s=900, token=f"t{number}") or ""
        return parse_qs(urlsplit(url).query)["x-tp-attempt"] == [f"t{number}"]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(sign, range(64)))
    assert fresh.get("a") == b"x"


def test_errors_tell_no_secret(s3_store: S3ObjectStore) -> None:
    """An error names the key and the status, never an address, a signature or a credential."""
    with pytest.raises(ObjectNotFound) as absent:
        s3_store.get("no/such")
    port = find_free_port()
    nobody = S3ObjectStore(
        BucketAddress("bucket", ""),
        make_client=lambda: open_s3_client(f"http://127.0.0.1:{port}", attempts=1),
    )
    with pytest.raises(StorageUnavailable) as unreachable:
        nobody.get("no/such")
    for caught in (absent, unreachable):
        text = f"{caught.value} {caught.value.__cause__} {caught.value.args}"
        assert "no/such" in text
        assert not any(word in text for word in ("http", "Signature", "Credential", str(port)))
        assert caught.value.__suppress_context__


def test_a_missing_bucket(s3_server: S3Server) -> None:
    """Listing a bucket that does not exist is an error, not an empty listing."""
    store = S3ObjectStore(BucketAddress("no-such-bucket", ""), make_client=s3_server.open_client)
    with pytest.raises(StorageError):
        store.list_page("")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials the error says which settings to make."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # A process of its own: boto3 remembers the credentials it once found.
    program = (
        "from transcription_pipeline.storage.layout import BucketAddress\n"
        "from transcription_pipeline.storage.s3 import S3ObjectStore\n"
        "from transcription_pipeline.errors import ConfigurationError\n"
        "try:\n"
        "    S3ObjectStore(BucketAddress('bucket', '')).get('a')\n"
        "except ConfigurationError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "AWS_ACCESS_KEY_ID" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://calls/inbox/", "calls", "inbox/"),
        ("s3://calls/inbox", "calls", "inbox/"),
        ("s3://calls", "calls", ""),
        ("s3://calls/", "calls", ""),
        ("s3://a.b-c/x/y z/", "a.b-c", "x/y z/"),
    ],
)
def test_addresses(uri: str, bucket: str, prefix: str) -> None:
    """A bucket address is read with or without a prefix and a last slash."""
    assert parse_s3_uri(uri, "storage.audio") == BucketAddress(bucket, prefix)


@pytest.mark.parametrize(
    "uri", ["", "calls/inbox", "http://calls/", "s3://", "s3:///x", "s3://A_B/x"]
)
def test_addresses_that_are_none(uri: str) -> None:
    """Anything else is a configuration error that names the setting."""
    with pytest.raises(ConfigurationError, match=r"storage\.audio"):
        parse_s3_uri(uri, "storage.audio")


def test_layout() -> None:
    """Keys of the lake are made of identities, days and providers alone."""
    assert make_raw_key("local", "ab" * 16, "cd" * 16) == (
        f"raw/provider=local/ab/{'ab' * 16}/{'cd' * 16}.json.zst"
    )
    assert make_table_key("words", "2026-11-21", "local") == (
        "tables/words/date=2026-11-21/provider=local/part-0.parquet"
    )
    assert (
        make_table_key("jobs", "2026-11-21", None) == "tables/jobs/date=2026-11-21/part-0.parquet"
    )
