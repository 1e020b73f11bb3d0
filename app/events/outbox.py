"""The event log: one gap-free sequence per account, written in the transaction that changes the state.

``lock`` is taken first by every transaction that will append: it serialises the writers of one account, so sequence
order is commit order, and a reader that saw ``seq`` n has missed nothing below n. Nothing is "published after commit":
what carries events to sockets and webhooks reads this table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from app.db.postgres import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """``type`` is from the closed list that clients know; ``data`` is JSON-ready."""

    type: str
    data: Mapping[str, Any]


async def lock(tx: Tx, account_id: str, *, epoch: str) -> None:
    """Become the one writer of this account until the transaction ends; ``epoch`` names the log if it is new."""
    await tx.execute(
        "INSERT INTO account_seq (account_id, epoch, seq) VALUES (%s, %s, 0) ON CONFLICT (account_id) DO NOTHING",
        (account_id, epoch),
    )
    await tx.execute("SELECT 1 FROM account_seq WHERE account_id = %s FOR UPDATE", (account_id,))


async def append(tx: Tx, account_id: str, events: Sequence[NewEvent]) -> None:
    """Write events in order. The caller holds the account's lock."""
    if not events:
        return
    cursor = await tx.execute(
        "UPDATE account_seq SET seq = seq + %s WHERE account_id = %s RETURNING seq", (len(events), account_id)
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"append without lock for account {account_id}")
    first = row[0] - len(events) + 1
    async with tx.cursor() as writer:
        await writer.executemany(
            "INSERT INTO event (account_id, seq, type, data) VALUES (%s, %s, %s, %s)",
            [(account_id, first + i, event.type, Jsonb(dict(event.data))) for i, event in enumerate(events)],
        )
