"""Which schema a database has: the service neither starts nor takes requests on one that its code does not know."""

from __future__ import annotations

from app.db.postgres import Database, Tx
from app.errors import StartError


async def read_revision(tx: Tx) -> str | None:
    """The revision that the database is at. Raises UndefinedTable when it was never migrated."""
    row = await (await tx.execute("SELECT version_num FROM alembic_version")).fetchone()
    return None if row is None else str(row[0])


async def require_revision(database: Database, revision: str) -> None:
    """Raises StartError unless the database is at ``revision``, and Unavailable when it does not answer."""
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL")).fetchone()
        if row is not None and row[0] and await read_revision(connection) == revision:
            return
    raise StartError("DATABASE_URL: the schema is not at this version; bring it up to date with: python -m app migrate")
