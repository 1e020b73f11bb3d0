"""Keeps an account's fills complete: reads the trade book when the order book shows more than the stored fills.

Fills that the trade book does not report in time are inferred, with an alarm, and replaced by the real ones when those
come. A read that fails proves nothing: the stored fills stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from loguru import logger

from app.broker.orders import BrokerOrder, Trade
from app.broker.port import OrderGateway
from app.broker.rows import BadRow
from app.db.postgres import Tx
from app.kit.clock import trade_date_of
from app.orders.reconciliation.anomalies import Anomalies
from app.orders.reconciliation.inferred_fills import as_trade, inferred_fill
from app.orders.state import fill_store, fills
from app.orders.state.alarms import Alarm
from app.orders.state.fills import FilledOrder, InferredFill
from app.orders.state.order_parts import OrderParts
from app.orders.state.trading_days import ONE_DAY, book_began, day_of_trade, last_gone_day


class FillSync:
    """Synchronises the fills of one account after each read of its order book.

    ``incomplete``: some filled quantity has neither a real nor an inferred fill.
    """

    def __init__(self, account_id: str, parts: OrderParts, *, gateway: OrderGateway, anomalies: Anomalies) -> None:
        self.incomplete = False
        self._account_id = account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._settings = parts.settings
        self._gateway = gateway
        self._anomalies = anomalies
        self._read_at: datetime | None = None

    async def update(self, rows: Sequence[BrokerOrder], *, now: datetime) -> None:
        """Read and apply the trade book if the stored fills do not reach the filled quantities of these rows.

        ``now``: a time before the read, by the database's clock. Raises BrokerError, RateLimited, Unavailable.
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
            self._read_at = now
            book = await self._gateway.trades()
            await self.apply(book.good, missing=missing, read_at=now, bad=book.bad)

    def _is_due(self, now: datetime) -> bool:
        """Where inferred fills cover all that is missing, the trade book is read once in ``audit_s`` only."""
        return self._read_at is None or now - self._read_at >= timedelta(seconds=self._settings.audit_s)

    async def apply(
        self, trades: Sequence[Trade], *, missing: Iterable[str], read_at: datetime, bad: Sequence[BadRow] = ()
    ) -> None:
        """Store the fills that a trade book reports, and infer those that it should have reported for these orders.

        ``bad``: the rows of the trade book that cannot be read; a fill that one of them hides is inferred in its time.
        One transaction does both, so that a reported fill never exists beside the inferred one that it replaces.
        Raises Unavailable.
        """
        today, began_at = trade_date_of(read_at), book_began(read_at)
        async with self._database.connection() as connection:
            reported = await fill_store.reported(
                connection, self._account_id, after=last_gone_day(read_at), began_at=began_at
            )
        shown = {(trade.trade_id, trade.order_id): trade for trade in trades}
        new = [(day_of_trade(trade, today=today), trade) for key, trade in shown.items() if key not in reported]
        hidden = {row.subject for row in bad}
        clean = all(key in shown or key[0] in hidden for key, by_this_book in reported.items() if by_this_book)
        if not clean:
            log = logger.bind(account_id=self._account_id, action="infer_fills")
            log.warning("trade book lacks fills that it reported before, so none is inferred from it")
        order_ids = {*missing, *(trade.order_id for _, trade in new)}
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)  # a former owner may still be applying its own read
            await fill_store.insert(tx, self._account_id, new)
            await self._anomalies.report_unreadable(tx, bad, book="trade book", day=today)
            self.incomplete = await self._infer(tx, order_ids, clean=clean, read_at=read_at)

    async def _infer(self, tx: Tx, order_ids: Iterable[str], *, clean: bool, read_at: datetime) -> bool:
        """Update the inferred fills of these orders; return whether some filled quantity still has no fill."""
        since, until = last_gone_day(read_at) + ONE_DAY, trade_date_of(read_at)
        incomplete = False
        for order in await fill_store.with_missing_fills(
            tx, self._account_id, since=since, until=until, order_ids=sorted(order_ids)
        ):
            fill = inferred_fill(order, clean=clean, read_at=read_at, grace_s=self._settings.fill_grace_s)
            incomplete |= fill is None and order.missing_quantity > 0
            if fill != order.inferred:
                await self._replace(tx, order, fill)
        return incomplete

    async def _replace(self, tx: Tx, order: FilledOrder, fill: InferredFill | None) -> None:
        """Store ``fill`` as the order's inferred one, or remove it. The first raises an alarm, changes are logged."""
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
            fields = {"account_id": order.account_id, "order_id": order.order_id, "action": "infer_fills"}
            inferred = 0 if fill is None else fill.quantity
            logger.bind(**fields, inferred_quantity=inferred).info("inferred fill replaced by reported ones")
