"""When the next read of each kind may be sent for an account, over all replicas: the broker counts them together.

Nothing is lost with these rows, so they are not logged.
"""

from alembic import op

revision = "0017"
down_revision = "0023"

READ_PACE = """
CREATE UNLOGGED TABLE read_pace (
  name    text PRIMARY KEY,
  free_at timestamptz NOT NULL
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(READ_PACE)
