"""Alembic's entry: one connection, one transaction, one advisory lock: replicas may migrate at the same time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from app.db.bounded_connection import BlockingBoundedConnection

MIGRATION_LOCK = 7_243_119_004
STATEMENT_S = 900
"""How long one statement may take: an index over a year of orders is far from it."""


class MigrationConnection(BlockingBoundedConnection):
    """Waits longer than a request does, and not for ever: a server may stand still in the middle of it."""

    answer_s = STATEMENT_S


def run() -> None:
    url = str(context.config.attributes["database_url"])

    def connect() -> MigrationConnection:
        # not as an option of the start, which would take the place of those in the URL
        connection = MigrationConnection.connect(url, connect_timeout=5, tcp_user_timeout=30_000)
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{context.config.attributes['lock_s']}s"])
        connection.commit()
        return connection

    engine = create_engine("postgresql+psycopg://", poolclass=pool.NullPool, creator=connect)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
    engine.dispose()


run()
