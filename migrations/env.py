"""Alembic's entry: one connection, one transaction, one advisory lock: replicas may migrate at the same time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

MIGRATION_LOCK = 7_243_119_004


def run() -> None:
    url = str(context.config.attributes["database_url"])
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url.removeprefix(scheme)
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
    engine.dispose()


run()
