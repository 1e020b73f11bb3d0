"""SQL of the two characters with which every tag of this deployment begins, and of the keys that tags derive from."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from app.db.postgres import Tx
from app.errors import StartError
from app.orders.state.model import Task
from app.orders.state.tags import ClientKey, Tagger, TagOrigin


async def stored_code(tx: Tx) -> str | None:
    """The deployment to which this database belongs; None where no process of this release has used it yet."""
    cursor = await tx.execute("SELECT code FROM deployment WHERE configured")
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def claim_database(tx: Tx, code: str) -> None:
    """Note that this database belongs to the deployment ``code``. Raises StartError when it belongs to another one."""
    await tx.execute(
        """INSERT INTO deployment (code, configured) VALUES (%s, true)
           ON CONFLICT (only_row) DO UPDATE SET code = excluded.code, configured = true
             WHERE NOT deployment.configured""",
        (code,),
    )
    check_code(await stored_code(tx), code=code)


def check_code(stored: str | None, *, code: str) -> None:
    """Raises StartError for the database of another deployment: its orders would not be recognised in the book."""
    if stored not in {None, code}:
        raise StartError(
            f"DATABASE_URL: the tags of this database begin with {stored}, those of this process with {code}: it is"
            f" another deployment's, or ORDER_TAG_SECRET is another one; ORDER_TAG_CODE={stored} keeps this database"
        )


async def origin_of(tx: Tx, task: Task) -> TagOrigin | None:
    """From what the tag of a client's placement was derived, or of the one that it repeats; None without a key.

    ``generation`` says how many times it was queued again.
    """
    cursor = await tx.execute(
        """WITH RECURSIVE earlier AS (
             SELECT task_id, batch_id, leg, supersedes, 0 AS generation FROM order_task WHERE task_id = %s
             UNION ALL
             SELECT t.task_id, t.batch_id, t.leg, t.supersedes, e.generation + 1
             FROM earlier e JOIN order_task t ON t.task_id = e.supersedes)
           SELECT k.principal, k.idem_key, e.batch_id, e.leg, e.generation FROM earlier e
             JOIN idempotency_key k ON k.resource_id = coalesce(e.batch_id, e.task_id)
           WHERE e.supersedes IS NULL LIMIT 1""",
        (task.task_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    key = ClientKey(principal=row[0], idem_key=row[1])
    first = TagOrigin(account_id=task.account_id, key=key)
    if row[2] is not None:
        first = replace(first, kind="leg", leg=int(row[3] or 0))
    return first.follow_up("requeue", generation=row[4]) if row[4] else first


async def unused(tx: Tx, origin: TagOrigin, *, tagger: Tagger) -> TagOrigin:
    """The origin of a follow-up, or of the next generation of which there is no order: a copy of the database has
    forgotten the follow-ups that the order book has shown since."""
    cursor = await tx.execute("SELECT 1 FROM order_task WHERE tag_base = %s", (tagger.fresh(origin),))
    if await cursor.fetchone() is None:
        return origin
    return await unused(tx, replace(origin, generation=origin.generation + 1), tagger=tagger)


async def key_of(tx: Tx, resource_id: UUID) -> ClientKey | None:
    """The key under which this task or batch was accepted; None without one."""
    cursor = await tx.execute(
        "SELECT principal, idem_key FROM idempotency_key WHERE resource_id = %s LIMIT 1", (resource_id,)
    )
    row = await cursor.fetchone()
    return None if row is None else ClientKey(principal=row[0], idem_key=row[1])
