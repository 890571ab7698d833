"""What the emulated service would have charged, line by line.

An invoice is the witness of every test about money: it is written by the emulator from what it did,
never from what the pipeline says. Prices are not here (each service has its own list), nor is any
idea of an attempt beyond the token the pipeline may have left in a URL; the control interface shows
the invoice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ATTEMPT_PARAMETER = "x-tp-attempt"
"""The query parameter in which the pipeline marks whose attempt a URL belongs to."""


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """One charge."""

    provider: str
    provider_job_id: str
    attempt_token: str | None
    """Found in the audio or webhook URL; None when neither carried one."""
    audio_ms: int
    """Length of the recording as billed, milliseconds."""
    amount_micros: int
    currency: str
    at: float
    """When it was charged, seconds since 1970 on the emulator's clock."""
    items: dict[str, int]
    """What was charged for: name to micros of ``currency`` per hour of audio."""
    file_id: str | None = None
    """The service's id of an uploaded file, where its URLs carry no token."""
    file_md5: str | None = None
    """MD5 of that file in hex: the same for every upload of one recording."""
    refunded_micros: int = 0
    """What of the amount was given back later."""


class Invoice:
    """All charges of one emulator; a job is charged at most once."""

    def __init__(self) -> None:
        self._lines: dict[str, InvoiceLine] = {}

    def charge(self, line: InvoiceLine) -> None:
        """Add a line. A second one for the same job is a bug of the emulator and raises."""
        if line.provider_job_id in self._lines:
            msg = f"{line.provider} {line.provider_job_id} was already charged"
            raise ValueError(msg)
        self._lines[line.provider_job_id] = line

    def refund(self, provider_job_id: str, micros: int) -> None:
        """Say on a job's line what of it was given back."""
        line = self._lines[provider_job_id]
        self._lines[provider_job_id] = replace(line, refunded_micros=micros)

    def clear(self) -> None:
        """Tear up the invoice."""
        self._lines.clear()

    @property
    def lines(self) -> list[InvoiceLine]:
        """Every charge, oldest first."""
        return list(self._lines.values())

    def as_answer(self) -> dict[str, Any]:
        """Show the invoice as JSON: lines, their number and their sum, less what came back."""
        lines = self.lines
        return {
            "lines": [asdict(line) for line in lines],
            "line_count": len(lines),
            "total_micros": sum(line.amount_micros - line.refunded_micros for line in lines),
            "audio_ms": sum(line.audio_ms for line in lines),
            "currency": lines[0].currency if lines else None,
        }


def find_attempt_token(*urls: str | None) -> str | None:
    """Find the attempt token in the query of the first URL that has one."""
    for url in urls:
        if url and ATTEMPT_PARAMETER in url:
            for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
                if name == ATTEMPT_PARAMETER:
                    return value
    return None
