"""``tp query``, ``compare`` and ``tables`` when the lake is far away, or its files are broken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.world import World

REGION = "eu-central-1"


@contextmanager
def _serve_from(region: str, behind: S3Server) -> Iterator[str]:
    """Yield the address of an S3 server that, like AWS, refuses what is signed for another region."""

    class Gate(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if f"/{region}/s3/" not in self.headers["Authorization"]:
                self._answer(400, b"<Error><Code>AuthorizationHeaderMalformed</Code></Error>", {})
                return
            inner = HTTPConnection(urlsplit(behind.endpoint_url).netloc, timeout=60)
            inner.request(self.command, self.path, headers=dict(self.headers))
            answer = inner.getresponse()
            kept = {"Content-Length", "Content-Range", "Content-Type", "ETag", "Last-Modified"}
            told = {name: value for name, value in answer.getheaders() if name in kept}
            self._answer(answer.status, answer.read(), told)
            inner.close()

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def lake(finished: World, moto: S3Server) -> Iterator[dict[str, str]]:
    """The finished lake in a bucket of ``REGION``."""
    bucket, client, root = moto.create_bucket(), moto.open_client(), finished.folder / "lake"
    for file in (root / "tables").rglob("*.parquet"):
        key = f"lake/{file.relative_to(root)}"
        client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    with _serve_from(REGION, moto) as url:
        yield {
            "TRANSCRIPTION__STORAGE__LAKE": f"s3://{bucket}/lake/",
            "TRANSCRIPTION__STORAGE__ENDPOINT_URL": url,
            "TRANSCRIPTION__STORAGE__REGION": REGION,
        }


def test_a_lake_in_another_region(finished: World, moto: S3Server, lake: dict[str, str]) -> None:
    """Its bucket is asked in ``storage.region``, by SQL too; a broken file in it is named."""
    assert finished.json("query", "select count(*) n from transcripts", **lake) == [{"n": 4}]
    assert finished.json("compare", "inbox/calls/one.flac", **lake)["disagreement"]
    client, bucket = moto.open_client(), urlsplit(lake["TRANSCRIPTION__STORAGE__LAKE"]).netloc
    for stored in client.list_objects_v2(Bucket=bucket, Prefix="lake/tables/words/")["Contents"]:
        client.put_object(Bucket=bucket, Key=stored["Key"], Body=b"no table")
    _expect_words_are_named(finished, **lake)


def test_a_broken_file_is_named(finished: World) -> None:
    """A sentence and exit code 1, not a stack trace."""
    files = list((finished.folder / "lake" / "tables" / "words").glob("*/*/*.parquet"))
    good = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(b"no table")
    try:
        _expect_words_are_named(finished)
    finally:
        for file, body in zip(files, good, strict=True):
            file.write_bytes(body)


def _expect_words_are_named(world: World, **changed: str) -> None:
    for command in (["query", "select 1"], ["compare", "inbox/calls/one.flac"], ["tables"]):
        told = world.tp(*command, code=1, **changed)
        assert "StorageError: tables/words/" in told
        assert "Traceback" not in told
