"""The data dictionary of the README, made from ``schema.py``.

``python -m transcription_pipeline.tables.dictionary README.md`` writes it between its two marks;
with ``--check`` it only says whether the README is true.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from transcription_pipeline.tables.schema import LABEL, TABLES

BEGIN = "<!-- data dictionary: begin -->"
END = "<!-- data dictionary: end -->"


def make_dictionary() -> str:
    """Return the data dictionary as Markdown."""
    parts = []
    for table in TABLES.values():
        by = "`date` and `provider`" if table.is_by_provider else "`date`"
        parts.append(f"#### `{table.name}`\n\n{table.description} Partitioned by {by}.\n")
        parts.append("| column | type | unit | meaning |\n|---|---|---|---|")
        parts += [f"| `{c.name}` | {_name(c.type)} | {c.unit} | {c.description} |" for c in table]
        parts.append("")
    return "\n".join(parts)


def put_into(text: str) -> str:
    """Return ``text`` with the dictionary between the marks; raises ``ValueError`` without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the marks of the data dictionary are missing")
    return f"{before}{BEGIN}\n{make_dictionary()}{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the dictionary, or check it."""
    file = Path(arguments[-1])
    text = file.read_text()
    made = put_into(text)
    if "--check" in arguments:
        if made != text:
            sys.stderr.write(f"{file}: the data dictionary is not what tables/schema.py says\n")
        return int(made != text)
    file.write_text(made)
    return 0


def _name(kind: pa.DataType) -> str:
    if kind == LABEL:
        return "string"
    return "timestamp UTC" if pa.types.is_timestamp(kind) else str(kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
