"""What is asked of one trading day stays fast however long the history is; an order is found by its id alone."""

from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES = """
CREATE INDEX order_task_by_day ON order_task (account_id, trade_date);
CREATE INDEX broker_order_by_id ON broker_order (order_id, account_id, trade_date);
"""


def upgrade() -> None:
    op.execute(INDEXES)
