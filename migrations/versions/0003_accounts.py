"""Accounts, their broker sessions, and the audit trail."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
    SELECT 1
    """)
