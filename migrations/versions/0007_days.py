"""What is asked of one trading day stays fast however long the history is; an order is found by its id alone."""

from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES = """
CREATE INDEX order_task_by_day ON order_task (account_id, trade_date);
CREATE INDEX order_task_given_up ON order_task (account_id, trade_date)
  WHERE status = 'failed' AND operation = 'place' AND last_error ->> 'code' = 'NOT_FOUND_AT_BROKER';
CREATE INDEX broker_order_by_id ON broker_order (order_id, account_id, trade_date);
"""


def upgrade() -> None:
    op.execute(INDEXES)
