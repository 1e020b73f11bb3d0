"""Who owns an account's orders and feed, and what an operator has halted."""

from alembic import op

revision = "0004"
down_revision = "0003"

LEASES = """
CREATE TABLE lease (
  name       text PRIMARY KEY,
  owner      text NOT NULL,
  term       bigint NOT NULL,
  taken_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
"""

HALTS = """
CREATE TABLE kill_switch (
  scope      text PRIMARY KEY,
  mode       text NOT NULL CHECK (mode IN ('halt', 'reduce_only')),
  reason     text NOT NULL,
  set_by     text NOT NULL,
  set_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN kill_switch.scope IS 'an account id, or * for all accounts; a row that exists is in force';
ALTER TABLE order_task ADD COLUMN reduces boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN order_task.reduces IS 'proven at acceptance to only make a position smaller: passes reduce_only';

CREATE TABLE admin_audit (
  entry_id    uuid PRIMARY KEY,
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  principal   text NOT NULL,
  action      text NOT NULL,
  subject     text NOT NULL,
  request_id  text,
  before      jsonb,
  after       jsonb
);
"""


def upgrade() -> None:
    op.execute(LEASES)
    op.execute(HALTS)
