"""SQL of the two characters with which every tag of this deployment begins."""

from __future__ import annotations

from app.db.postgres import Tx


async def deployment_code(tx: Tx, *, fresh: str) -> str:
    """The two characters with which every tag of this database begins; ``fresh`` is stored where there are none yet."""
    await tx.execute("INSERT INTO deployment (code) VALUES (%s) ON CONFLICT DO NOTHING", (fresh,))
    cursor = await tx.execute("SELECT code FROM deployment")
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("deployment has no row")
    return str(row[0])
