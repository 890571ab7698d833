"""What can be had of one transcription at Aitronos besides its answer, for nothing.

What belongs here: paragraphs, captions, search and redacted audio, as a person at the keyboard asks
for them. What does not: anything a job needs (``aitronos.py``, which has these calls by
inheritance). Wire rules are from docs.aitronos.com (pages under /docs/api-reference/audio), read
2026-11-21; search and redacted audio are stubs by the vendor's packages, whatever their pages say.
"""

from __future__ import annotations

from typing import Literal

from transcription_pipeline.errors import UnexpectedResponse
from transcription_pipeline.providers.aitronos_answers import (
    NAME,
    ParagraphsAnswer,
    Piece,
    RedactedAudio,
    RedactedAudioAnswer,
    SearchAnswer,
    read,
    read_instant,
)
from transcription_pipeline.providers.aitronos_books import Books


class Exports:
    """The free calls about one transcription. All raise ``ProviderError``; see ``Books.ask``."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def get_paragraphs(self, provider_job_id: str) -> list[Piece]:
        """Fetch a completed job's paragraphs, as the provider cuts them."""
        # "Get paragraphs": without a limit all come.
        answer = await self._books.ask("paragraphs", provider_job_id, "/paragraphs")
        page = read(answer, ParagraphsAnswer, "paragraphs", provider_job_id)
        found, total = page.data.paragraphs, page.metadata.total_count
        if total is not None and len(found) < total:
            raise UnexpectedResponse(
                f"{len(found)} paragraphs of {total}",
                provider=NAME,
                operation="paragraphs",
                provider_job_id=provider_job_id,
            )
        return found

    async def export(
        self,
        provider_job_id: str,
        kind: Literal["srt", "vtt", "txt"],
        *,
        chars_per_caption: int = 0,
        max_lines: int = 2,
        max_chars_per_line: int = 42,
    ) -> str:
        """Fetch a completed job as captions or text.

        Args:
            provider_job_id: The job.
            kind: The format.
            chars_per_caption: 0 to 512; 0 is no limit.
            max_lines: 1 to 3.
            max_chars_per_line: 20 to 60.
        """
        knobs = {
            "chars_per_caption": str(chars_per_caption),
            "max_lines": str(max_lines),
            "max_chars_per_line": str(max_chars_per_line),
        }
        answer = await self._books.ask("subtitles", provider_job_id, f"/subtitles/{kind}", knobs)
        return answer.body.decode("utf-8", "replace")

    async def search(self, provider_job_id: str, phrase: str) -> list[Piece]:
        """Find where exactly these words were said: up to 128 characters and 5 words."""
        answer = await self._books.ask("search", provider_job_id, "/search", {"query": phrase})
        return read(answer, SearchAnswer, "search", provider_job_id).data.matches

    async def find_redacted_audio(self, provider_job_id: str) -> RedactedAudio:
        """Ask where the recording lies without what was redacted."""
        answer = await self._books.ask("redacted_audio", provider_job_id, "/redacted-audio")
        told = read(answer, RedactedAudioAnswer, "redacted_audio", provider_job_id).data
        return RedactedAudio(told.status, told.redacted_audio_url, read_instant(told.expires_at))
