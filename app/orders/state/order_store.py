"""SQL of known orders: what the broker's order book showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.orders.state.model import KnownOrder, OrderState, Task
from app.orders.state.task_store import DAYS_AHEAD, ITS_ORDERS, NEVER_SHOWN

_COLUMNS = """account_id, trade_date, order_id, task_id, status, state, filled_quantity, average_price, content_hash,
  document"""


def _order_row(**columns: Any) -> KnownOrder:
    columns["state"] = OrderState(columns["state"])
    columns["content_hash"] = bytes(columns["content_hash"])
    return KnownOrder(**columns)


async def _orders(tx: Tx, sql: str, params: Sequence[Any] | dict[str, Any]) -> list[KnownOrder]:
    async with tx.cursor(row_factory=kwargs_row(_order_row)) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()


async def by_ids(tx: Tx, account_id: str, order_ids: Sequence[str], *, since: date) -> dict[str, KnownOrder]:
    """By id, the newest order of each of these ids that is of the day ``since`` or later."""
    found = await _orders(
        tx,
        f"""SELECT DISTINCT ON (order_id) {_COLUMNS} FROM broker_order
            WHERE order_id = ANY(%s) AND account_id = %s AND trade_date >= %s ORDER BY order_id, trade_date DESC""",
        (list(order_ids), account_id, since),
    )
    return {order.order_id: order for order in found}


async def find(tx: Tx, order_id: str, *, account_id: str | None = None) -> KnownOrder | None:
    """The newest order of this id, or None. The broker's ids are unique within a day only."""
    found = await _orders(
        tx,
        f"""SELECT {_COLUMNS} FROM broker_order
            WHERE order_id = %(order_id)s AND (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
            ORDER BY trade_date DESC LIMIT 1""",
        {"order_id": order_id, "account_id": account_id},
    )
    return found[0] if found else None


async def accounts_of(tx: Tx, order_id: str) -> list[str]:
    """The accounts that have an order of this id on the newest day on which any has one."""
    cursor = await tx.execute(
        """WITH holder AS (
             SELECT account_id, trade_date FROM broker_order WHERE order_id = %(order_id)s
             UNION SELECT account_id, trade_date FROM order_task WHERE order_id = %(order_id)s AND operation = 'place')
           SELECT DISTINCT account_id FROM holder WHERE trade_date = (SELECT max(trade_date) FROM holder)
           ORDER BY account_id""",
        {"order_id": order_id},
    )
    return [row[0] for row in await cursor.fetchall()]


async def by_tasks(tx: Tx, task_ids: Sequence[UUID]) -> list[KnownOrder]:
    """The orders that these placements have made, by order id."""
    return await _orders(
        tx,
        f"""SELECT {_COLUMNS} FROM broker_order b
            WHERE task_id = ANY(%s) AND EXISTS (SELECT 1 FROM order_task t WHERE {ITS_ORDERS}) ORDER BY order_id""",
        (list(task_ids),),
    )


async def is_shown(tx: Tx, task: Task) -> bool:
    """Whether the book has shown an order of this placement that was not rejected."""
    cursor = await tx.execute(
        """SELECT 1 FROM broker_order WHERE task_id = %s AND account_id = %s
             AND (state <> 'rejected' OR filled_quantity > 0) LIMIT 1""",
        (task.task_id, task.account_id),
    )
    return await cursor.fetchone() is not None


async def of_days(tx: Tx, account_id: str, wanted: Sequence[tuple[str, date]]) -> list[KnownOrder]:
    """The orders with these ids on these days, by order id. One that lived on is kept under a later day: its newest."""
    return await _orders(
        tx,
        f"""SELECT DISTINCT ON (order_id) {_COLUMNS} FROM broker_order b
            JOIN unnest(%s::text[], %s::date[]) AS wanted (id, day) ON b.order_id = id AND b.trade_date >= day
            WHERE account_id = %s ORDER BY order_id, trade_date DESC""",
        ([order_id for order_id, _ in wanted], [day for _, day in wanted], account_id),
    )


async def day(tx: Tx, account_id: str, *, trade_date: date) -> list[KnownOrder]:
    """The orders of one trading day, in the order in which the book first showed them."""
    return await _orders(
        tx,
        f"""SELECT {_COLUMNS} FROM broker_order WHERE account_id = %s AND trade_date = %s
            ORDER BY first_seen_at, order_id""",
        (account_id, trade_date),
    )


async def known_ids(tx: Tx, account_id: str, *, since: datetime, before: datetime) -> dict[str, UUID | None]:
    """The ids that a clean read must contain: orders first shown, or sent and confirmed, between these two times.

    Each with None, or with its placement if the book has never shown it. A placement of several slices does not count:
    its own id is not one of the book. Nor does one for which it was proven that the book does not show it.
    """
    cursor = await tx.execute(
        f"""SELECT order_id, NULL::uuid FROM broker_order
           WHERE account_id = %(account_id)s AND trade_date BETWEEN %(day)s AND %(day)s::date + {DAYS_AHEAD}
             AND first_seen_at >= %(since)s AND first_seen_at < %(before)s
           UNION ALL
           SELECT order_id, task_id FROM order_task t
           WHERE account_id = %(account_id)s AND trade_date BETWEEN %(day)s AND %(day)s::date + {DAYS_AHEAD}
             AND operation = 'place' AND status = 'completed' AND order_id IS NOT NULL AND children = '[]'::jsonb
             AND finished_at < %(before)s AND last_sent_at >= %(since)s
             AND NOT {NEVER_SHOWN}""",
        {"account_id": account_id, "day": trade_date_of(since), "since": since, "before": before},
    )
    known: dict[str, UUID | None] = {}
    for order_id, task_id in await cursor.fetchall():
        known[order_id] = known.get(order_id, task_id) and task_id  # a row of the book decides
    return known


async def upsert(tx: Tx, order: KnownOrder) -> None:
    """Store an order as it is known now; its placement, once known, stays."""
    await tx.execute(
        """INSERT INTO broker_order (account_id, trade_date, order_id, task_id, status, state, filled_quantity,
             average_price, tag, content_hash, document)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (account_id, trade_date, order_id) DO UPDATE SET
             task_id = coalesce(broker_order.task_id, excluded.task_id), status = excluded.status,
             state = excluded.state, filled_quantity = excluded.filled_quantity,
             average_price = excluded.average_price, content_hash = excluded.content_hash,
             document = excluded.document, updated_at = clock_timestamp()""",
        (
            order.account_id,
            order.trade_date,
            order.order_id,
            order.task_id,
            order.status,
            order.state,
            order.filled_quantity,
            order.average_price,
            order.document.get("tag"),
            order.content_hash,
            Jsonb(dict(order.document)),
        ),
    )


async def move(tx: Tx, order: KnownOrder, *, trade_date: date) -> KnownOrder:
    """Move a live order to a later trading day, whose book shows it. Returns it as it is stored now."""
    await tx.execute(
        "UPDATE broker_order SET trade_date = %s WHERE account_id = %s AND trade_date = %s AND order_id = %s",
        (trade_date, order.account_id, order.trade_date, order.order_id),
    )
    return replace(order, trade_date=trade_date)


async def still_live(tx: Tx, account_id: str, *, until: date, since: date) -> list[KnownOrder]:
    """Orders of these days whose end was never seen and that are not marked stale yet, by day and order id."""
    return await _orders(
        tx,
        f"""SELECT {_COLUMNS} FROM broker_order
            WHERE account_id = %s AND trade_date BETWEEN %s AND %s
              AND state NOT IN ('completed', 'cancelled', 'rejected') AND NOT document ? 'stale'
            ORDER BY trade_date, order_id""",
        (account_id, since, until),
    )


async def adopt(tx: Tx, account_id: str, order_id: str, *, trade_date: date, task_id: UUID) -> None:
    """Assign an order to its placement, where the book showed it before the task was known, or without its tag."""
    await tx.execute(
        """UPDATE broker_order SET task_id = %s
           WHERE account_id = %s AND trade_date >= %s AND order_id = %s AND task_id IS NULL""",
        (task_id, account_id, trade_date, order_id),
    )
