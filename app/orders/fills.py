"""Keeps an account's fills complete: the trade book is asked when the order book shows more than they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.broker.orders import BrokerOrder
from app.broker.port import OrderGateway
from app.db.postgres import Database
from app.kit.clock import trade_date_of
from app.orders.days import day_of_trade, last_gone_day
from app.orders.store import book


async def take_fills(
    rows: Sequence[BrokerOrder], *, account_id: str, database: Database, gateway: OrderGateway, now: datetime
) -> None:
    """Store what is new, each fill under its own day. Raises BrokerError, Unavailable."""
    if not any(row.filled_quantity for row in rows):
        return
    async with database.connection() as connection:
        stored = await book.filled_by_order(connection, account_id, after=last_gone_day(now))
    if all(stored.get(row.order_id, 0) >= row.filled_quantity for row in rows):
        return
    trades = await gateway.trades()
    dated = [(day_of_trade(trade, today=trade_date_of(now)), trade) for trade in trades]
    async with database.transaction() as tx:
        await book.insert_fills(tx, account_id, dated)
