"""What a doubt hangs on: a lake that was taken over (``engine/claim.py``), an account that changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns; no ledger has adopted anything yet, and older attempts name no account."""
    op.add_column("attempts", sa.Column("account", sa.Text()))
    for name in ("adopted_at", "adopted_by", "unknown_since"):
        op.add_column("identity", sa.Column(name, sa.Text()))
