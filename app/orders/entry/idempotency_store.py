"""SQL of idempotency keys. They are never deleted: a key stands for its order for ever."""

from __future__ import annotations

from app.db.postgres import Tx
from app.orders.entry.idempotency import IdempotencyKey


async def insert_key(tx: Tx, key: IdempotencyKey) -> None:
    """Store a key. Raises psycopg.errors.UniqueViolation when the client used it before.

    Where another transaction has inserted the same key, this waits for its end.
    """
    await tx.execute(
        "INSERT INTO idempotency_key (principal, idem_key, fingerprint, kind, resource_id) VALUES (%s, %s, %s, %s, %s)",
        (key.principal, key.idem_key, key.fingerprint, key.kind, key.resource_id),
    )


async def find_key(tx: Tx, principal: str, idem_key: str) -> IdempotencyKey | None:
    """The client's key; None for one that was never used."""
    cursor = await tx.execute(
        "SELECT fingerprint, kind, resource_id FROM idempotency_key WHERE principal = %s AND idem_key = %s",
        (principal, idem_key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return IdempotencyKey(
        principal=principal, idem_key=idem_key, fingerprint=bytes(row[0]), kind=row[1], resource_id=row[2]
    )
