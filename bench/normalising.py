"""One way of turning stored raw answers into Parquet files, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from bench.gauges import Stretch, answer

BATCH = 100


def read_answers(folder: Path) -> list[bytes]:
    """Return the raw answers a run stored, in order of recording."""
    found = sorted((folder / "lake" / "raw").rglob("*.zst"))
    return [zstandard.decompress(path.read_bytes()) for path in found]


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Normalise and write all answers; reading and decompressing them is not counted."""
    folder = Path(order["folder"])
    answers = read_answers(folder)
    out = folder / f"out-{order['way']}"
    out.mkdir()
    WAYS[order["way"]](answers[:BATCH], out)  # imports and first uses are not counted
    stretch = Stretch()
    words = WAYS[order["way"]](answers, out)
    result: dict[str, Any] = {"words": words, **stretch.read()}
    if order["way"] == "ours":
        result["bytes_per_word"] = (out / "words.parquet").stat().st_size / words
        raw = sum(path.stat().st_size for path in (folder / "lake" / "raw").rglob("*.zst"))
        result["raw_share"] = raw / sum(map(len, answers))
    return result


def ours(answers: list[bytes], out: Path) -> int:
    """The product's own normaliser, tables and Parquet writer."""
    from transcription_pipeline.normalise.assemblyai import normalise
    from transcription_pipeline.tables.build import build_tables
    from transcription_pipeline.tables.parquet import Batch, merge_partition
    from transcription_pipeline.tables.schema import TRANSCRIPT_TABLES

    def batches() -> Iterator[Batch]:
        for start in range(0, len(answers), BATCH):
            yield build_tables(
                [
                    ({"recording_id": f"{start + n:032x}", "provider": "assemblyai"}, normalise(a))
                    for n, a in enumerate(answers[start : start + BATCH])
                ]
            )

    merged = merge_partition({}, batches(), tables=TRANSCRIPT_TABLES, replaced_ids=(), folder=out)
    return merged["words"][1]


def from_pylist(answers: list[bytes], out: Path) -> int:
    """The standard library's parser and Arrow's conversion of dictionaries."""
    words = 0
    for number, start in enumerate(range(0, len(answers), BATCH)):
        tables: dict[str, list[dict[str, Any]]] = {"words": [], "segments": [], "utterances": []}
        for body in answers[start : start + BATCH]:
            document = json.loads(body)
            for index, turn in enumerate(document["utterances"]):
                plain = {name: value for name, value in turn.items() if name != "words"}
                row = {"id": document["id"], "utterance_index": index, **plain}
                tables["utterances"].append(row)
                tables["segments"].append(row)
                tables["words"] += [
                    {"id": document["id"], "utterance_index": index, **word}
                    for word in turn["words"]
                ]
        words += len(tables["words"])
        for name, rows in tables.items():
            pq.write_table(pa.Table.from_pylist(rows), out / f"{name}-{number}.parquet")
    return words


def with_pandas(answers: list[bytes], out: Path) -> int:
    """``pandas.json_normalize`` per answer, concatenated per batch, ``to_parquet``."""
    import pandas as pd

    words = 0
    for number, start in enumerate(range(0, len(answers), BATCH)):
        frames: dict[str, list[Any]] = {"words": [], "segments": [], "utterances": []}
        for body in answers[start : start + BATCH]:
            document = json.loads(body)
            spoken = pd.json_normalize(document, ["utterances", "words"], ["id"])
            turns = pd.json_normalize(document, "utterances", ["id"]).drop(columns="words")
            frames["words"].append(spoken)
            frames["utterances"].append(turns)
            frames["segments"].append(turns)
        for name, parts in frames.items():
            frame = pd.concat(parts, ignore_index=True)
            words += len(frame) if name == "words" else 0
            frame.to_parquet(out / f"{name}-{number}.parquet")
    return words


WAYS = {"ours": ours, "json": from_pylist, "pandas": with_pandas}

if __name__ == "__main__":
    answer(work)
