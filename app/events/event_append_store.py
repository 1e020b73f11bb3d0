"""SQL that writes the event log: one gap-free sequence for each account, in the transaction that changes the state.

``lock`` is taken first by every transaction that will append: it serialises the writers of one account, so sequence
order is commit order, and a reader that saw ``seq`` n has missed nothing below n. Nothing is "published after commit":
what carries events to sockets reads this table, and the same statement writes a delivery for each webhook that wants
the event (``app/webhooks``). Each row has a hash over itself and the row before (``chain_check``).
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.events.model import NewEvent

_APPEND = """
WITH RECURSIVE head AS (
  UPDATE account_seq SET seq = seq + %(count)s WHERE account_id = %(account_id)s RETURNING seq - %(count)s AS before
), fresh AS MATERIALIZED (
  SELECT head.before + one.position AS seq, one.type, one.data, clock_timestamp() AS occurred_at
  FROM head, unnest(%(types)s::text[], %(data)s::jsonb[]) WITH ORDINALITY AS one (type, data, position)
), chained AS (
  SELECT fresh.*, event_hash(last.hash, %(account_id)s, fresh.seq, fresh.type, fresh.data, fresh.occurred_at) AS hash
  FROM head JOIN fresh ON fresh.seq = head.before + 1
    LEFT JOIN event last ON last.account_id = %(account_id)s AND last.seq = head.before
  UNION ALL
  SELECT fresh.*, event_hash(chained.hash, %(account_id)s, fresh.seq, fresh.type, fresh.data, fresh.occurred_at)
  FROM chained JOIN fresh ON fresh.seq = chained.seq + 1
), written AS (
  INSERT INTO event (account_id, seq, type, data, occurred_at, hash)
  SELECT %(account_id)s, seq, type, data, occurred_at, hash FROM chained RETURNING seq, type, data, occurred_at
), deliveries AS (
  INSERT INTO webhook_delivery (webhook_id, account_id, seq, type, due_at, created_at)
  SELECT webhook.webhook_id, %(account_id)s, written.seq, written.type, written.occurred_at, written.occurred_at
  FROM webhook JOIN written ON webhook_wants(webhook.events, webhook.tags, written.type, written.data)
  WHERE webhook.account_id = %(account_id)s AND webhook.status <> 'disabled'
)
SELECT count(*) FROM written
"""


async def open_log(tx: Tx, account_id: str, *, epoch: str) -> None:
    """Make sure that the account has a log; ``epoch`` names it if it is new."""
    await tx.execute(
        "INSERT INTO account_seq (account_id, epoch, seq) VALUES (%s, %s, 0) ON CONFLICT (account_id) DO NOTHING",
        (account_id, epoch),
    )


async def lock(tx: Tx, account_id: str, *, epoch: str) -> None:
    """Become the one writer of the account's log until the transaction ends; ``epoch`` names the log if it is new."""
    if await _lock_row(tx, account_id):
        return
    await open_log(tx, account_id, epoch=epoch)
    await _lock_row(tx, account_id)


async def _lock_row(tx: Tx, account_id: str) -> bool:
    cursor = await tx.execute("SELECT 1 FROM account_seq WHERE account_id = %s FOR UPDATE", (account_id,))
    return await cursor.fetchone() is not None


async def begin_epoch(tx: Tx, account_id: str, *, epoch: str) -> None:
    """Rename the account's log; its numbers go on. The caller holds the account's lock."""
    await tx.execute("UPDATE account_seq SET epoch = %s WHERE account_id = %s", (epoch, account_id))


async def append(tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None:
    """Write events in order, in one statement. The caller holds the account's lock. Raises LookupError without one."""
    if not events:
        return
    cursor = await tx.execute(
        _APPEND,
        {
            "account_id": account_id,
            "count": len(events),
            "types": [event.type for event in events],
            "data": [Jsonb(dict(event.data)) for event in events],
        },
    )
    if await cursor.fetchone() != (len(events),):
        raise LookupError(f"append without lock for account {account_id}")
