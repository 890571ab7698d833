"""A server that speaks Plaud's wire, or misbehaves as told, and its client, for both test modules."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, TypeVar

import pytest
import stamina

from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.providers.base import Audio, PaidRequest
from transcription_pipeline.providers.plaud import PlaudProvider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.providers.fault_server import Exchange, FaultServer

T = TypeVar("T")
API = "/developer/api"
_PATHS = {
    f"{API}/oauth/partner/access-token": "token",
    f"{API}/oauth/partner/access-token/refresh": "refresh",
    f"{API}/open/partner/users/access-token": "user_token",
    f"{API}/open/partner/files/upload/generate-presigned-urls": "presign",
    f"{API}/open/partner/files/upload/complete-upload": "complete",
    f"{API}/open/partner/ai/transcriptions/": "submit",
}
SECRETS = {
    "client_id": "client-canary",
    "secret_key": "secret-canary",
    "api_key": "key-canary",
    "user_id": "user-canary",
}
HASTY = Patience(connect_s=0.5, read_s=0.4, deadline_s=0.8, retries=2, retry_wait_s=0.0)
ATTEMPT_ID = "a" * 32
JOB_ID = "task_exec_1"
DOWNLOAD_URL = "https://files.plaud.test/file?sig=url-canary"
MP3 = AudioFacts("mp3", "mp3", 16_000, 1, 30_000)
CONTENT = bytes(range(256)) * 10


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Retries do not wait."""
    with stamina.set_testing(True, attempts=2):
        yield


@dataclass(frozen=True)
class Seen:
    """One request that arrived."""

    operation: str
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Said:
    """An answer other than the documented one; status 0 hangs up instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Plaud:
    """Plaud, as documented; ``script`` holds what is answered instead, first come first served."""

    chunk_bytes: int = 1_000
    token_s: int = 3_600
    script: dict[str, list[Said]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    base_url: str = ""
    files: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """What arrived, by the id of the upload and the number of the part."""

    def say(self, operation: str, *answers: Said) -> None:
        """Answer the next requests of an operation like this."""
        self.script.setdefault(operation, []).extend(answers)

    def counts(self) -> Counter[str]:
        """Count the requests by operation."""
        return Counter(one.operation for one in self.seen)

    def last(self, operation: str) -> Seen:
        """Return the last request of an operation."""
        return [one for one in self.seen if one.operation == operation][-1]

    async def act(self, exchange: Exchange) -> None:
        """Serve one connection."""
        while True:
            bodies = len(exchange.server.bodies)
            head = (await exchange.read_request()).decode()
            has_body = len(exchange.server.bodies) > bodies
            line, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
            path = line.split()[1]
            operation = _PATHS.get(path, "part" if path.startswith("/store/") else "get")
            body = exchange.server.bodies[-1] if has_body else b""
            seen = Seen(operation, line, headers, body)
            self.seen.append(seen)
            queue = self.script.get(operation)
            said = queue.pop(0) if queue else Said()
            if said.status == 0:
                return
            given = getattr(self, f"_{operation}")(seen) if said.status == 200 else {}
            said_headers = given.pop("headers", {}) | said.headers
            content = said.body if said.body is not None else given
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            told = "".join(f"{name}: {value}\r\n" for name, value in said_headers.items())
            exchange.writer.write(
                f"HTTP/1.1 {said.status} Said\r\nContent-Length: {len(raw)}\r\n{told}\r\n".encode()
                + raw
            )
            await exchange.writer.drain()

    def _issue(self, kind: str) -> dict[str, Any]:
        number = len(self.seen)
        return {"access_token": f"{kind}-{number}-canary", "expires_in": self.token_s}

    def _token(self, _: Seen) -> dict[str, Any]:
        return {**self._issue("partner"), "refresh_token": f"refresh-{len(self.seen)}-canary"}

    _refresh = _token

    def _user_token(self, _: Seen) -> dict[str, Any]:
        return self._issue("user")

    def _presign(self, seen: Seen) -> dict[str, Any]:
        file_id = f"file_{len(self.files) + 1}"
        self.files[file_id] = {}
        count = -(-seen.json["filesize"] // self.chunk_bytes)
        parts = [
            {
                "PartNumber": number,
                "PresignedUrl": f"{self.base_url}/store/{file_id}/{number}?sig=url-canary",
            }
            for number in range(1, count + 1)
        ]
        return {
            "FileId": file_id,
            "UploadId": f"upload of {file_id}",
            "ChunkSize": self.chunk_bytes,
            "Parts": parts[::-1],
        }

    def _part(self, seen: Seen) -> dict[str, Any]:
        _, _, file_id, number = seen.line.split()[1].partition("?")[0].split("/")
        self.files[file_id][int(number)] = seen.body
        return {"headers": {"ETag": f'"{md5(seen.body).hexdigest()}"'}}

    def _complete(self, seen: Seen) -> dict[str, Any]:
        file_id = seen.json["file_id"]
        whole = md5(self.content_of(file_id)).hexdigest()
        return {"FileId": file_id, "FileType": "", "DownloadUrl": DOWNLOAD_URL, "FileMd5": whole}

    def _submit(self, _: Seen) -> dict[str, Any]:
        return {"transcription_id": JOB_ID, "status": "PENDING", "data": {}}

    def _get(self, seen: Seen) -> dict[str, Any]:
        job_id = seen.line.split()[1].rpartition("/")[2]
        return {"transcription_id": job_id, "status": "PENDING", "data": {}}

    def content_of(self, file_id: str) -> bytes:
        """Join the parts of an upload."""
        return b"".join(content for _, content in sorted(self.files[file_id].items()))


def talk(plaud: Plaud, what: Callable[[PlaudProvider], Awaitable[T]], **arguments: Any) -> T:
    """Have one conversation with a client that gives up soon and keeps to no rate."""

    async def run() -> T:
        async with FaultServer(plaud.act) as server:
            plaud.base_url = server.base_url
            settings = {**SECRETS, "requests_per_s": 1e6, "tokens_per_s": 1e6, "patience": HASTY}
            client = PlaudProvider(**{**settings, "base_url": server.base_url, **arguments})
            try:
                return await what(client)
            finally:
                await client.aclose()

    return asyncio.run(run())


def make_audio(content: bytes = CONTENT, facts: AudioFacts | None = MP3, **changes: Any) -> Audio:
    """Describe some audio; its stream can be opened again and again."""

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 700):
            yield content[start : start + 700]

    values: dict[str, Any] = {"size_bytes": len(content), "duration_ms": 30_000, **changes}
    return Audio("b" * 32, open_stream=stream, facts=facts, **values)


def make_request(client: PlaudProvider, **options: Any) -> PaidRequest:
    """Build the paid request for audio that was uploaded."""
    audio = make_audio(url=DOWNLOAD_URL, upload_id="file_1")
    return client.make_request(ATTEMPT_ID, audio, options)


def assert_no_secret(text: str) -> None:
    """No token, key, id of a user or address stands in a text."""
    assert "canary" not in text
    assert "://" not in text
