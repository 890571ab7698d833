"""One emulated Plaud with small chunks, and the plainest customer of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.wire_client import Answer, WireClient

API = "/developer/api"
TOKEN = f"{API}/oauth/partner/access-token"
USER_TOKEN = f"{API}/open/partner/users/access-token"
PRESIGN = f"{API}/open/partner/files/upload/generate-presigned-urls"
COMPLETE = f"{API}/open/partner/files/upload/complete-upload"
JOBS = f"{API}/open/partner/ai/transcriptions/"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
JOB_S = 30.0
CHUNK = 10
CONTENT = b"twenty-five bytes of data"


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    """One running emulator."""
    settings: dict[str, Any] = {"job_s": JOB_S, "audio_s": 36.2, "word_count": 60}
    with EmulatorServer("plaud", chunk_bytes=CHUNK, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def settings(server: EmulatorServer) -> dict[str, object]:
    """The settings before any test changed them."""
    told: dict[str, object] = server.control("settings")
    return told


@pytest.fixture
def emulator(server: EmulatorServer, settings: dict[str, object]) -> EmulatorServer:
    """The emulator, empty; its clock moves only when a test moves it."""
    server.reset()
    server.configure(**settings)
    server.control("clock", {"is_frozen": True})
    return server


@pytest.fixture
def customer(emulator: EmulatorServer) -> Customer:
    """A customer of the emulator."""
    return Customer(emulator.base_url)


@dataclass
class Customer:
    """An app with credentials, which asks for tokens as it needs them and hides nothing."""

    base_url: str
    client_id: str = "client_a"
    secret_key: str = "secret_a"
    api_key: str = "key_a"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request with these headers and no others."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return WireClient(self.base_url, key=None).ask(method, path, body, **sent)

    def ask_store(self, method: str, url: str, body: Any = None, **headers: str) -> Answer:
        """Use a signed address as it was given."""
        parts = urlsplit(url)
        return self.ask(method, f"{parts.path}?{parts.query}", body, **headers)

    def ask_raw(self, request: str) -> bytes:
        """Send a request written by hand."""
        return WireClient(self.base_url, key=None).ask_raw(request.encode())

    @property
    def basic(self) -> dict[str, str]:
        """The header of the partner calls."""
        pair = f"{self.client_id}:{self.secret_key}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}

    @property
    def keyed(self) -> dict[str, str]:
        """The headers of the transcription calls."""
        return {"x-client-id": self.client_id, "x-client-api-key": self.api_key}

    def partner(self) -> dict[str, Any]:
        """Ask for a partner token, which must be given."""
        return self._told(self.ask("POST", TOKEN, b"", **self.basic, **FORM))

    def refresh(self, refresh_token: str) -> Answer:
        """Renew a partner token."""
        form = urlencode({"refresh_token": refresh_token}).encode()
        return self.ask("POST", f"{TOKEN}/refresh", form, **self.basic, **FORM)

    def user(self, user_id: str = "user_1", **more: Any) -> dict[str, str]:
        """Ask for a user token, which must be given, and return the header to use it."""
        told = self.ask(
            "POST",
            USER_TOKEN,
            {"user_id": user_id} | more,
            authorization=f"Bearer {self.partner()['access_token']}",
            **JSON,
        )
        return {"authorization": f"Bearer {self._told(told)['access_token']}"}

    def promise(self, size: int, user: dict[str, str], filetype: str = "mp3") -> dict[str, Any]:
        """Ask for addresses, which must be given."""
        body = {"filesize": size, "filetype": filetype}
        return self._told(self.ask("POST", PRESIGN, body, **user, **JSON))

    def put_all(self, promise: dict[str, Any], content: bytes) -> list[dict[str, Any]]:
        """Put all parts, and list them with their ETags as received."""
        size, parts = promise["ChunkSize"], []
        for part in promise["Parts"]:
            start = (part["PartNumber"] - 1) * size
            answer = self.ask_store("PUT", part["PresignedUrl"], content[start : start + size])
            assert answer.status == 200, answer.body
            parts.append({"PartNumber": part["PartNumber"], "ETag": answer.headers["etag"]})
        return parts

    def complete(
        self,
        promise: dict[str, Any],
        parts: list[dict[str, Any]],
        user: dict[str, str],
        **more: Any,
    ) -> Answer:
        """Complete an upload."""
        ids = {"file_id": promise["FileId"], "upload_id": promise["UploadId"]}
        body = ids | {"part_list": parts, "filetype": "mp3"} | more
        return self.ask("POST", COMPLETE, body, **user, **JSON)

    def upload(self, content: bytes = CONTENT) -> dict[str, Any]:
        """Upload a file the whole way."""
        user = self.user()
        promise = self.promise(len(content), user)
        md5 = hashlib.md5(content).hexdigest()
        parts = self.put_all(promise, content)
        return self._told(self.complete(promise, parts, user, file_md5=md5))

    def submit(self, file_url: str, **params: Any) -> Answer:
        """Submit a job."""
        body = {"file_url": file_url, "params": params}
        return self.ask("POST", JOBS, body, **self.keyed, **JSON)

    def start(self, file_url: str | None = None, **params: Any) -> str:
        """Submit a job that must be taken, of a new upload unless told otherwise."""
        told = self._told(self.submit(file_url or self.upload()["DownloadUrl"], **params))
        assert (told["status"], told["data"]) == ("PENDING", {})
        job: str = told["transcription_id"]
        return job

    def look(self, job: str) -> dict[str, Any]:
        """Look at a job, which must exist."""
        return self._told(self.ask("GET", f"{JOBS}{job}", **self.keyed))

    @staticmethod
    def _told(answer: Answer) -> dict[str, Any]:
        assert answer.status == 200, answer.body
        told: dict[str, Any] = answer.json
        return told


def error_of(answer: Answer) -> tuple[int, str]:
    """Read status and first word of an error, which must be in the vendor's error object."""
    assert answer.json.keys() == {"code", "message"}
    assert answer.json["code"] == answer.status
    return answer.status, answer.json["message"].partition(" ")[0]
