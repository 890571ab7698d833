"""What the desks of all emulated services do alike: keep jobs and uploads, and survive a restart.

Every change is an event in the journal, and replaying the events makes the same desk again; what a
vendor's events hold, and all that is about money, is each service's own. ``endpoints.py`` drives a
desk, each service's ``work.py`` does its jobs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from transcription_pipeline.emulators.backstage import Backstage
from transcription_pipeline.emulators.speech import Script, Speech, SpeechSettings


class JobRecord(Protocol):
    """What is the same about every service's job."""

    id: str
    account: str
    finished_at: float | None


class UploadRecord(Protocol):
    """What is the same about every service's uploaded file, which is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    id: str
    path: Path | None


JobT = TypeVar("JobT", bound=JobRecord)
UploadT = TypeVar("UploadT", bound=UploadRecord)
SettingsT = TypeVar("SettingsT", bound=SpeechSettings)


class BaseDesk(ABC, Generic[JobT, UploadT, SettingsT]):
    """All jobs and uploads of all accounts."""

    upload_type: type[UploadT]

    def __init__(self, backstage: Backstage, settings: SettingsT) -> None:
        self.backstage = backstage
        self.settings = settings
        self.jobs: dict[str, JobT] = {}
        self.uploads: dict[str, UploadT] = {}
        self.by_account: dict[str, list[JobT]] = {}
        self.begin: Callable[[JobT, float], None] = nobody_works
        """Start the work on a job at a moment; set by the service's workers."""
        self.announce: Callable[[JobT, float], None] = nobody_works
        """Tell the customer's webhook where a job stands; set by the service's webhooks."""

    def next_place(self, account: str) -> int:
        """Say the 0-based place of an account's next job."""
        return len(self.by_account.get(account, ()))

    def keep(self, job: JobT) -> None:
        """Remember a job."""
        self.jobs[job.id] = job
        self.by_account.setdefault(job.account, []).append(job)

    def keep_upload(self, upload: UploadT) -> None:
        """Remember an upload as it is now."""
        self.uploads[upload.id] = upload
        name = upload.path and upload.path.name
        self.write("upload", **asdict(upload) | {"path": name})

    def write(self, event: str, **fields: Any) -> None:
        """Write an event down."""
        self.backstage.journal.append({"event": event} | fields)

    def clear(self) -> None:
        """Forget everything."""
        for upload in self.uploads.values():
            if upload.path is not None:
                upload.path.unlink(missing_ok=True)
        for memory in (self.jobs, self.uploads, self.by_account):
            memory.clear()

    def replay(self) -> None:
        """Take up what the journal tells; unfinished jobs begin again."""
        for event in self.backstage.journal.replay():
            kind = event.pop("event")
            if kind == "clock":
                clock = self.backstage.clock
                clock.advance(event["offset_s"] - clock.offset_s)
            elif kind == "upload":
                path = event["path"] and self.backstage.folder / event["path"]
                self.uploads[event["id"]] = self.upload_type(**event | {"path": path})
            else:
                self.replay_one(kind, event)
        now = self.backstage.clock.now()
        for job in self.jobs.values():
            if job.finished_at is None:
                self.resume(job, now)

    @abstractmethod
    def replay_one(self, kind: str, event: dict[str, Any]) -> None:
        """Take up one event of the service's own."""

    @abstractmethod
    def resume(self, job: JobT, at: float, /) -> None:
        """Begin an unfinished job again."""


def write_said(said: Script | Speech | None) -> dict[str, Any]:
    """Write a transcript into an event."""
    return {
        "script": asdict(said) if isinstance(said, Script) else None,
        "speech": asdict(said) if isinstance(said, Speech) else None,
    }


def read_said(event: dict[str, Any]) -> Script | Speech | None:
    """Read a transcript out of an event."""
    if event["script"]:
        return Script(**event["script"])
    return msgspec.convert(event["speech"], Speech) if event["speech"] else None


def nobody_works(job: Any, at: float) -> None:
    """Stand in until workers and webhooks are set."""
    raise NotImplementedError
