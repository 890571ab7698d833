"""The one registry of tables and columns: type, unit and meaning of everything users query.

Arrow schemas, the columns tab in Dagster, DuckDB comments and the data dictionary in the README are
all made from here. What builds the rows is ``build.py``; what writes them ``parquet.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from transcription_pipeline.domain.transcript import INSIGHT_KINDS

STRING = pa.string()
# Few distinct values over many rows: a string in every reader, dictionary-encoded in the file.
LABEL = pa.dictionary(pa.int32(), pa.string())
INDEX = pa.int32()
MILLISECONDS = pa.int64()
INSTANT = pa.timestamp("us", tz="UTC")
CONFIDENCE = pa.float32()


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``unit`` is empty where the type says everything."""

    name: str
    type: pa.DataType
    description: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: its columns in order and the key that orders its rows."""

    name: str
    description: str
    columns: tuple[Column, ...]
    sort_by: tuple[str, ...]
    is_by_provider: bool = True
    """False for tables partitioned by day alone."""

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema, each field documented."""
        return pa.schema(
            [
                pa.field(
                    c.name,
                    STRING if c.type == LABEL else c.type,
                    metadata={"description": c.description, "unit": c.unit},
                )
                for c in self.columns
            ]
        )

    @property
    def dictionary_columns(self) -> list[str]:
        """Columns whose values repeat: labels, confidences, identities, and words."""
        repeating = {"recording_id", "confidence"} | ({"text"} if self.name == "words" else set())
        return [c.name for c in self.columns if c.type == LABEL or c.name in repeating]

    @property
    def delta_columns(self) -> list[str]:
        """Integer columns: neighbours differ little, so differences are stored."""
        return [c.name for c in self.columns if pa.types.is_integer(c.type)]

    def __iter__(self) -> Iterator[Column]:
        """Go through the columns in order."""
        return iter(self.columns)


_RECORDING = Column("recording_id", STRING, "Identity of the recording: 32 hex digits")
# The provider is a partition key, and also a column, so that one file alone says what it is.
_PROVIDER = Column("provider", LABEL, "Who transcribed")
_START = Column("start_ms", MILLISECONDS, "Start in the recording, inclusive", "ms")
_END = Column("end_ms", MILLISECONDS, "End in the recording, exclusive", "ms")
_CHANNEL = Column("channel", INDEX, "Audio channel, 0-based; null when not told apart")
_SPEAKER = Column(
    "speaker_label", LABEL, "Label of the speaker within this transcript; null when not given"
)
_TEXT = Column("text", STRING, "What was said")


def _confidence(of: str) -> Column:
    return Column("confidence", CONFIDENCE, f"The provider's own confidence in the {of}", "0-1")


RECORDINGS = TableSchema(
    "recordings",
    "One row per version of an audio object.",
    (
        _RECORDING,
        Column("bucket", LABEL, "Bucket the audio lies in"),
        Column("key", STRING, "Complete object key, exactly as stored"),
        Column("version_id", STRING, "Object version; null where a plain listing found it"),
        Column("etag", STRING, "The store's ETag, without quotes"),
        Column("size_bytes", pa.int64(), "Size of the object", "bytes"),
        Column("last_modified_at", INSTANT, "When the object was written, by the store's clock"),
        Column("first_seen_at", INSTANT, "When discovery first saw it"),
        Column("container", LABEL, "Container found in the content; null until probed"),
        Column("codec", LABEL, "Audio codec found in the content; null until probed"),
        Column("sample_rate_hz", INDEX, "Samples per second", "Hz"),
        Column("channel_count", INDEX, "Audio channels"),
        Column("duration_ms", MILLISECONDS, "Length of the audio as probed", "ms"),
        Column("audio_sha256", STRING, "SHA-256 of the bytes; null until they were read whole"),
        Column(
            "quarantine_reason", LABEL, "Why it goes to no provider; null when nothing is wrong"
        ),
    ),
    ("recording_id",),
    is_by_provider=False,
)

TRANSCRIPTS = TableSchema(
    "transcripts",
    "One row per recording and provider: what was heard, by which job, at what cost.",
    (
        _RECORDING,
        _PROVIDER,
        Column("job_id", STRING, "Our wish: recording × provider × options"),
        Column("attempt_id", STRING, "The submission that was answered"),
        Column("provider_job_id", STRING, "The provider's own identifier"),
        Column("region", LABEL, "The provider's region; null where it has none"),
        Column("model", LABEL, "Model the provider says it used"),
        Column("language", LABEL, "Language as the provider writes it"),
        Column("language_confidence", CONFIDENCE, "The provider's confidence in it", "0-1"),
        Column(
            "duration_ms", MILLISECONDS, "Length of the audio as the provider measured it", "ms"
        ),
        _TEXT,
        _confidence("transcript"),
        Column("speaker_count", INDEX, "Distinct speaker labels; 0 when none were given"),
        Column("segment_count", INDEX, "Rows in segments"),
        Column("utterance_count", INDEX, "Rows in utterances"),
        Column("word_count", INDEX, "Rows in words"),
        Column("cost_micros", pa.int64(), "What it cost", "millionths of currency"),
        Column("currency", LABEL, "ISO 4217 code, or the provider's unit; null when free"),
        Column("cost_source", LABEL, "provider (told by it) or price_list (computed)"),
        Column("billed_ms", MILLISECONDS, "Audio time billed", "ms"),
        Column("submitted_at", INSTANT, "When the request was sent"),
        Column(
            "completed_at", INSTANT, "When the job was done, by the provider's word or our look"
        ),
        Column("collected_at", INSTANT, "When the raw answer was safe in the lake"),
        Column("options_json", STRING, "Options of the job, canonical JSON"),
        Column("raw_uri", STRING, "Where the raw answer lies"),
        Column("raw_sha256", STRING, "SHA-256 of the raw answer, uncompressed"),
        Column("normaliser_version", INDEX, "Version of the code that read the raw answer"),
    ),
    ("recording_id",),
)

SEGMENTS = TableSchema(
    "segments",
    "Timed stretches as the provider cut them; sentences where that is its finest text unit.",
    (
        _RECORDING,
        _PROVIDER,
        Column("segment_index", INDEX, "0-based place in the transcript"),
        _START,
        _END,
        _CHANNEL,
        _SPEAKER,
        _TEXT,
        _confidence("segment"),
        Column("language", LABEL, "Language of the segment; null when told only for the whole"),
    ),
    ("recording_id", "segment_index"),
)

UTTERANCES = TableSchema(
    "utterances",
    "One speaker's uninterrupted turns.",
    (
        _RECORDING,
        _PROVIDER,
        Column("utterance_index", INDEX, "0-based place in the transcript"),
        _START,
        _END,
        _CHANNEL,
        _SPEAKER,
        _TEXT,
        _confidence("utterance"),
        Column("word_count", INDEX, "Words in it; null when the answer has none"),
        Column("overlaps_previous", pa.bool_(), "Starts before an earlier utterance has ended"),
    ),
    ("recording_id", "utterance_index"),
)

WORDS = TableSchema(
    "words",
    "The smallest timed units.",
    (
        _RECORDING,
        _PROVIDER,
        Column("word_index", INDEX, "0-based place in the transcript"),
        Column("utterance_index", INDEX, "The utterance it belongs to"),
        Column("segment_index", INDEX, "The segment it belongs to; null when in none"),
        _START,
        _END,
        _CHANNEL,
        _SPEAKER,
        _TEXT,
        _confidence("word"),
    ),
    ("recording_id", "word_index"),
)

INSIGHTS = TableSchema(
    "insights",
    "What a provider's further analyses found: one row per finding, in the words of its kind.",
    (
        _RECORDING,
        _PROVIDER,
        Column("insight_index", INDEX, "0-based place in the transcript, kind by kind"),
        Column("kind", LABEL, f"One of {', '.join(INSIGHT_KINDS)}"),
        Column(
            "start_ms", MILLISECONDS, "Start in the recording, inclusive; null: all of it", "ms"
        ),
        Column("end_ms", MILLISECONDS, "End in the recording, exclusive; null: all of it", "ms"),
        Column("speaker_label", LABEL, "Who spoke there; null when the analysis does not say"),
        Column(
            "label", LABEL, "What it was found to be: type, mood, topic, policy, gist, language"
        ),
        Column("text", STRING, "What it is about, quoted, or what was written about it"),
        Column("score", CONFIDENCE, "The provider's number for it, by kind (see README)"),
        Column("payload_json", STRING, "What has no column here, as JSON; null when nothing"),
    ),
    ("recording_id", "insight_index"),
)

JOBS = TableSchema(
    "jobs",
    "One row per job with its newest attempt: the ledger for analysts.",
    (
        Column("job_id", STRING, "Our wish: recording × provider × options"),
        _RECORDING,
        _PROVIDER,
        Column("state", LABEL, "in_progress, published, failed, held or quarantined"),
        Column("cause", LABEL, "Short code of why; null when there is nothing to explain"),
        Column("attempt_count", INDEX, "Submissions so far"),
        Column("attempt_id", STRING, "The newest submission; null before the first"),
        Column("attempt_state", LABEL, "Where the newest submission stands"),
        Column("provider_job_id", STRING, "The provider's own identifier"),
        Column("scheduled_at", INSTANT, "Not worked on before; null means at once"),
        Column("deadline_at", INSTANT, "When it is held if still unfinished"),
        Column("reserved_micros", pa.int64(), "Reserved before submit", "millionths of currency"),
        Column("cost_micros", pa.int64(), "What it cost", "millionths of currency"),
        Column("currency", LABEL, "ISO 4217 code, or the provider's unit"),
        Column("created_at", INSTANT, "When it was planned"),
        Column("updated_at", INSTANT, "When the ledger last changed it"),
    ),
    ("recording_id", "provider", "job_id"),
    is_by_provider=False,
)

TRANSCRIPT_TABLES = (TRANSCRIPTS, SEGMENTS, UTTERANCES, WORDS, INSIGHTS)
"""The tables made from raw answers, partitioned by day and provider."""

TABLES: dict[str, TableSchema] = {t.name: t for t in (RECORDINGS, *TRANSCRIPT_TABLES, JOBS)}
