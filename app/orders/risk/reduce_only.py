"""Proves that an order only reduces a position: the position, less what other orders of that side may close.

``lock_reducible`` takes the account's risk lock. Its caller stores its own orders in the same transaction, so that no
other order is assigned the same units.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from app.broker.orders import OrderRequest
from app.broker.port import PortfolioGateway
from app.db.postgres import Database, Tx
from app.orders.risk import limit_store
from app.orders.risk.positions import Positions, Reducible, Waiting, net_positions, side_of
from app.orders.state.task_store import database_now


async def read_positions(database: Database, portfolio: PortfolioGateway) -> Positions:
    """The account's positions at the broker. Raises BrokerError, RateLimited, Unavailable."""
    async with database.connection() as connection:
        since = await database_now(connection)
    return Positions(net=net_positions(await portfolio.positions()), since=since)


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
