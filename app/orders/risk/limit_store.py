"""SQL of the limits at acceptance: what an account has ordered already, and which orders may reduce its positions.

A transaction that decides by these counts first takes ``lock_account`` and keeps it until its commit. Otherwise
requests at several replicas could each count before the others are stored, and all pass. What acceptance reads is
returned as a ``PendingResult``, so that all of it shares one round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import TupleRow

from app.broker.orders import OrderChanges, OrderRequest, TransactionType
from app.db.pipeline import PendingResult
from app.db.postgres import Tx
from app.orders.risk.changed_orders import ChangedOrder
from app.orders.risk.doubt_limit_store import MANY_DOUBTS
from app.orders.risk.limits import OrderIdentity
from app.orders.risk.positions import PositionSide, Waiting
from app.orders.state.order_terms import OrderTerms
from app.orders.state.task_store import ITS_ORDERS, NEVER_SHOWN, NOT_SHOWN, OPEN


async def lock_account(tx: Tx, account_id: str) -> None:
    """Lock the account's row until the transaction ends; the first one makes it."""
    await tx.execute("INSERT INTO account_risk (account_id) VALUES (%s) ON CONFLICT DO NOTHING", (account_id,))
    await tx.execute("SELECT 1 FROM account_risk WHERE account_id = %s FOR UPDATE", (account_id,))


async def only_reductions_pass(
    tx: Tx, account_id: str, *, halt_doubts: int, halt_doubt_age_s: float
) -> PendingResult[bool]:
    """Whether only reductions pass now, for ``reduce_only`` mode (a halt overrides it) or too many doubts."""
    cursor = await tx.execute(
        f"""SELECT coalesce((SELECT min(mode) = 'reduce_only' FROM kill_switch WHERE scope IN ('*', %(account_id)s)),
                            {MANY_DOUBTS})""",
        {"account_id": account_id, "halt_doubts": halt_doubts, "halt_doubt_age_s": halt_doubt_age_s},
    )
    return PendingResult(cursor=cursor, read=lambda rows: bool(rows[0][0]))


async def count_open_orders(tx: Tx, account_id: str, *, trade_date: date, recent: UUID) -> PendingResult[int]:
    """How many orders are or may become live. Live orders placed before ``recent`` are in the book."""
    cursor = await tx.execute(
        f"""SELECT (SELECT count(*) FROM broker_order WHERE account_id = %(account_id)s AND trade_date = %(day)s
                      AND state NOT IN ('completed', 'cancelled', 'rejected'))
                 + (SELECT count(*) FROM order_task WHERE account_id = %(account_id)s AND operation = 'place'
                      AND status IN {OPEN})
                 + (SELECT count(*) FROM order_task t WHERE account_id = %(account_id)s AND task_id > %(recent)s
                      AND operation = 'place' AND status = 'completed'
                      AND NOT EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS}))""",
        {"account_id": account_id, "day": trade_date, "recent": recent},
    )
    return PendingResult(cursor=cursor, read=lambda rows: int(rows[0][0]))


async def count_identical(
    tx: Tx, account_id: str, *, instruments: Sequence[str], window_s: float, recent: UUID
) -> PendingResult[dict[OrderIdentity, int]]:
    """Requests for these instruments in the last ``window_s`` by identity. Equal legs of a batch count once.

    ``recent``: no task of that time has a lower id, which lets the query use the index of the ids.
    """
    cursor = await tx.execute(
        """SELECT instrument, request ->> 'transaction_type', (request ->> 'quantity')::bigint,
             trim_scale((request ->> 'price')::numeric)::text, count(DISTINCT coalesce(batch_id, task_id))
           FROM order_task
           WHERE account_id = %(account_id)s AND task_id > %(recent)s AND operation = 'place' AND purpose = 'client'
             AND instrument = ANY(%(instruments)s)
             AND created_at > clock_timestamp() - make_interval(secs => %(window_s)s)
           GROUP BY 1, 2, 3, 4""",
        {"account_id": account_id, "recent": recent, "instruments": list(instruments), "window_s": window_s},
    )
    return PendingResult(cursor=cursor, read=_by_identity)


def _by_identity(rows: Sequence[TupleRow]) -> dict[OrderIdentity, int]:
    return {(row[0], row[1], int(row[2]), row[3]): int(row[4]) for row in rows}


COUNTED_MODIFICATION = f"(status = 'completed' OR status IN {OPEN} OR (status = 'failed' AND sent = 'unknown'))"
"""Of a modification: the broker has counted it, or may still count it."""


async def count_modifications(tx: Tx, account_id: str, *, order_id: str) -> PendingResult[int]:
    """How many modifications of this order the broker has counted, or may still count."""
    cursor = await tx.execute(
        f"""SELECT count(*) FROM order_task
            WHERE account_id = %s AND target_order_id = %s AND operation = 'modify'
              AND {COUNTED_MODIFICATION}""",
        (account_id, order_id),
    )
    return PendingResult(cursor=cursor, read=lambda rows: int(rows[0][0]))


_MAY_COME_TRUE = f"""(m.status IN {OPEN} OR (m.status = 'failed' AND m.sent = 'unknown')
  OR (m.status = 'completed' AND m.finished_at > coalesce(b.updated_at, '-infinity')))"""
"""Of a modification ``m`` of the order ``b``: the row of the book does not show it, and a later one may."""


async def changed_order(tx: Tx, account_id: str, *, order_id: str) -> PendingResult[ChangedOrder | None]:
    """The order that a modification is for, with the earlier ones that may still come true; None for an unknown one."""
    cursor = await tx.execute(
        f"""SELECT b.document, t.request,
              ARRAY(SELECT m.request -> 'changes' FROM order_task m
                    WHERE m.account_id = %(account_id)s AND m.target_order_id = %(order_id)s
                      AND m.operation = 'modify' AND {_MAY_COME_TRUE})
            FROM (SELECT) one
            LEFT JOIN LATERAL (SELECT * FROM broker_order
              WHERE account_id = %(account_id)s AND order_id = %(order_id)s
              ORDER BY trade_date DESC LIMIT 1) b ON true
            LEFT JOIN LATERAL (SELECT request FROM order_task
              WHERE account_id = %(account_id)s AND order_id = %(order_id)s AND operation = 'place'
              ORDER BY created_at DESC LIMIT 1) t ON true""",
        {"account_id": account_id, "order_id": order_id},
    )
    return PendingResult(cursor=cursor, read=_changed_order)


def _changed_order(rows: Sequence[TupleRow]) -> ChangedOrder | None:
    document, request, unproven = rows[0]
    changes = [OrderChanges.from_json(one) for one in unproven]
    if document is not None:
        side, terms = TransactionType(document["transaction_type"]), OrderTerms.of_document(document)
        return ChangedOrder(transaction_type=side, terms=terms, unproven=changes)
    if request is None:
        return None
    order = OrderRequest.from_json(request)
    terms = OrderTerms.of_request(order)
    return ChangedOrder(transaction_type=order.transaction_type, terms=terms, unproven=changes)


async def promised(
    tx: Tx, account_id: str, *, keys: Sequence[PositionSide], trade_date: date, since: datetime, waiting: Waiting
) -> Mapping[PositionSide, int]:
    """For each position the quantity that other orders may still close at most, of this service and of others.

    ``since``: when the read of the positions began. Those positions do not contain later fills, so orders that filled
    later count with their whole quantity.
    """
    return {
        key: await _promised(tx, account_id, key, trade_date=trade_date, since=since, waiting=waiting) for key in keys
    }


_MORE_FOLLOW = f"""(EXISTS ({NOT_SHOWN}) OR (t.request ->> 'variety' = 'iceberg' AND NOT EXISTS (
  SELECT 1 FROM broker_order b WHERE {ITS_ORDERS} AND b.state IN ('completed', 'cancelled', 'rejected')
    AND b.filled_quantity < (b.document ->> 'quantity')::bigint)))"""
"""Of a completed placement ``t``: the book has not shown all of its slices yet, or the broker makes further legs."""

_TO_COME = f"""greatest(0, (t.request ->> 'quantity')::bigint - (
  SELECT coalesce(sum((b.document ->> 'quantity')::bigint), 0) FROM broker_order b WHERE {ITS_ORDERS}))"""
"""Of a completed placement ``t``: the quantity of which the book has shown no order yet."""


async def _promised(
    tx: Tx, account_id: str, key: PositionSide, *, trade_date: date, since: datetime, waiting: Waiting
) -> int:
    cursor = await tx.execute(
        f"""SELECT
             (SELECT coalesce(sum(CASE WHEN t.status = 'completed' THEN {_TO_COME}
                                  ELSE (t.request ->> 'quantity')::bigint END), 0) FROM order_task t
              WHERE t.account_id = %(account_id)s AND t.operation = 'place' AND t.instrument = %(instrument)s
                AND t.request ->> 'product' = %(product)s AND t.request ->> 'transaction_type' = %(side)s
                AND (t.status IN ('running', 'in_doubt')
                  OR (t.status IN ('pending', 'held', 'retrying') AND (t.reduces OR %(all)s))
                  OR (t.status IN ('completed', 'dead_letter') AND t.trade_date = %(day)s AND NOT {NEVER_SHOWN}
                      AND (NOT EXISTS (SELECT 1 FROM broker_order b WHERE {ITS_ORDERS})
                        OR t.status = 'completed' AND {_MORE_FOLLOW}))))
           + (SELECT coalesce(sum(greatest((b.document ->> 'quantity')::bigint, (
                                    SELECT max((m.request -> 'changes' ->> 'quantity')::bigint)
                                    FROM order_task m
                                    WHERE m.account_id = b.account_id AND m.target_order_id = b.order_id
                                      AND m.operation = 'modify' AND {_MAY_COME_TRUE}))
                                  - CASE WHEN b.updated_at < %(since)s THEN b.filled_quantity ELSE 0 END), 0)
              FROM broker_order b
              WHERE b.account_id = %(account_id)s AND b.trade_date = %(day)s
                AND (b.document ->> 'exchange') || ':' || (b.document ->> 'tradingsymbol') = %(instrument)s
                AND b.document ->> 'product' = %(product)s AND b.document ->> 'transaction_type' = %(side)s
                AND (b.state NOT IN ('completed', 'cancelled', 'rejected') OR b.updated_at >= %(since)s))""",
        {
            "account_id": account_id,
            "instrument": key.instrument,
            "product": key.product,
            "side": key.transaction_type,
            "day": trade_date,
            "since": since,
            "all": waiting == "all",
        },
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(Decimal(row[0]))
