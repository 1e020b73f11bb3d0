"""Mass cancels: which placements and orders one request of a client matched, so that its answer can be repeated."""

from alembic import op

revision = "0023"
down_revision = "0015"

MASS_CANCELS = """
CREATE TABLE mass_cancel (
  mass_cancel_id uuid PRIMARY KEY,
  account_id     text NOT NULL,
  task_ids       uuid[] NOT NULL,   -- placements, also unsent ones
  order_ids      text[] NOT NULL,   -- orders of other applications
  trade_dates    date[] NOT NULL,   -- of order_ids: the broker's ids are unique within a day only
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE idempotency_key DROP CONSTRAINT idempotency_key_kind_check;
ALTER TABLE idempotency_key ADD CONSTRAINT idempotency_key_kind_check CHECK (kind IN ('task', 'batch', 'mass_cancel'));
"""


def upgrade() -> None:
    op.execute(MASS_CANCELS)
