"""All fills of one order, whatever their days, by an index; those of a day are found by the primary key."""

from alembic import op

revision = "0012"
down_revision = "0011"

FILLS_OF_AN_ORDER = """
DROP INDEX fill_by_order;
CREATE INDEX fill_by_order ON fill (account_id, order_id, trade_date);
"""


def upgrade() -> None:
    op.execute(FILLS_OF_AN_ORDER)
