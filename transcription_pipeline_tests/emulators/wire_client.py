"""The plainest possible client: it adds nothing, retries nothing and hides nothing."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One HTTP answer as received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class WireClient:
    """Talks to one emulator, one connection per request."""

    def __init__(
        self, base_url: str, *, key: str | None = "test-key", timeout_s: float = 10
    ) -> None:
        self.port = urlsplit(base_url).port or 0
        self.key = key
        self.timeout_s = timeout_s

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; bytes go as they are, anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
        if self.key is not None:
            headers.setdefault("authorization", self.key)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body)
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            raw = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, raw)
        finally:
            connection.close()

    def ask_raw(self, request: bytes) -> bytes:
        """Send bytes and read until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout_s) as line:
            line.sendall(request)
            received = b""
            while chunk := line.recv(65_536):
                received += chunk
            return received

    def submit(self, audio_url: str = "https://audio.test/call.mp3", **options: Any) -> Any:
        """Submit a job and return its answer, which must be a 200."""
        answer = self.ask("POST", "/v2/transcript", {"audio_url": audio_url} | options)
        assert answer.status == 200, answer.body
        return answer.json

    def get(self, transcript_id: str) -> Any:
        """Get a transcript, which must exist."""
        answer = self.ask("GET", f"/v2/transcript/{transcript_id}")
        assert answer.status == 200, answer.body
        return answer.json

    def list(self, query: str = "") -> Any:
        """Get a page, which must be a good one."""
        answer = self.ask("GET", f"/v2/transcript?{query}")
        assert answer.status == 200, answer.body
        return answer.json
