"""Proves that an order can only make a position smaller: what is held, less what other orders of that side may take.

The caller of ``lock_reducible`` holds the account's risk lock until its own order is stored, so that no other order can
be promised the same position.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from app.broker.orders import OrderRequest
from app.broker.port import PortfolioGateway
from app.db.postgres import Database, Tx
from app.orders.risk import limit_store
from app.orders.risk.positions import Positions, Reducible, Waiting, net_positions
from app.orders.risk.positions import side_of as key_of
from app.orders.state.task_store import database_now


async def read_positions(database: Database, portfolio: PortfolioGateway) -> Positions:
    """Raises BrokerError, RateLimited, Unavailable."""
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
    """What is free for these orders; nobody else can take of it until the transaction ends."""
    await limit_store.add_account(tx, account_id)
    await (await limit_store.ask_lock(tx, account_id)).fetchall()
    keys = sorted({key_of(request) for request in requests}, key=str)
    taken = await limit_store.promised(
        tx, account_id, keys=keys, trade_date=trade_date, since=positions.since, waiting=waiting
    )
    return Reducible(positions.net, taken)
