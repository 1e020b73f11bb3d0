"""Keeps an account's fills complete: the trade book is asked when the order book shows more than they add up to.

What it does not tell in time is inferred, raised as an alarm, and given up again for the real fills when they come.
A read that fails proves nothing: the fills stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from loguru import logger

from app.broker.orders import BrokerOrder, Trade
from app.broker.port import OrderGateway
from app.db.postgres import Database, Tx
from app.kit.clock import trade_date_of
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.inferred_fills import as_trade, inferred_fill
from app.orders.state import fill_store, fills
from app.orders.state.alarms import Alarm
from app.orders.state.engine_settings import EngineSettings
from app.orders.state.fills import FilledOrder, InferredFill
from app.orders.state.settlement import Settlement
from app.orders.state.trading_days import ONE_DAY, book_began, day_of_trade, last_gone_day


class FillSync:
    """``take`` follows each read of the order book. ``incomplete``: some of what was filled has no fill of any kind."""

    def __init__(
        self,
        account_id: str,
        *,
        database: Database,
        gateway: OrderGateway,
        settlement: Settlement,
        anomalies: Anomalies,
        settings: EngineSettings,
    ) -> None:
        self.incomplete = False
        self._account_id = account_id
        self._database = database
        self._gateway = gateway
        self._settlement = settlement
        self._anomalies = anomalies
        self._settings = settings
        self._asked_at: datetime | None = None

    async def take(self, rows: Sequence[BrokerOrder], *, now: datetime) -> None:
        """Ask for the trades if the fills of these rows do not add up. Raises BrokerError, Unavailable.

        ``now``: before the trade book is asked, by the clock that stamps what is stored.
        """
        filled = {row.order_id: row.filled_quantity for row in rows if row.filled_quantity}
        if not filled:
            self.incomplete = False
            return
        async with self._database.connection() as connection:
            sums = await fill_store.sums_by_order(connection, self._account_id, after=last_gone_day(now))
        stored = {order_id: sums.get(order_id, fills.NO_FILLS) for order_id in filled}
        missing = [order_id for order_id, quantity in filled.items() if stored[order_id].reported < quantity]
        self.incomplete = any(stored[order_id].all < filled[order_id] for order_id in missing)
        if self.incomplete or (missing and self._is_due(now)):
            self._asked_at = now
            await self.apply(await self._gateway.trades(), missing=missing, read_at=now)

    def _is_due(self, now: datetime) -> bool:
        """Where inferred fills stand for all that is untold, the real ones are asked for only every so often."""
        return self._asked_at is None or now - self._asked_at >= timedelta(seconds=self._settings.audit_s)

    async def apply(self, trades: Sequence[Trade], *, missing: Iterable[str], read_at: datetime) -> None:
        """Store what a trade book tells, and what its silence about these orders proves. Raises Unavailable.

        In one transaction: a fill that comes and the inferred one that has stood for it are never there together.
        """
        today, began_at = trade_date_of(read_at), book_began(read_at)
        async with self._database.connection() as connection:
            reported = await fill_store.reported(
                connection, self._account_id, after=last_gone_day(read_at), began_at=began_at
            )
        shown = {(trade.trade_id, trade.order_id): trade for trade in trades}
        new = [(day_of_trade(trade, today=today), trade) for key, trade in shown.items() if key not in reported]
        clean = shown.keys() >= {key for key, by_this_book in reported.items() if by_this_book}
        if not clean:
            logger.warning("the trade book of {} lacks fills that it told: it proves nothing", self._account_id)
        order_ids = {*missing, *(trade.order_id for _, trade in new)}
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)  # another process may still take itself for the owner
            await fill_store.insert(tx, self._account_id, new)
            self.incomplete = await self._infer(tx, order_ids, clean=clean, read_at=read_at)

    async def _infer(self, tx: Tx, order_ids: Iterable[str], *, clean: bool, read_at: datetime) -> bool:
        """Let the inferred fills of these orders be what they must be; True if something filled still has none."""
        since, until = last_gone_day(read_at) + ONE_DAY, trade_date_of(read_at)
        incomplete = False
        for order in await fill_store.uneven(
            tx, self._account_id, since=since, until=until, order_ids=sorted(order_ids)
        ):
            fill = inferred_fill(order, clean=clean, read_at=read_at, grace_s=self._settings.fill_grace_s)
            incomplete |= fill is None and order.missing_quantity > 0
            if fill != order.inferred:
                await self._replace(tx, order, fill)
        return incomplete

    async def _replace(self, tx: Tx, order: FilledOrder, fill: InferredFill | None) -> None:
        """``fill`` is the order's inferred one from now on. The first is an alarm; that it gave way is for the log."""
        if fill is None:
            await fill_store.remove_inferred(tx, order)
        else:
            await fill_store.put_inferred(tx, order.trade_date, as_trade(order, fill), account_id=order.account_id)
        if fill is not None and order.inferred is None:
            data: dict[str, object] = {
                "order_id": order.order_id,
                "trade_date": order.trade_date.isoformat(),
                "filled_quantity": order.filled_quantity,
                "inferred_quantity": fill.quantity,
                "average_price": fill.average_price,
            }
            await self._anomalies.alarm(tx, Alarm.INFERRED_FILL, order.inferred_id, data)
        else:
            still = 0 if fill is None else fill.quantity
            logger.info("fills of order {} of {} came: {} inferred still", order.order_id, order.account_id, still)
