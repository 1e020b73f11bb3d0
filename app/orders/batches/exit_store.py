"""SQL of exits: which are live, how often their prices were moved, and what is left of the account's moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from app.db.postgres import Tx
from app.orders.risk.limit_store import COUNTED_MODIFICATION
from app.orders.state.exit_state_store import EXIT_IS_OPEN
from app.orders.state.task_store import OPEN

MOVES_PER_SECOND = 3
"""Of all exits of an account together; the broker takes ten requests a second, and cancels need some."""

SHOWS_WITHIN_S = 10
"""A modification that the broker has accepted, and that its book has not shown after this time, has changed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """The modifications of one order, its client's too."""

    order_id: str
    spent: int  # that the broker has counted, or may count
    last_move_at: datetime | None  # when the newest was stored
    is_moving: bool  # one is on its way, in doubt, or not in the book yet


async def moves_of(tx: Tx, account_id: str, order_ids: Sequence[str]) -> Mapping[str, Moves]:
    """The modifications of each of these orders, by id."""
    async with tx.cursor(row_factory=class_row(Moves)) as cursor:
        await cursor.execute(
            f"""SELECT ids.order_id, count(*) FILTER (WHERE {COUNTED_MODIFICATION})::int AS spent,
                  max(m.created_at) AS last_move_at,
                  coalesce(bool_or(m.status IN {OPEN} OR (m.status = 'completed'
                    AND m.finished_at > clock_timestamp() - make_interval(secs => %(shows_s)s)
                    AND m.last_sent_at > (SELECT max(b.updated_at) FROM broker_order b
                      WHERE b.account_id = m.account_id AND b.order_id = m.target_order_id))), false) AS is_moving
                FROM unnest(%(order_ids)s::text[]) ids (order_id) LEFT JOIN order_task m
                  ON m.account_id = %(account_id)s AND m.target_order_id = ids.order_id AND m.operation = 'modify'
                GROUP BY ids.order_id""",
            {"account_id": account_id, "order_ids": list(order_ids), "shows_s": SHOWS_WITHIN_S},
        )
        return {moves.order_id: moves for moves in await cursor.fetchall()}


async def moves_left(tx: Tx, account_id: str, *, per_minute: int) -> int:
    """How many moves the account's exits have left now, all together."""
    cursor = await tx.execute(
        """SELECT %(minute)s - count(*),
             %(second)s - count(*) FILTER (WHERE created_at > clock_timestamp() - interval '1 second')
           FROM order_task WHERE account_id = %(account_id)s AND purpose = 'exit_move'
             AND created_at > clock_timestamp() - interval '1 minute'""",
        {"account_id": account_id, "minute": per_minute, "second": MOVES_PER_SECOND},
    )
    row = await cursor.fetchone()
    return 0 if row is None else max(0, min(row))


async def being_closed(tx: Tx, account_id: str) -> set[tuple[str, str]]:
    """Instrument and product of each position that has an exit which is live, or may become so."""
    cursor = await tx.execute(
        f"""SELECT x.instrument, x.request ->> 'product' FROM order_task x
            WHERE x.account_id = %s AND x.exit_by IS NOT NULL
              AND (x.status IN ('pending', 'held', 'retrying') OR {EXIT_IS_OPEN})""",
        (account_id,),
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def were_cancelled_by_clients(tx: Tx, account_id: str, order_ids: Sequence[str]) -> bool:
    """Whether a client has cancelled one of these orders, or may have."""
    cursor = await tx.execute(
        """SELECT EXISTS (SELECT 1 FROM order_task WHERE account_id = %s AND target_order_id = ANY(%s)
             AND operation = 'cancel' AND purpose = 'client' AND status IN ('running', 'in_doubt', 'completed'))""",
        (account_id, list(order_ids)),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
