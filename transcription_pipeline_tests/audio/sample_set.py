"""The committed sample recordings as their manifest describes them, recognised at most once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from transcription_pipeline.audio.recognise import Recognition, recognise

FOLDER = Path(__file__).resolve().parents[2] / "samples"
SAMPLES: list[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text("utf-8"))["samples"]

# Several keys may stand for one file; a file is listened to once.
_BY_FILE = {sample["file"]: sample for sample in SAMPLES}
GOOD = [sample for sample in _BY_FILE.values() if sample["expected"] == "published"]
BAD = [sample for sample in _BY_FILE.values() if sample["expected"] == "quarantined"]
SPOKEN = [sample for sample in GOOD if sample["text"]]
STEREO = [sample for sample in SPOKEN if sample["channels"] == 2]


def name_of(sample: dict[str, Any]) -> str:
    """Name a sample in a test's id."""
    return str(sample["file"])


@cache
def hear(file: str) -> Recognition:
    """Recognise a sample, once per test session."""
    return recognise(FOLDER / file)
