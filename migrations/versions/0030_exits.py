"""Exits: until when a placement that closes a position is followed, and the modifications that move its price."""

from alembic import op

revision = "0030"
down_revision = "0032"

EXITS = """
ALTER TABLE order_task ADD COLUMN exit_by timestamptz;
COMMENT ON COLUMN order_task.exit_by IS 'of an exit: until then its price follows the market';
CREATE INDEX order_task_exits ON order_task (account_id, instrument) WHERE exit_by IS NOT NULL;
CREATE INDEX order_task_exit_moves ON order_task (account_id, created_at) WHERE purpose = 'exit_move';
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check CHECK (purpose IN ('client', 'square_off', 'exit_move',
  'requeue', 'unwanted', 'replace', 'recovered', 'rollback', 'late', 'halt', 'withdrawal'));
"""


def upgrade() -> None:
    op.execute(EXITS)
