"""Log records without keys: signed URLs lose their query, addresses their user, secrets their text.

Other people's libraries log what they like: HTTP clients whole URLs, which are keys to the audio.
Every record of this process is made safe as it is made, whoever logs and whoever listens. Nothing of
ours logs such things; this is the net below.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

SHORTEST_SECRET = 6
"""Shorter values are left alone: they would be found in ordinary words."""
_QUERY = re.compile(r"((?:https?|s3)://[^\s?\"'<>]*|/[^\s?\"'<>]*)\?[^\s\"'<>]*=[^\s\"'<>]*")
_USER = re.compile(r"(\w+://)[^\s/@:]+(?::[^\s/@]*)?@")
_HEADER = re.compile(
    r"((?:authorization|x-[a-z-]*(?:key|secret|signature))['\"]?\s*[:=]\s*['\"]?)"
    r"(?:(?:basic|bearer)\s+)?[^\s,'\"}]+",
    re.IGNORECASE,
)
_FORMATTER = logging.Formatter()
_secrets: set[str] = set()


def redact_logs(secrets: Iterable[str] = ()) -> None:
    """Make every log record of this process safe from now on; may be called again with more secrets."""
    _secrets.update(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
    made = logging.getLogRecordFactory()
    if made is not _make_record:
        _original[0] = made
        logging.setLogRecordFactory(_make_record)


def clean(text: str) -> str:
    """Return a text without queries of URLs, users of addresses, header values and known secrets."""
    for secret in _secrets:
        text = text.replace(secret, "…")
    return _HEADER.sub(r"\1…", _USER.sub(r"\1…@", _QUERY.sub(r"\1?…", text)))


_original: list[Any] = [logging.LogRecord]


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record: logging.LogRecord = _original[0](*args, **kwargs)
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        return record  # a malformed call of somebody's; logging reports it by itself
    safe = clean(text)
    if safe != text:
        record.msg, record.args = safe, ()
    if record.exc_info and record.exc_info[1] is not None:
        # All of it: causes, contexts and members of groups are printed too.
        told = _FORMATTER.formatException(record.exc_info)
        safe = clean(told)
        if safe != told:
            # Into the message: not everybody who listens reads ``exc_text``.
            record.exc_info = None
            record.msg, record.args = f"{record.getMessage()}\n{safe}", ()
    return record
