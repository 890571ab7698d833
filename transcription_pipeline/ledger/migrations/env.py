"""Alembic's entry: run the migrations on the connection that ``database.py`` opened."""

from __future__ import annotations

from alembic import context

from transcription_pipeline.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
