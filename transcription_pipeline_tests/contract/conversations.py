"""Everything a client of each paid provider can be asked to do, one call at a time.

A conversation runs against an emulator to learn its good answers, and then, call by call, against
damaged ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transcription_pipeline.domain.job import Attempt, AttemptState
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.providers.base import Audio, Submission

ATTEMPT_ID = "a" * 32
URL = f"http://127.0.0.1:9/call.wav?x-tp-attempt={ATTEMPT_ID}&X-Amz-Signature=1"
CONTENT = b"RIFF" + bytes(1_000)
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "assemblyai": {
        "diarize": True,
        "sentiment": True,
        "entities": True,
        "highlights": True,
        "redact_pii": ["person_name"],
        "extra": {"iab_categories": True, "content_safety": True, "redact_pii_audio": True},
    },
}


async def _stream() -> AsyncIterator[bytes]:
    yield CONTENT


@dataclass
class Talk:
    """What one conversation is about."""

    provider: str
    folder: Path
    job_id: str = ""
    uploaded: Audio | None = None
    audio: Audio = field(
        default_factory=lambda: Audio(
            "r" * 32, len(CONTENT), 30_000, _stream, AudioFacts("mp3", "mp3", 8_000, 1, 30_000)
        )
    )

    @property
    def options(self) -> Mapping[str, Any]:
        """What is ordered."""
        return OPTIONS.get(self.provider, {"diarize": True})

    @property
    def attempt(self) -> Attempt:
        """The attempt as the ledger would have it in doubt."""
        at = datetime.now(UTC)
        state = AttemptState.AMBIGUOUS
        return Attempt(ATTEMPT_ID, "j", "r" * 32, self.provider, 1, state, sent_at=at)

    def request(self, client: Any) -> Any:
        """Make the paid request."""
        audio = self.uploaded if self.provider == "plaud" else replace(self.audio, url=URL)
        return client.make_request(ATTEMPT_ID, audio, self.options)


Step = Callable[[Any, Talk], Awaitable[Any]]


async def upload(client: Any, talk: Talk) -> Audio:
    """Hand the bytes over."""
    uploaded: Audio = await client.upload(talk.audio)
    return uploaded


async def submit(client: Any, talk: Talk) -> Submission:
    """Send the paid request."""
    told: Submission = await client.submit(talk.request(client))
    return told


async def reconcile(client: Any, talk: Talk) -> Submission:
    """Find out what became of a lost answer."""
    request = talk.request(client)
    at = datetime.now(UTC)
    told: Submission = await client.reconcile(talk.attempt, at=at, request=request.body)
    return told


def _of_job(name: str, *arguments: Any) -> Step:
    return lambda client, talk: getattr(client, name)(talk.job_id, *arguments)


_LOOKS: tuple[Step, ...] = (_of_job("observe"), _of_job("collect"))
_CHECK: Step = lambda client, _talk: client.check()  # noqa: E731
_SURVEY: Step = lambda client, talk: client.survey([talk.job_id])  # noqa: E731
_FILES: Step = lambda client, talk: client.fetch_files(talk.job_id, talk.options, talk.folder)  # noqa: E731
_COMMON: Mapping[str, tuple[Step, ...]] = {
    "upload": (upload,),
    "submit": (submit,),
    "get": _LOOKS,
    "list": (_SURVEY, reconcile, _CHECK),
    "delete": (_of_job("delete"),),
}
STEPS: Mapping[str, Mapping[str, tuple[Step, ...]]] = {
    "aitronos": {
        **_COMMON,
        "list": (reconcile, _CHECK),
        "sentences": (_of_job("collect"),),
        "paragraphs": (_of_job("get_paragraphs"),),
        "subtitles": (_of_job("export", "srt"),),
        "search": (_of_job("search", "parcel"),),
        "redacted_audio": (_of_job("find_redacted_audio"),),
    },
    "assemblyai": {**_COMMON, "redacted_audio": (_FILES,)},
    "plaud": {
        **dict.fromkeys(("token", "user_token", "presign", "put", "complete"), (upload,)),
        "submit": (submit,),
        "get": (*_LOOKS, _CHECK),
    },
    "scriptivox": {
        **_COMMON,
        "submit": (submit, reconcile),
        "balance": (_CHECK,),
        "cancel": (_of_job("cancel"),),
    },
}
"""Provider → operation → the calls that read its answers."""
