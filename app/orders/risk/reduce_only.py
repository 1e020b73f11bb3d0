"""What can only make a position smaller: what the broker says is held, less what other orders of that side may take.

Two orders that each would close the same position must not both count as its close: the second would open one the
other way round. So whoever asks here holds the account's risk lock until his own order is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from app.broker.orders import OrderRequest, TransactionType
from app.broker.port import PortfolioGateway
from app.db.postgres import Database, Tx
from app.orders.risk import limit_store
from app.orders.risk.limit_store import Key, Waiting
from app.orders.state.task_store import database_now

Net = Mapping[tuple[str, str, str], int]
"""Signed quantities by exchange, symbol and product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """What is held, and when the read of it began, by the database's clock."""

    net: Net
    since: datetime


class Reducible:
    """Gives out what positions hold, each unit once. ``promised``: what is given out already."""

    def __init__(self, net: Net, promised: Mapping[Key, int] | None = None) -> None:
        self._net = net
        self._taken = dict(promised or {})

    def free_for(self, request: OrderRequest) -> int:
        """How much of the order only makes its position smaller; the rest would turn it around."""
        held = self._net.get((str(request.exchange), request.tradingsymbol, str(request.product)), 0)
        opposite = -held if request.transaction_type is TransactionType.BUY else held
        return max(0, min(request.quantity, opposite - self._taken.get(key_of(request), 0)))

    def take(self, request: OrderRequest, quantity: int) -> None:
        key = key_of(request)
        self._taken[key] = self._taken.get(key, 0) + quantity


def key_of(request: OrderRequest) -> Key:
    return Key(
        instrument=request.instrument, product=str(request.product), transaction_type=str(request.transaction_type)
    )


def net_positions(positions: Mapping[str, Any]) -> Net:
    """From the broker's answer."""
    return {
        (str(row["exchange"]), str(row["tradingsymbol"]), str(row["product"])): int(row["quantity"])
        for row in positions["net"]
    }


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
