"""Routes: which recordings go to which providers, with which options.

Pure. ``settings.py`` reads and checks them; ``pipeline.plan`` applies them. First match wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

COMMON_OPTIONS = (
    "language",
    "diarize",
    "speakers_expected",
    "word_timestamps",
    "multichannel",
    "redact_pii",
    "sentiment",
    "entities",
    "highlights",
    "summary",
    "model",
    "keyterms",
    "webhook",
)
"""Options every route may set; a provider that cannot honour one is a configuration error."""


@dataclass(frozen=True)
class Route:
    """One rule of the configuration."""

    match: str
    """A glob over the key below the watched prefix: ``*`` stays in a folder, ``**`` does not."""
    providers: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per provider, passed through as written."""
    caps_micros: Mapping[str, int] = field(default_factory=dict)
    """Provider → what this route's recordings may cost there per UTC day; absent: no limit."""

    def options_for(self, provider: str) -> dict[str, Any]:
        """Return the common options plus what is passed through to ``provider`` under ``extra``."""
        options = {name: value for name, value in self.options.items() if value is not None}
        extra = self.extra.get(provider)
        if extra:
            options["extra"] = dict(extra)
        return options


def find_route(routes: Sequence[Route], relative_key: str) -> Route | None:
    """Return the first route whose pattern matches the key, or None."""
    for route in routes:
        if _compile_glob(route.match).fullmatch(relative_key):
            return route
    return None


@cache
def _compile_glob(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            parts.append("(?:.*/)?")
            position += 3
        elif pattern.startswith("**", position):
            parts.append(".*")
            position += 2
        elif pattern[position] == "*":
            parts.append("[^/]*")
            position += 1
        elif pattern[position] == "?":
            parts.append("[^/]")
            position += 1
        else:
            parts.append(re.escape(pattern[position]))
            position += 1
    return re.compile("".join(parts), re.DOTALL)
