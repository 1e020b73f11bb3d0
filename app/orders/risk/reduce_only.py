"""Proves that an order only reduces a position: the position, less what other orders of that side may close.

``lock_reducible`` takes the account's risk lock. Its caller stores its own orders in the same transaction, so that no
other order is assigned the same units.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from app.broker.orders import OrderChanges, OrderRequest, TransactionType
from app.broker.port import PortfolioGateway
from app.db.postgres import Database, Tx
from app.orders.risk import limit_store
from app.orders.risk.positions import Positions, Reducible, Waiting, net_positions, side_of
from app.orders.risk.reducing_changes import POSITIONS_MAX_AGE_S, lowers_or_tightens
from app.orders.state import order_store
from app.orders.state.new_tasks import NewTask
from app.orders.state.task_store import database_now, load


async def read_positions(database: Database, portfolio: PortfolioGateway) -> Positions:
    """The account's positions at the broker. Raises BrokerError, RateLimited, Unavailable."""
    async with database.connection() as connection:
        since = await database_now(connection)
    return Positions(net=net_positions(await portfolio.positions()), since=since)


async def proves_change(tx: Tx, task: NewTask, positions: Positions, *, trade_date: date) -> bool:
    """Whether a modification only makes an order smaller or tighter that reduces a position, by these positions.

    The order must have been proven to reduce when it was placed, and does so still. Takes the account's lock.
    """
    if (await database_now(tx) - positions.since).total_seconds() > POSITIONS_MAX_AGE_S:
        return False
    order = await order_store.find(tx, str(task.target_order_id), account_id=task.account_id)
    placed = None if order is None or order.task_id is None else await load(tx, order.task_id)
    if order is None or placed is None or not placed.reduces or order.is_terminal:
        return False
    changes = OrderChanges.from_json(task.request["changes"])
    if not lowers_or_tightens(changes, order.terms, TransactionType(order.transaction_type)):
        return False
    wanted = placed.order
    reducible = await lock_reducible(
        tx, task.account_id, [wanted], positions, trade_date=trade_date, waiting="reductions"
    )
    return reducible.is_covered(side_of(wanted))


async def lock_reducible(
    tx: Tx,
    account_id: str,
    requests: Iterable[OrderRequest],
    positions: Positions,
    *,
    trade_date: date,
    waiting: Waiting,
) -> Reducible:
    """What these orders can reduce. No other transaction can assign the same units until this one ends."""
    await limit_store.lock_account(tx, account_id)
    keys = sorted({side_of(request) for request in requests}, key=str)
    taken = await limit_store.promised(
        tx, account_id, keys=keys, trade_date=trade_date, since=positions.since, waiting=waiting
    )
    return Reducible(positions.net, taken)
