"""Which schema a database has: the service neither starts nor takes requests on one that its code does not know."""

from __future__ import annotations

from app.db.migrate import is_known
from app.db.postgres import Database, Tx
from app.errors import StartError


async def read_revision(tx: Tx) -> str | None:
    """The revision that the database is at. Raises UndefinedTable when it was never migrated."""
    row = await (await tx.execute("SELECT version_num FROM alembic_version")).fetchone()
    return None if row is None else str(row[0])


async def check_revision(tx: Tx, revision: str) -> None:
    """Raises StartError unless the database is at ``revision``; says which way out there is."""
    row = await (await tx.execute("SELECT to_regclass('alembic_version') IS NOT NULL")).fetchone()
    found = await read_revision(tx) if row is not None and row[0] else None
    if found == revision:
        return
    if found is not None and not is_known(found):
        raise StartError(
            f"DATABASE_URL: the schema is at {found}, newer than this release ({revision}): "
            "run the release that made it"
        )
    raise StartError(
        f"DATABASE_URL: the schema is not at this version (it is at {found or 'nothing'}, wanted is {revision}); "
        "bring it up to date with: python -m app migrate"
    )


async def require_revision(database: Database, revision: str) -> None:
    """``check_revision`` and ``check_rights`` on a connection of the pool. Raises Unavailable when there is none."""
    async with database.connection() as connection:
        await check_revision(connection, revision)
        await check_rights(connection)


async def check_writes(tx: Tx) -> None:
    """Raises StartError on a standby, and for a role whose transactions only read."""
    cursor = await tx.execute("SELECT current_setting('transaction_read_only')")
    if await cursor.fetchone() == ("on",):
        raise StartError("DATABASE_URL: the server or this role takes no writes: connect to the primary")


async def check_rights(tx: Tx) -> None:
    """Raises StartError unless this role may read and write every table of the schema."""
    cursor = await tx.execute(
        """SELECT relname FROM pg_class
           WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
             AND relname <> 'alembic_version'
             AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))
           ORDER BY relname"""
    )
    missing = [str(row[0]) for row in await cursor.fetchall()]
    if missing:
        named = f"{', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}"
        raise StartError(f"DATABASE_URL: this role may not read and write {named}: grant it, or use the owner's role")
