"""Tags that do not come from the database, and the key of an order by its task.

``configured`` is false in a database that made its own code: its first process of this release stores the code of the
settings. ``order_task.tag_base`` keeps the older tags, so their orders are recognised as before.
"""

from alembic import op

revision = "0019"
down_revision = "0014"

TAGS = """
ALTER TABLE deployment ADD COLUMN configured boolean NOT NULL DEFAULT false;
CREATE INDEX idempotency_key_by_resource ON idempotency_key (resource_id);
"""


def upgrade() -> None:
    op.execute(TAGS)
