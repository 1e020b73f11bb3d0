"""A trade has two sides: one number is two fills where both orders are the account's own."""

from alembic import op

revision = "0009"
down_revision = "0008"

FILLS = """
ALTER TABLE fill DROP CONSTRAINT fill_pkey;
ALTER TABLE fill ADD PRIMARY KEY (account_id, trade_date, trade_id, order_id);
"""


def upgrade() -> None:
    op.execute(FILLS)
