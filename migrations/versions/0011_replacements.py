"""An order that takes another one's place: it waits for the other's end, and for one without a further fill."""

from alembic import op

revision = "0011"
down_revision = "0010"

TASKS = """
ALTER TABLE order_task ADD COLUMN replaces text;
ALTER TABLE order_task ADD COLUMN replaces_filled int;
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check
  CHECK (purpose IN ('client', 'rollback', 'square_off', 'late', 'halt', 'requeue', 'withdrawal', 'replace'));
"""


def upgrade() -> None:
    op.execute(TASKS)
