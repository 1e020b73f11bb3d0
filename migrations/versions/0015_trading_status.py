"""Whether an order of an account would reach the broker now, and if not, why: written by the account's owner.

A row that was not written for some seconds says that no process sends for the account. It is written often and on one
page, so half of the page is kept free for the new versions of its rows.
"""

from alembic import op

revision = "0015"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        """CREATE TABLE trading_status (
             account_id text PRIMARY KEY,
             term bigint NOT NULL,
             reasons text[] NOT NULL,
             detail jsonb NOT NULL,
             since timestamptz NOT NULL,
             written_at timestamptz NOT NULL
           ) WITH (fillfactor = 50)"""
    )
