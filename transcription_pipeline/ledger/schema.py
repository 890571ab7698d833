"""The ledger's tables, as SQLAlchemy Core metadata, the same on SQLite and PostgreSQL.

What belongs here: columns, keys and the indexes that carry invariants. The migrations create what
is written here; a test holds the two against each other. Only ``ledger/`` imports this module.

Instants are stored as ISO 8601 text in UTC with microseconds, so that both databases order and
compare them alike. Amounts are integer micros of a named currency.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from transcription_pipeline.domain.job import DEAD_STATES, AttemptState, JobState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for INTEGER PRIMARY KEY; PostgreSQL wants BIGINT for growth.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, values: type[AttemptState] | type[JobState]) -> CheckConstraint:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


recordings = Table(
    "recordings",
    metadata,
    Column("recording_id", Text, primary_key=True),
    Column("bucket", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("version_id", Text),
    Column("etag", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("last_modified_at", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("first_seen_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("container", Text),
    Column("codec", Text),
    Column("sample_rate_hz", Integer),
    Column("channel_count", Integer),
    Column("duration_ms", BigInteger),
    Column("audio_sha256", Text),
    Column("quarantine_reason", Text),
    Column("quarantine_detail", Text),
    Column("provider_count", Integer, nullable=False),  # how many providers its route named
)
Index("ix_recordings_day", recordings.c.day)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("recording_id", Text, ForeignKey("recordings.recording_id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("options_json", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("detail", Text),
    Column("attempt_count", Integer, nullable=False, default=0),
    Column("scheduled_at", Text),  # not to be worked on before
    Column("deadline_at", Text),
    Column("fallback_at", Text),  # when it was decided who takes over from it, if anybody
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    _one_of("state", JobState),
)
Index("ix_jobs_recording_id_provider", jobs.c.recording_id, jobs.c.provider)
Index("ix_jobs_day_provider_state", jobs.c.day, jobs.c.provider, jobs.c.state)
Index(
    "ix_jobs_open",
    jobs.c.day,
    jobs.c.provider,
    sqlite_where=text("state = 'in_progress'"),
    postgresql_where=text("state = 'in_progress'"),
)

_FELL = text("state = 'failed' AND fallback_at IS NULL")
Index("ix_jobs_failed", jobs.c.job_id, sqlite_where=_FELL, postgresql_where=_FELL)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    Column("recording_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("route", Text),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("provider_job_id", Text),
    Column("region", Text),
    Column("account", Text),  # a hash that tells one credential from another
    Column("audio_url_sha256", Text),
    Column("request_sealed", Text),  # only while its outcome is open
    Column("url_expires_at", Text),
    Column("sent_at", Text),
    Column("accepted_at", Text),
    Column("completed_at", Text),
    Column("stored_at", Text),
    Column("published_at", Text),
    Column("deadline_at", Text),
    Column("cause", Text),
    Column("detail", Text),
    Column("reserved_micros", BigInteger),
    Column("cost_micros", BigInteger),
    Column("currency", Text),
    Column("cost_source", Text),
    Column("billed_ms", BigInteger),
    Column("raw_key", Text),
    Column("raw_sha256", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    _one_of("state", AttemptState),
)
Index("uq_attempts_job_id_number", attempts.c.job_id, attempts.c.number, unique=True)
_LIVE = text("state NOT IN ({})".format(", ".join(f"'{s.value}'" for s in sorted(DEAD_STATES))))
# Invariant: a job has at most one live attempt. An index, not code, because code runs twice.
Index(
    "uq_attempts_one_live",
    attempts.c.job_id,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)
Index("ix_attempts_provider_created_at", attempts.c.provider, attempts.c.created_at)
_NAMED = text("provider_job_id IS NOT NULL")
# Invariant: one provider job belongs to one attempt.
Index(
    "uq_attempts_provider_job",
    attempts.c.provider,
    attempts.c.provider_job_id,
    unique=True,
    sqlite_where=_NAMED,
    postgresql_where=_NAMED,
)

evidence = Table(
    "evidence",  # append-only and never fenced: a zombie may lose its decision, not what it saw
    metadata,
    Column("evidence_id", RowNumber, primary_key=True, autoincrement=True),
    Column("attempt_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("provider_job_id", Text),
    Column("cause", Text),
    Column("detail", Text),
    Column("at", Text, nullable=False),
)
Index("ix_evidence_attempt_id", evidence.c.attempt_id)

transitions = Table(
    "transitions",
    metadata,
    Column("transition_id", RowNumber, primary_key=True, autoincrement=True),
    Column("attempt_id", Text, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("cause", Text),
    Column("at", Text, nullable=False),
)
Index("ix_transitions_attempt_id", transitions.c.attempt_id)

charges = Table(
    "charges",
    metadata,
    Column("attempt_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_job_id", Text),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("attempt_id", "source", name="pk_charges"),
)

gates = Table(
    "gates",  # why a provider gets no paid request at the moment; no row means open
    metadata,
    Column("provider", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("until_at", Text, nullable=False),
    Column("at", Text, nullable=False),
)

leases = Table(
    "leases",  # one worker per partition; the fence grows with every takeover
    metadata,
    Column("day", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until_at", Text, nullable=False),
    PrimaryKeyConstraint("day", "provider", name="pk_leases"),
)

webhook_deliveries = Table(
    "webhook_deliveries",  # what providers told by themselves: hints, and nothing is decided by them
    metadata,
    Column("delivery_id", RowNumber, primary_key=True, autoincrement=True),
    Column("provider", Text, nullable=False),
    Column("provider_job_id", Text, nullable=False),
    Column("status", Text),  # the provider's own word
    Column(
        "body_sha256", Text, nullable=False
    ),  # of the body, which may hold speech and is not kept
    Column("received_at", Text, nullable=False),
)
_c = webhook_deliveries.c
# Invariant: a delivery that is repeated is one delivery.
Index("uq_webhook_deliveries_body", _c.provider, _c.body_sha256, unique=True)

identity = Table(
    "identity",  # one row: which ledger this is, and how far it has come (engine/claim.py)
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("ledger_id", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("adopted_at", Text),  # what was sent before is not known here (engine/forgotten.py)
    Column("adopted_by", Text),
    Column("unknown_since", Text),  # from then on; null: as long as there are recordings
    CheckConstraint("number = 1", name="number"),
)

publications = Table(
    "publications",  # what the catalogue tables of a day were last written from
    metadata,
    Column("day", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
)

wait_models = Table(
    "wait_models",  # what is known of how long a provider takes (domain/wait_model.py)
    metadata,
    Column("provider", Text, primary_key=True),
    Column("parameters_json", Text, nullable=False),
    Column("observation_count", Integer, nullable=False),
    Column("spread", Float, nullable=False),
)
