"""When a person let this ledger go on in a lake that another one had paid for, see ``engine/claim.py``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns; no ledger has adopted anything yet."""
    for name in ("adopted_at", "adopted_by", "unknown_since"):
        op.add_column("identity", sa.Column(name, sa.Text()))
