"""Which ledger this is, and how far it has come: see ``engine/claim.py``."""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the one row."""
    identity = op.create_table(
        "identity",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ledger_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_identity_number")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_identity")),
    )
    op.bulk_insert(identity, [{"number": 1, "ledger_id": uuid4().hex, "epoch": 0}])
