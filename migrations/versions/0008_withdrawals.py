"""A placement that nobody wants any more: what it has made, or turns out to have made, is cancelled."""

from alembic import op

revision = "0008"
down_revision = "0007"

TASKS = """
ALTER TABLE order_task ADD COLUMN cancel_on_sight boolean NOT NULL DEFAULT false;
CREATE INDEX order_task_on_sight ON order_task (account_id, trade_date) WHERE cancel_on_sight;
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check
  CHECK (purpose IN ('client', 'rollback', 'square_off', 'late', 'halt', 'requeue', 'withdrawal'));
"""


def upgrade() -> None:
    op.execute(TASKS)
