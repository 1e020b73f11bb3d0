"""From which addresses orders leave: the running replicas with theirs, and what the broker said of each address.

The rows are few and change often, so half of the pages are kept free for new versions.
"""

from alembic import op

revision = "0032"
down_revision = "0020"

EGRESS = """
CREATE TABLE sender_replica (
  replica text PRIMARY KEY,         -- as the owner of a lease
  address text NOT NULL,            -- as the broker sees it, or a text that names the replica when that is not known
  listed  boolean NOT NULL,         -- ALLOWED_EGRESS_IPS of this replica names it, or is not set
  seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE egress_address (
  account_id    text NOT NULL,
  address       text NOT NULL,
  accepted_at   timestamptz,        -- when the broker first took an order from it; null again once it refuses one
  refused_at    timestamptz,
  refused_until timestamptz,        -- until then no replica with this address owns the account
  message       text,               -- the broker's
  PRIMARY KEY (account_id, address)
);
"""


def upgrade() -> None:
    op.execute(EGRESS)
