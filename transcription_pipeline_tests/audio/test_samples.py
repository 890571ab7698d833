"""The sample recordings say what their manifest says, as far as the local recogniser can tell."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import jiwer
import pytest

from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline_tests.audio.sample_set import (
    FOLDER,
    SAMPLES,
    SPOKEN,
    STEREO,
    hear,
    name_of,
)

pytestmark = pytest.mark.slow

MAX_WER = {"full": 0.15, "8k": 0.35}
# The synthesiser fades in and out; the recogniser's edges lie within this of the loud part.
EDGE_MS = 300


def list_turns(file: str) -> list[tuple[int, int, int, str]]:
    """List (start, end, channel, text) of all channels in order of speech."""
    return sorted(
        (turn.start_ms, turn.end_ms, channel.channel, turn.text)
        for channel in hear(file).channels
        for turn in channel.turns
    )


@pytest.mark.parametrize("sample", SPOKEN, ids=name_of)
def test_word_error_rate(sample: dict[str, Any]) -> None:
    """Every spoken sample is recognised within the error rate its band allows."""
    heard = " ".join(text for *_, text in list_turns(sample["file"]))
    assert jiwer.wer(sample["text"], heard) <= MAX_WER[sample["band"]]


@pytest.mark.parametrize("sample", STEREO, ids=name_of)
def test_speakers_in_order(sample: dict[str, Any]) -> None:
    """Every turn of a stereo sample is heard on its speaker's channel, in order and in time."""
    heard = []
    for channel, run in groupby(list_turns(sample["file"]), key=lambda turn: turn[2]):
        turns = list(run)
        heard.append((channel, turns[0][0], turns[-1][1]))
    assert [turn[0] for turn in heard] == [turn["channel"] for turn in sample["turns"]]
    for (_, start_ms, end_ms), truth in zip(heard, sample["turns"], strict=True):
        assert start_ms == pytest.approx(truth["start_ms"], abs=EDGE_MS)
        assert end_ms == pytest.approx(truth["end_ms"], abs=EDGE_MS)


def test_manifest_is_complete() -> None:
    """Every entry names a small file, a key of its own and an outcome the pipeline knows."""
    keys = [sample["key"] for sample in SAMPLES]
    assert len(set(keys)) == len(keys)
    assert {sample["file"] for sample in SAMPLES} == {
        path.name for path in FOLDER.iterdir() if path.suffix not in {".py", ".json", ""}
    }
    for sample in SAMPLES:
        assert (FOLDER / sample["file"]).stat().st_size < 100_000
        assert len(sample["key"].encode()) <= 1_000
        if sample["expected"] == "quarantined":
            assert sample["quarantine_reason"] in set(QuarantineReason)


def test_odd_keys_are_covered() -> None:
    """The samples' keys hold a space, a plus, a literal %2F, other scripts, and one of 900 bytes."""
    keys = [sample["key"] for sample in SAMPLES]
    for oddity in (" ", "+", "%2F", "面", "р"):
        assert any(oddity in key for key in keys)
    assert max(len(key.encode()) for key in keys) >= 890
