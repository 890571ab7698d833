"""The UI's webserver against pages of other sites: what they can send launches nothing."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from transcription_pipeline.providers import aitronos, assemblyai, plaud, scriptivox
from transcription_pipeline_tests.s3_servers import find_free_port
from transcription_pipeline_tests.world import REPOSITORY

JSON = {"Content-Type": "application/json"}
LAUNCH = """mutation { launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: "transcription_pipeline", repositoryName: "__repository__",
    jobName: "transcribe"}}) { __typename } }"""
COUNT = "{ runsOrError { ... on Runs { results { runId } } } }"


@dataclass(frozen=True)
class Web:
    """A running webserver."""

    port: int

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Send one request and return status and text."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def query(self, query: str, **headers: str) -> tuple[int, str]:
        """Ask as the UI's own pages do."""
        return self.ask("POST", "/graphql", json.dumps({"query": query}), {**JSON, **headers})


@contextmanager
def _serve(folder: Path, *flags: str) -> Iterator[Web]:
    for name in ("transcription.toml", "workspace.yaml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    port = find_free_port()
    command = [sys.executable, "-W", "ignore", "-m", "transcription_pipeline.defs.webserver"]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-p", str(port), *flags],
            cwd=folder,
            env={**os.environ, "DAGSTER_HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    web = Web(port)
    try:
        for _ in range(90):
            try:
                if web.ask("GET", "/server_info")[0] == 200:
                    break
            except OSError:
                assert process.poll() is None, (folder / "web.log").read_text()[-2000:]
                time.sleep(1)
        yield web
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The webserver as it is by default: it only shows."""
    with _serve(tmp_path_factory.mktemp("web")) as served:
        yield served


FORGED = {
    "mutation by GET": ("GET", f"/graphql?query={quote(LAUNCH)}", "", {}),
    "a form": ("POST", "/graphql", json.dumps({"query": LAUNCH}), {"Content-Type": "text/plain"}),
    "another origin": (
        "POST",
        "/graphql",
        json.dumps({"query": LAUNCH}),
        {**JSON, "Origin": "https://evil.example"},
    ),
    "a site the browser calls another": (
        "POST",
        "/graphql",
        json.dumps({"query": LAUNCH}),
        {**JSON, "Sec-Fetch-Site": "cross-site"},
    ),
    "a name bent to this address": ("GET", "/", "", {"Host": "evil.example"}),
    "a websocket of another site": (
        "GET",
        "/graphql",
        "",
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Origin": "https://evil.example",
        },
    ),
    "a reported materialisation": ("POST", "/report_asset_materialization/words", "{}", JSON),
}


@pytest.mark.slow
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_what_a_foreign_page_can_send_is_refused(
    web: Web, forged: tuple[str, str, str, dict[str, str]]
) -> None:
    """Nothing of it reaches Dagster, and no run exists afterwards."""
    assert web.ask(*forged)[0] == 403
    assert json.loads(web.query(COUNT)[1])["data"]["runsOrError"]["results"] == []


@pytest.mark.slow
def test_the_ui_s_own_pages_are_served_and_launch_nothing(web: Web) -> None:
    """Pages and questions are answered; a mutation is refused by Dagster itself."""
    assert web.ask("GET", "/")[0] == 200
    own = {"Origin": f"http://127.0.0.1:{web.port}", "Sec-Fetch-Site": "same-origin"}
    status, told = web.query(LAUNCH, **own)
    assert status == 200
    assert "UnauthorizedError" in told


@pytest.mark.slow
def test_launching_is_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it the UI's own page launches a run, which waits for a daemon; a foreign one still none."""
    for provider in (aitronos, assemblyai, plaud, scriptivox):
        for name in provider.SECRETS:  # a run is accepted only where every one of them is set
            monkeypatch.setenv(name.upper(), "never-used")
    with _serve(tmp_path, "--launch") as web:
        assert web.ask(*FORGED["mutation by GET"])[0] == 403
        status, told = web.query(LAUNCH)
        assert status == 200, told
        assert json.loads(told)["data"]["launchRun"]["__typename"] == "LaunchRunSuccess", told
        assert len(json.loads(web.query(COUNT)[1])["data"]["runsOrError"]["results"]) == 1
