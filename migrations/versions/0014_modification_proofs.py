"""A modification remembers whether its order showed the same terms before: then no row of the book can prove it.

NULL, as in rows of the release before, reads as "it may have": such a modification is never called completed by a row.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE order_task ADD COLUMN shown_before boolean")
