"""An order is found by its id alone, whether its account is named or not; live orders without those of the day."""

from alembic import op

revision = "0010"
down_revision = "0009"

ORDER_INDEXES = """
DROP INDEX order_task_by_order;
CREATE INDEX order_task_by_order ON order_task (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX broker_order_live ON broker_order (account_id, trade_date)
  WHERE state NOT IN ('completed', 'cancelled', 'rejected');
"""


def upgrade() -> None:
    op.execute(ORDER_INDEXES)
