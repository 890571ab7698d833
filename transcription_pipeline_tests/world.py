"""A whole deployment in a folder: bucket, emulator, configuration, and ``tp`` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.s3_servers import S3Server
from transcription_pipeline_tests.warm_start import WIDTH, run_command

REPOSITORY = Path(__file__).parent.parent
SAMPLES = REPOSITORY / "samples"
SECRET = "canary-5f1e-secret"
"""The provider's key in every deployment of the tests; it must turn up nowhere."""
ROUTES = [
    {
        "match": "**",
        "providers": ["local", "assemblyai"],
        "language": "en",
        "diarize": True,
        "speakers_expected": 2,
    }
]


@dataclass
class World:
    """One deployment; commands run in ``folder``."""

    folder: Path
    bucket: str
    s3: S3Server
    emulator: EmulatorServer
    environment: dict[str, str] = field(default_factory=dict)

    def put(self, file: str, key: str | None = None) -> None:
        """Drop one sample into the watched prefix."""
        body = (SAMPLES / file).read_bytes()
        self.s3.open_client().put_object(Bucket=self.bucket, Key=f"inbox/{key or file}", Body=body)

    def put_bytes(self, key: str, body: bytes) -> None:
        """Drop anything into the watched prefix."""
        self.s3.open_client().put_object(Bucket=self.bucket, Key=f"inbox/{key}", Body=body)

    def start(self, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "transcription_pipeline", *arguments],
            cwd=self.folder,
            env={**self.environment, **changed},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tp(self, *arguments: str, code: int = 0, **changed: str) -> str:
        """Run a command, hold it to its exit code, return what it printed."""
        out, err = self._run(arguments, code, changed)
        return out if code == 0 else out + err

    def json(self, *arguments: str, code: int = 0, **changed: str) -> Any:
        """Run a command with ``--json`` and decode its one document."""
        return json.loads(self._run((*arguments, "--json"), code, changed)[0])

    def _run(
        self, arguments: Sequence[str], code: int, changed: Mapping[str, str]
    ) -> tuple[str, str]:
        environment = {**self.environment, **changed}
        ended, out, err = run_command(arguments, folder=self.folder, environment=environment)
        assert ended == code, f"{arguments}: {ended}\n{out}\n{err}"
        return out, err


def make_environment(
    folder: Path, bucket: str, endpoint_url: str, emulator_url: str
) -> dict[str, str]:
    """Return the variables that point a configuration at one deployment."""
    return {
        **os.environ,
        "TRANSCRIPTION_CONFIG": str(REPOSITORY / "transcription.toml"),
        "TRANSCRIPTION__ROUTES": json.dumps(ROUTES),
        "TRANSCRIPTION__STORAGE__AUDIO": f"s3://{bucket}/inbox/",
        "TRANSCRIPTION__STORAGE__LAKE": str(folder / "lake"),
        "TRANSCRIPTION__STORAGE__ENDPOINT_URL": endpoint_url,
        "TRANSCRIPTION__LEDGER__URL": f"sqlite:///{folder}/ledger.db",
        "TRANSCRIPTION__PROVIDERS__LOCAL__SPOOL": str(folder / "spool"),
        "TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__BASE_URL": emulator_url,
        "ASSEMBLYAI_API_KEY": SECRET,
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": WIDTH,
    }


@contextmanager
def open_world(folder: Path, s3: S3Server, **emulator: Any) -> Iterator[World]:
    """Yield a deployment whose emulator speaks scripted transcripts unless told otherwise."""
    bucket = s3.create_bucket()
    with EmulatorServer("assemblyai", **emulator) as server:
        environment = make_environment(folder, bucket, s3.endpoint_url, server.base_url)
        yield World(folder, bucket, s3, server, environment)
