"""SQL of idempotency keys. They are never deleted: a key stands for its order for ever."""

from __future__ import annotations

from dataclasses import asdict

from app.db.postgres import Tx
from app.orders.entry.idempotency import IdempotencyKey

_LOCK = "hashtextextended(%(principal)s || ' ' || %(idem_key)s, 0)"
"""Of an advisory lock, which every transaction that stores the key shares from before it inserts it to its end."""


async def insert_key(tx: Tx, key: IdempotencyKey) -> None:
    """Store a key. Raises psycopg.errors.UniqueViolation when the client used it before.

    Where another transaction has inserted the same key, this waits for its end.
    """
    await tx.execute(
        f"""INSERT INTO idempotency_key (principal, idem_key, fingerprint, kind, resource_id)
            SELECT %(principal)s, %(idem_key)s, %(fingerprint)s, %(kind)s, %(resource_id)s
            FROM pg_advisory_xact_lock_shared({_LOCK})""",
        asdict(key),
    )


async def is_being_stored(tx: Tx, principal: str, idem_key: str) -> bool:
    """Whether a transaction that has not ended stores this key. It may commit at any moment: look for the key after
    this, not before."""
    cursor = await tx.execute(
        f"SELECT NOT pg_try_advisory_xact_lock({_LOCK})", {"principal": principal, "idem_key": idem_key}
    )
    return await cursor.fetchone() == (True,)


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
