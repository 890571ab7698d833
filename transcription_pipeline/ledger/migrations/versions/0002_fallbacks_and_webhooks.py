"""Who takes over from a failed job, and what providers told by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a column to jobs, and a table."""
    op.add_column("jobs", sa.Column("fallback_at", sa.Text(), nullable=True))
    fell = sa.text("state = 'failed' AND fallback_at IS NULL")
    op.create_index("ix_jobs_failed", "jobs", ["job_id"], sqlite_where=fell, postgresql_where=fell)
    op.create_table(
        "webhook_deliveries",
        sa.Column(
            "delivery_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_job_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "uq_webhook_deliveries_body", "webhook_deliveries", ["provider", "body_sha256"], unique=True
    )
