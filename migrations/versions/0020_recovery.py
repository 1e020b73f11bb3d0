"""Which accounts recover from a loss of the database, and by what a database is recognised that was put back.

``lease.generation`` rises with every renewal and every claim, so that an owner notices a copy from before them.
"""

from alembic import op

revision = "0020"
down_revision = "0017"

RECOVERY = """
CREATE TABLE account_recovery (
  account_id  text PRIMARY KEY,
  sign        text NOT NULL,
  began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  quiet_from  timestamptz NOT NULL,
  clean_reads int NOT NULL DEFAULT 0,
  ended_at    timestamptz,
  dismissed   text[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
COMMENT ON COLUMN account_recovery.quiet_from IS 'no older owner can have sent an order after this';
COMMENT ON COLUMN account_recovery.clean_reads IS 'clean reads of the book that began after quiet_from';
COMMENT ON COLUMN account_recovery.dismissed IS 'orders without a tag that an operator calls none of this service';
ALTER TABLE lease ADD COLUMN generation bigint NOT NULL DEFAULT 0;
ALTER TABLE order_task DROP CONSTRAINT order_task_purpose_check;
ALTER TABLE order_task ADD CONSTRAINT order_task_purpose_check CHECK (purpose IN
  ('client', 'square_off', 'requeue', 'unwanted', 'replace', 'recovered', 'rollback', 'late', 'halt', 'withdrawal'));
"""


def upgrade() -> None:
    op.execute(RECOVERY)
