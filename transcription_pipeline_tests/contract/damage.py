"""Good answers made bad: one documented field, or the whole body, is not what it should be.

What is drawn comes from a ``random.Random``, so that hypothesis can draw it and shrink it, and a
batch can draw it from a seed. Nothing here knows a provider.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

UNKNOWN_FIELD = "field_of_tomorrow"
RAW = (
    *("null", "true", "false", "0", "-1", "1.5", '"x"', '""', "[]", "{}", "[null]", '{"a": 1}'),
    *("NaN", "Infinity", "-Infinity", "1e400", "1e308", "-0.0", str(2**63), "9" * 5_000),
    *(r'"\ud800"', r'"\udc00 lone"', r'"nul\u0000"', '"\u202e"', '"' + "x" * 20_000 + '"'),
    *("[" * 3_000 + "]" * 3_000, '{"a":' * 3_000 + "1" + "}" * 3_000),
    '"https://elsewhere.invalid/?X-Amz-Signature=1"',
)
"""JSON, or nearly, that is put where something else was."""
_TYPES = (
    *(
        "application/json",
        "text/html",
        "text/plain; charset=klingon",
        "",
        "application/octet-stream",
    ),
    *("application/json; charset=utf-16", "\xff"),
)
_PAGE = b"<!doctype html><html><body>Please log in</body></html>"


@dataclass(frozen=True)
class Answer:
    """One answer on the wire."""

    status: int
    content_type: str
    body: bytes


def damage(answer: Answer, dice: Random) -> Answer:
    """Return the answer with one to three faults in its fields, or as a body that is none."""
    if dice.random() < 0.1:
        answer = replace(answer, content_type=dice.choice(_TYPES))
    if dice.random() < 0.8:
        return replace(answer, body=damage_fields(answer.body, dice))
    return replace(answer, body=_spoil(answer.body, dice))


def add_fields(answer: Answer) -> Answer:
    """Return the answer with a field that nobody knows in each of its objects."""
    return replace(answer, body=json.dumps(_extend(json.loads(answer.body))).encode())


def _extend(value: Any) -> Any:
    if value and isinstance(value, dict):  # an empty one may be a map, which has no fields
        return {name: _extend(inner) for name, inner in value.items()} | {UNKNOWN_FIELD: [1, "x"]}
    return [_extend(inner) for inner in value] if isinstance(value, list) else value


def damage_fields(body: bytes, dice: Random) -> bytes:
    """Replace, drop, double or add fields at random places of a JSON body."""
    document = {"": json.loads(body)}
    put: list[str] = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        parent, name = _walk(document, dice)
        raw, how = dice.choice(RAW), dice.random()
        if how < 0.2 and name:
            del parent[name]
        elif how < 0.3 and isinstance(parent, dict) and name:
            put.append(f"{json.dumps(_plain(parent[name]))}, {json.dumps(name)}: {raw}")
            parent[name] = f"@@{len(put)}@@"
        elif how < 0.4 and isinstance(parent, dict) and name:
            put.append(raw)
            parent[UNKNOWN_FIELD] = f"@@{len(put)}@@"
        else:
            put.append(raw)
            parent[name] = f"@@{len(put)}@@"
    text = json.dumps(document.get(""))
    for number, raw in reversed(list(enumerate(put, 1))):
        text = text.replace(f'"@@{number}@@"', raw)
    return text.encode("utf-8")


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else None


def _walk(document: Any, dice: Random) -> tuple[Any, Any]:
    """Go down from the whole to a field, or to one inside it."""
    parent, name = document, ""
    for _ in range(dice.choice((1, 2, 2, 3, 3, 4, 5, 6, 7))):
        value = parent[name]
        if not value or not isinstance(value, dict | list):
            break
        parent = value
        name = dice.choice(list(value)) if isinstance(value, dict) else dice.randrange(len(value))
    return parent, name


def _spoil(body: bytes, dice: Random) -> bytes:
    """Return something that is no longer this body."""
    piece = dice.choice((b"\xff", b"\x00", b"\xed\xa0\x80", b"\\"))
    at = dice.randrange(len(body) + 1)
    bodies: tuple[bytes, ...] = (
        *(b"", _PAGE, b"null", b"[]", b"{}", b'""', b"0", b"[{}]", b'{"error": {}}'),
        *(body[:at], body[:at] + piece + body[at:], body + body, b"\xef\xbb\xbf" + body),
        body.decode("utf-8", "replace").encode("utf-16"),
        b"[" * 100_000,
        b'{"data":' * 50_000 + b"1" + b"}" * 50_000,
        dice.randbytes(dice.randrange(200)),
    )
    return dice.choice(bodies)
