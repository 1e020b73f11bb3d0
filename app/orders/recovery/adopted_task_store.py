"""SQL of orders that were found in the book after a loss: which key they belong to, and what a client asked for."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.types.json import Jsonb

from app.broker.orders import OrderRequest
from app.db.postgres import Tx
from app.orders.state.model import Purpose


async def assign(
    tx: Tx,
    task_id: UUID,
    *,
    purpose: Purpose,
    request: OrderRequest | None = None,
    user_tag: str | None = None,
    batch_id: UUID | None = None,
    leg: int | None = None,
    closes: bool = False,
) -> None:
    """Give a task that was made of the book's rows what its client asked for; ``request`` None keeps the rows' own.

    ``closes``: it closes a position, and nobody finishes it.
    """
    await tx.execute(
        """UPDATE order_task SET purpose = %s, request = coalesce(%s, request), user_tag = %s, batch_id = %s, leg = %s,
             exit_by = CASE WHEN %s THEN clock_timestamp() END, updated_at = clock_timestamp() WHERE task_id = %s""",
        (purpose, None if request is None else Jsonb(request.to_json()), user_tag, batch_id, leg, closes, task_id),
    )


async def unexplained(tx: Tx, account_id: str, tag_bases: Sequence[str]) -> list[str]:
    """The orders under one of these tags of which no task could be made."""
    cursor = await tx.execute(
        """SELECT order_id FROM broker_order b WHERE account_id = %s AND task_id IS NULL
             AND (left(tag, 19) = ANY(%s) OR EXISTS (
               SELECT 1 FROM jsonb_array_elements_text(b.document -> 'tags') one WHERE left(one, 19) = ANY(%s)))
           ORDER BY order_id""",
        (account_id, list(tag_bases), list(tag_bases)),
    )
    return [row[0] for row in await cursor.fetchall()]
