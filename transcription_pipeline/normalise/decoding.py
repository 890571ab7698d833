"""From a provider's bytes to typed values, or to an error that names the place; pure.

What belongs here: what every JSON answer has in common, whoever sent it: text no table can hold, and
the translation of a decoder's complaint. What does not: any field of any provider, which is for the
modules beside this one to know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from transcription_pipeline.errors import NormaliseError

T = TypeVar("T")

# An escaped backslash is matched first, so that the text ``\\u0000`` is left alone.
_ESCAPES = re.compile(
    rb"\\\\|\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[dD][c-fC-F][0-9a-fA-F]{2})"
)
_PAIR_BYTES = len(rb"\ud83d\ude00")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MOST_NAMES = 20


def decode(decoder: msgspec.json.Decoder[T], body: bytes, provider: str, at: str = "$") -> T:
    """Decode an answer, or the part of one that lies ``at`` a path; NUL, lone surrogates replaced.

    Raises ``NormaliseError`` with the JSON path of the first thing that is not as it should be.
    """
    # The single byte first: looking for it costs a fiftieth of looking for two.
    if b"\\" in body and any(start in body for start in (b"\\u0000", b"\\ud", b"\\uD")):
        body = _ESCAPES.sub(_replace_escape, body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # msgspec: "Expected `int`, got `str` - at `$.words[...].start`"
        what, _, where = str(error).partition(" - at ")
        raise NormaliseError(provider, at + where.strip("`")[1:], what) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NormaliseError(provider, at, f"{len(body)} bytes that are not JSON") from None


def list_unknown(body: bytes, known: frozenset[str], path: Sequence[str] = ()) -> tuple[str, ...]:
    """Name the fields of the object at ``path`` that are not among ``known``, sorted.

    Reads the whole answer once more, a quarter of what normalising costs. At most ``_MOST_NAMES``,
    and what does not look like a name is not repeated: keys are the provider's, and may hold
    anything. Nothing is raised for an answer that cannot be read.
    """
    try:
        part = body
        for step in (*path, None):
            fields = _FIELDS.decode(part)
            part = fields.get(step, msgspec.Raw()) if step else part
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    names = {n if _NAME.fullmatch(n) else "(no name)" for n in fields.keys() - known}
    return tuple(sorted(names)[:_MOST_NAMES])


def _replace_escape(match: re.Match[bytes]) -> bytes:
    # Pairs and escaped backslashes stay.
    found = match[0]
    return found if len(found) in (2, _PAIR_BYTES) else rb"\ufffd"
