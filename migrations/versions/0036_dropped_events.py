"""What pruning has dropped of each account's event log: the newest such event, signed by the service."""

from alembic import op

revision = "0036"
down_revision = "0034"

DROPPED = """
CREATE TABLE event_dropped (
  account_id  text PRIMARY KEY,
  seq         bigint NOT NULL,       -- of the newest event that was dropped
  hash        bytea,                 -- of that event: the first one that is left follows it
  occurred_at timestamptz NOT NULL,  -- of that event
  dropped_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  signature   bytea NOT NULL         -- under a secret that is not in the database
);
"""


def upgrade() -> None:
    op.execute(DROPPED)
