"""Talking to the emulated Scriptivox: plain requests, nothing added but the JSON content type."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from transcription_pipeline_tests.emulators.wire_client import Answer, WireClient

JOB_S = 60.0
JSON = {"content-type": "application/json"}
URL = "https://audio.test/call.mp3"


class ScriptivoxWire(WireClient):
    """One customer's client."""

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """POST JSON."""
        return self.ask("POST", f"/v1{path}", body, **JSON, **headers)

    def start(self, url: str | None = URL, key: str | None = None, **options: Any) -> Answer:
        """Ask for a transcription; a key that is None is left out."""
        headers = {} if key is None else {"idempotency-key": key}
        source = {} if url is None else {"url": url}
        return self.post("/transcribe", source | options, **headers)

    def start_job(self, url: str | None = URL, key: str | None = None, **options: Any) -> str:
        """Ask for a transcription that must be taken, and return its id."""
        answer = self.start(url, key, **options)
        assert answer.status == 200, answer.body
        job: str = answer.json["id"]
        return job

    def look(self, job: str) -> Any:
        """Get a job, which must exist."""
        answer = self.ask("GET", f"/v1/transcribe/{job}")
        assert answer.status == 200, answer.body
        return answer.json

    def page(self, query: str = "") -> Any:
        """Get a page of the list, which must be a good one."""
        answer = self.ask("GET", f"/v1/transcriptions?{query}")
        assert answer.status == 200, answer.body
        return answer.json

    def promise(self, filename: str = "a.wav") -> Any:
        """Ask for an upload."""
        answer = self.post("/upload", {"filename": filename})
        assert answer.status == 200, answer.body
        return answer.json

    def put(self, place: Any, content: bytes, **headers: str) -> Answer:
        """Put bytes where an upload is to go, with the pinned type unless told otherwise."""
        parts = urlsplit(place["upload_url"])
        pinned = {name.lower(): value for name, value in place["headers"].items()}
        anonymous = WireClient(f"http://127.0.0.1:{parts.port}", key=None)
        return anonymous.ask("PUT", f"{parts.path}?{parts.query}", content, **(pinned | headers))


def code_of(answer: Answer) -> tuple[int, str]:
    """Read status and code of an error, which must be in the vendor's envelope."""
    assert answer.json.keys() == {"error"}
    assert answer.json["error"].keys() == {"code", "message"}
    return answer.status, answer.json["error"]["code"]
