"""SQL of fills: reported by the broker's trade book, or inferred from its order book.

The document of an inferred fill has ``inferred: true``, that of a reported one ``inferred: false``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from app.broker.orders import Trade
from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.kit.json import decode_json, encode_json
from app.orders.state.fills import FilledOrder, FillSums, InferredFill
from app.orders.state.model import OrderState
from app.orders.state.task_store import DAYS_AHEAD

_IS_INFERRED = """document @> '{"inferred": true}'"""


async def insert(tx: Tx, account_id: str, trades: Sequence[tuple[date, Trade]]) -> int:
    """Store fills that the trade book reported, each with its day; returns how many have new ids.

    The caller replaces the inferred fills of the same orders in the same transaction.
    """
    if not trades:
        return 0
    async with tx.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO fill (account_id, trade_date, trade_id, order_id, quantity, average_price, document)
               VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            [_values(account_id, trade_date, trade, inferred=False) for trade_date, trade in trades],
        )
        return cursor.rowcount


async def put_inferred(tx: Tx, trade_date: date, trade: Trade, *, account_id: str) -> None:
    """Store an order's inferred fill; it replaces an older one of the same order."""
    await tx.execute(
        """INSERT INTO fill (account_id, trade_date, trade_id, order_id, quantity, average_price, document)
           VALUES (%s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (account_id, trade_date, trade_id, order_id) DO UPDATE SET
             quantity = excluded.quantity, average_price = excluded.average_price, document = excluded.document""",
        _values(account_id, trade_date, trade, inferred=True),
    )


async def remove_inferred(tx: Tx, order: FilledOrder) -> None:
    """Delete the order's inferred fill, if it has one."""
    await tx.execute(
        f"""DELETE FROM fill
            WHERE account_id = %s AND trade_date = %s AND trade_id = %s AND order_id = %s AND {_IS_INFERRED}""",
        (order.account_id, order.trade_date, order.inferred_id, order.order_id),
    )


def _values(account_id: str, trade_date: date, trade: Trade, *, inferred: bool) -> tuple[Any, ...]:
    reported = {name: value for name, value in decode_json(encode_json(trade)).items() if name != "raw"}
    document = Jsonb({**reported, "account_id": account_id, "inferred": inferred})
    return (account_id, trade_date, trade.trade_id, trade.order_id, trade.quantity, trade.average_price, document)


async def sums_by_order(tx: Tx, account_id: str, *, after: date) -> dict[str, FillSums]:
    """The stored quantities of the days after this one, by order id, to compare with the order book's."""
    cursor = await tx.execute(
        f"""SELECT order_id, sum(quantity), coalesce(sum(quantity) FILTER (WHERE {_IS_INFERRED}), 0)
            FROM fill WHERE account_id = %(account_id)s
              AND trade_date BETWEEN %(after)s::date + 1 AND %(after)s::date + {DAYS_AHEAD} GROUP BY order_id""",
        {"account_id": account_id, "after": after},
    )
    return {row[0]: FillSums(all=row[1], inferred=row[2]) for row in await cursor.fetchall()}


def _placed_on(order: str) -> str:
    """SQL of the day on which this row's order was placed. An order that lived over a night has fills since then."""
    return f"""least({order}.trade_date,
                  (({order}.document ->> 'order_timestamp')::timestamptz AT TIME ZONE 'Asia/Kolkata')::date)"""


_FROM_DOCUMENT = ("exchange", "tradingsymbol", "transaction_type", "product", "instrument_token", "exchange_order_id")


def _filled_order(
    *,
    state: str,
    document: Mapping[str, Any],
    inferred_quantity: int | None,
    inferred_price: Decimal | None,
    **columns: Any,
) -> FilledOrder:
    inferred = None
    if inferred_quantity is not None and inferred_price is not None:
        inferred = InferredFill(quantity=inferred_quantity, average_price=inferred_price)
    named: dict[str, Any] = {name: document[name] for name in _FROM_DOCUMENT}
    return FilledOrder(state=OrderState(state), inferred=inferred, **named, **columns)


async def with_missing_fills(
    tx: Tx, account_id: str, *, since: date, until: date, order_ids: Sequence[str] | None = None
) -> list[FilledOrder]:
    """Filled orders of these days whose reported fills are incomplete, and those that have an inferred fill.

    ``order_ids``: only these orders. The broker repeats order ids from day to day, so fills of days before the order
    belong to an older order of that id. Fills of later days belong to a newer one where there is one; otherwise the
    trade book reported a trade without a time, a day late.
    """
    async with tx.cursor(row_factory=kwargs_row(_filled_order)) as cursor:
        await cursor.execute(
            f"""SELECT b.account_id, b.trade_date, b.order_id, b.state, b.filled_quantity, b.average_price,
                  b.updated_at AS shown_at, b.document, f.*
                FROM broker_order b CROSS JOIN LATERAL (
                  SELECT coalesce(sum(quantity) FILTER (WHERE NOT {_IS_INFERRED}), 0) AS reported_quantity,
                    coalesce(sum(quantity * average_price) FILTER (WHERE NOT {_IS_INFERRED}), 0) AS reported_value,
                    sum(quantity) FILTER (WHERE {_IS_INFERRED} AND trade_date = b.trade_date)
                      AS inferred_quantity,
                    max(average_price) FILTER (WHERE {_IS_INFERRED} AND trade_date = b.trade_date) AS inferred_price
                  FROM fill WHERE account_id = b.account_id AND order_id = b.order_id
                    AND trade_date >= {_placed_on("b")}
                    AND (trade_date <= b.trade_date OR NOT EXISTS (
                      SELECT FROM broker_order n WHERE n.account_id = b.account_id AND n.order_id = b.order_id
                        AND n.trade_date > b.trade_date AND {_placed_on("n")} <= fill.trade_date))) f
                WHERE b.account_id = %(account_id)s AND b.trade_date BETWEEN %(since)s AND %(until)s
                  AND b.filled_quantity > 0
                  AND (%(order_ids)s::text[] IS NULL OR b.order_id IN (SELECT unnest(%(order_ids)s::text[])))
                  AND (b.filled_quantity > f.reported_quantity OR f.inferred_quantity IS NOT NULL)
                ORDER BY b.trade_date, b.order_id""",
            {
                "account_id": account_id,
                "since": since,
                "until": until,
                "order_ids": None if order_ids is None else list(order_ids),
            },
        )
        return await cursor.fetchall()


async def reported(tx: Tx, account_id: str, *, after: date, began_at: datetime) -> dict[tuple[str, str], bool]:
    """Trade and order id of each fill of the days after this one that a trade book reported.

    True where the present trade book must have the fill too: first reported since ``began_at``, and of that day or
    later.
    """
    cursor = await tx.execute(
        f"""SELECT trade_id, order_id, trade_date >= %(day)s AND first_seen_at >= %(began_at)s FROM fill
            WHERE account_id = %(account_id)s AND NOT {_IS_INFERRED}
              AND trade_date BETWEEN %(after)s::date + 1 AND %(after)s::date + {DAYS_AHEAD}""",
        {"account_id": account_id, "after": after, "day": trade_date_of(began_at), "began_at": began_at},
    )
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}


async def day(tx: Tx, account_id: str, *, trade_date: date) -> list[Mapping[str, Any]]:
    """The documents of the fills of one trading day, in the order in which they were stored."""
    cursor = await tx.execute(
        "SELECT document FROM fill WHERE account_id = %s AND trade_date = %s ORDER BY first_seen_at, trade_id",
        (account_id, trade_date),
    )
    return [row[0] for row in await cursor.fetchall()]
