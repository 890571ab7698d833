"""One small world for the engine: a bucket, a ledger, a lake, an emulated provider, and a clock."""

from __future__ import annotations

import asyncio
import io
import wave
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from transcription_pipeline import pipeline
from transcription_pipeline.domain.job import make_attempt_id
from transcription_pipeline.domain.recording import AudioFacts, AudioObject
from transcription_pipeline.domain.route import Route
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.engine import RunLimits, RunReport
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.pipeline import Written
from transcription_pipeline.providers.assemblyai import SETTLE, AssemblyAIProvider
from transcription_pipeline.providers.base import AudioDelivery, Provider
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline.storage.folder import FolderStore
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline.tools import Tools
from transcription_pipeline_tests.s3_servers import S3Server

PROVIDER = "assemblyai"
LIMITS = RunLimits(
    window_s=30.0,
    lease_s=60.0,
    url_expires_s=60,
    max_attempts=3,
    poll_interval_s=0.02,
)
PROOF_S = LIMITS.url_expires_s + SETTLE.total_seconds() + 1
"""After so long a request that is in no list is proved never to have arrived."""


@cache
def make_wav(seconds: float = 1.0) -> bytes:
    """Write silence as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(round(seconds * 8_000) * 2))
    return file.getvalue()


@dataclass
class Scene:
    """Everything one test needs; ``run`` is one worker's run over the only partition."""

    emulator: EmulatorServer
    """The provider; None around one that is in this process."""
    tools: Tools
    offset_s: float = 0.0
    keys: dict[str, str] = field(default_factory=dict)
    """recording_id → key."""
    provider: ClassVar[str] = PROVIDER

    @staticmethod
    def make_client(base_url: str, **arguments: Any) -> Callable[[], Provider]:
        """Return a constructor of clients for an emulator; scenes of other providers override it."""
        return make_client(base_url, **arguments)

    @classmethod
    def build(
        cls,
        emulator: EmulatorServer | None,
        server: S3Server,
        folder: Path,
        *,
        bucket: str = "",
        **provider: Any,
    ) -> Scene:
        """Make an empty world, or one around a bucket that exists."""
        client = server.open_client()
        bucket = bucket or server.create_bucket()
        base_url = emulator.base_url if emulator else ""
        scene = cls(emulator, None)  # type: ignore[arg-type]
        scene.tools = Tools(
            ledger=Ledger.open(f"sqlite:///{folder}/ledger.db"),
            audio=S3ObjectStore(BucketAddress(bucket, ""), make_client=lambda: client),
            audio_prefix="",
            lake=FolderStore(folder / "lake"),
            routes=(Route(match="**", providers=(cls.provider,), options={"diarize": True}),),
            make_provider={cls.provider: cls.make_client(base_url, **provider)},
            limits={cls.provider: LIMITS},
            first_day=date(2026, 1, 1),
            now=lambda: datetime.now(UTC) + timedelta(seconds=scene.offset_s),
        )
        if emulator:
            scene.offset_s = emulator.control("clock")["now"] - scene.tools.now().timestamp()
        scene.tools.ledger.save_wait_model(cls.provider, learn_fast_jobs())
        return scene

    def put(self, keys: Iterable[str], seconds: float = 1.0) -> None:
        """Drop recordings into the bucket, all different, and discover them."""
        for number, key in enumerate(keys):
            self.tools.audio.put(key, make_wav(seconds + number / 100))
        pipeline.discover(self.tools)
        self.keys = {r["recording_id"]: r["key"] for r in self.tools.ledger.read_recordings()}

    def put_known(self, count: int, *, is_alike: bool = False) -> None:
        """Let the ledger know recordings that were looked into before; their bytes are no audio.

        ``is_alike``: all are equally long.
        """
        found = []
        for number in range(count):
            key, body = f"known/{number:03}.wav", f"{number}".encode()
            etag = self.tools.audio.put(key, body)
            now = self.tools.now()
            found.append(AudioObject(self.tools.audio.bucket, key, etag, len(body), now))
        at, wishes = self.tools.now(), {self.provider: {"diarize": True}}
        self.tools.ledger.record_recordings(
            [(audio, wishes) for audio in found], first_day=date(2026, 1, 1), at=at
        )
        lengths = [1_000 if is_alike else 1_000 + n for n in range(count)]
        facts = [AudioFacts("wav", "pcm_s16le", 8_000, 1, ms) for ms in lengths]
        pairs = zip(found, facts, strict=True)
        self.tools.ledger.commit([Probed(a.recording_id, at, f) for a, f in pairs])
        self.keys = {audio.recording_id: audio.key for audio in found}

    @property
    def day(self) -> str:
        """The only partition's day."""
        return self.tools.ledger.list_partitions()[0][0]

    def limit(self, **changes: Any) -> None:
        """Change what bounds the runs to come."""
        limits = replace(self.tools.limits[self.provider], **changes)
        self.tools = replace(self.tools, limits={self.provider: limits})

    def use(self, **provider: Any) -> None:
        """Talk to the provider differently from now on."""
        factory = self.make_client(**{"base_url": self.emulator.base_url, **provider})
        self.tools = replace(self.tools, make_provider={self.provider: factory})

    async def transcribe(self) -> RunReport | None:
        """Start one run on the running loop."""
        return await pipeline.transcribe(self.tools, self.day, self.provider)

    def run(self) -> RunReport:
        """Do one run to its end."""
        report = asyncio.run(self.transcribe())
        assert report is not None
        return report

    def send(self, count: int = 1) -> RunReport:
        """Do short runs, however slow the machine, until the provider has so many jobs in work."""
        window_s = self.tools.limits[self.provider].window_s
        for short_s in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
            self.limit(window_s=short_s)
            report = self.run()
            if list(self.attempt_states().values()).count("accepted") == count:
                break
        self.limit(window_s=window_s)
        return report

    def write(self) -> Written:
        """Write the tables."""
        written = pipeline.write(self.tools, self.day, self.provider)
        assert written is not None
        return written

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the pipeline and for the provider."""
        self.offset_s += seconds
        if self.emulator:
            self.emulator.advance(seconds)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return each recording's job, with its newest attempt, by key."""
        return {row["key"]: row for row in self.tools.ledger.read_jobs()}

    def attempt_states(self) -> dict[str, str]:
        """Return the state of each recording's newest attempt, by key."""
        return {key: row["attempt_state"] for key, row in self.jobs().items()}

    def charges(self) -> Counter[str]:
        """Count what the provider charged, by key; a charge nobody can place raises."""
        owners = {
            make_attempt_id(row["job_id"], number): key
            for key, row in self.jobs().items()
            for number in range(1, 6)
        }
        return Counter(owners[line["attempt_token"]] for line in self.emulator.invoice())

    def assert_each_is_paid_once(self) -> None:
        """Every recording stands on the invoice exactly once."""
        assert self.charges() == dict.fromkeys(self.keys.values(), 1)


async def wait_for_submits(scene: Scene, count: int) -> None:
    """Return when so many paid requests have reached the emulator, which runs in a thread."""
    counts = scene.emulator.service.backstage.requests.counts
    while counts["submit"] < count:  # noqa: ASYNC110 - its events are another loop's
        await asyncio.sleep(0.01)


def learn_fast_jobs() -> WaitModel:
    """Return a model that has seen jobs of a twentieth of a second, so that no test waits long."""
    model = WaitModel()
    for _ in range(30):
        model.learn(1.0, 0.05)
    return model


def make_client(base_url: str, **arguments: Any) -> Callable[[], AssemblyAIProvider]:
    """Return a constructor of provider clients for an emulator."""
    settings: Mapping[str, Any] = {
        "api_key": "engine-key",
        "base_url": base_url,
        "requests_per_s": 2_000.0,
        "concurrency": 50,
        "delivery": AudioDelivery.URL,
        "patience": Patience(retry_wait_s=0.01),
        **arguments,
    }
    return lambda: AssemblyAIProvider(**settings)
