"""SQL of mass cancels: what a filter matches, and what was matched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from app.db.postgres import Tx
from app.orders.state.mass_cancels import MassCancel, OrderFilter
from app.orders.state.removal_store import DAYS, LIVE
from app.orders.state.task_store import ITS_ORDERS, NOT_SHOWN, OPEN

_PLACEMENTS = f"""
SELECT t.task_id FROM order_task t
WHERE t.account_id = %(account_id)s AND t.operation = 'place' AND t.trade_date {DAYS}
  -- a square-off closes what a batch has left; without it the position stays
  AND t.purpose <> 'square_off'
  AND (t.status IN {OPEN} OR EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS} AND {LIVE})
    -- accepted and not shown yet, or making a further order when one fills
    OR (t.status = 'completed' AND (EXISTS ({NOT_SHOWN}) OR t.request ->> 'variety' IN ('iceberg', 'co'))))
  AND (%(tag)s::text IS NULL OR t.user_tag = %(tag)s)
  AND (%(exchange)s::text IS NULL OR t.request ->> 'exchange' = %(exchange)s)
  AND (%(tradingsymbol)s::text IS NULL OR t.request ->> 'tradingsymbol' = %(tradingsymbol)s)
  AND (%(transaction_type)s::text IS NULL OR t.request ->> 'transaction_type' = %(transaction_type)s)
  AND (%(older_than_s)s::float8 IS NULL
    OR t.created_at < clock_timestamp() - make_interval(secs => %(older_than_s)s))
ORDER BY t.task_id
"""

_FOREIGN = f"""
UPDATE broker_order b SET unwanted_since = coalesce(b.unwanted_since, clock_timestamp())
WHERE b.account_id = %(account_id)s AND b.task_id IS NULL AND b.trade_date {DAYS} AND {LIVE}
  AND (%(tag)s::text IS NULL OR b.document ->> 'tag' = %(tag)s)
  AND (%(exchange)s::text IS NULL OR b.document ->> 'exchange' = %(exchange)s)
  AND (%(tradingsymbol)s::text IS NULL OR b.document ->> 'tradingsymbol' = %(tradingsymbol)s)
  AND (%(transaction_type)s::text IS NULL OR b.document ->> 'transaction_type' = %(transaction_type)s)
  AND (%(older_than_s)s::float8 IS NULL
    OR b.first_seen_at < clock_timestamp() - make_interval(secs => %(older_than_s)s))
RETURNING b.order_id, b.trade_date
"""


def _params(wanted: OrderFilter, since: date) -> dict[str, Any]:
    return {
        "account_id": wanted.account_id,
        "since": since,
        "tag": wanted.tag,
        "exchange": wanted.exchange,
        "tradingsymbol": wanted.tradingsymbol,
        "transaction_type": wanted.transaction_type,
        "older_than_s": wanted.older_than_s,
    }


async def matching_placements(tx: Tx, wanted: OrderFilter, *, since: date) -> list[UUID]:
    """The placements of that day or later that are live, may be or become live, and match; oldest first."""
    cursor = await tx.execute(_PLACEMENTS, _params(wanted, since))
    return [row[0] for row in await cursor.fetchall()]


async def set_foreign_unwanted(tx: Tx, wanted: OrderFilter, *, since: date) -> list[tuple[str, date]]:
    """Mark the live orders of other applications that match as unwanted; returns their ids and days."""
    cursor = await tx.execute(_FOREIGN, _params(wanted, since))
    return sorted((row[0], row[1]) for row in await cursor.fetchall())


async def insert(
    tx: Tx, mass_cancel_id: UUID, account_id: str, *, task_ids: Sequence[UUID], orders: Sequence[tuple[str, date]]
) -> None:
    """Store what a mass cancel has matched."""
    await tx.execute(
        """INSERT INTO mass_cancel (mass_cancel_id, account_id, task_ids, order_ids, trade_dates)
           VALUES (%s, %s, %s, %s, %s)""",
        (mass_cancel_id, account_id, list(task_ids), [one for one, _ in orders], [day for _, day in orders]),
    )


async def load(tx: Tx, mass_cancel_id: UUID) -> MassCancel | None:
    """The mass cancel of this id, or None."""
    cursor = await tx.execute(
        "SELECT account_id, task_ids, order_ids, trade_dates, created_at FROM mass_cancel WHERE mass_cancel_id = %s",
        (mass_cancel_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return MassCancel(
        mass_cancel_id=mass_cancel_id,
        account_id=row[0],
        task_ids=row[1],
        orders=list(zip(row[2], row[3], strict=True)),
        created_at=row[4],
    )
