"""By which route an attempt was made, for routes that have a budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; older attempts count for no route."""
    op.add_column("attempts", sa.Column("route", sa.Text()))
