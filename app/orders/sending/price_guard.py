"""Finds the last price for an order with price bounds, and refuses the order when the price is outside or unknown.

The price is the newest tick of this process. Where none is young enough, because the instrument is not subscribed or
another replica has the feed, the broker is asked for a quote; other tasks are sent meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from loguru import logger

from app.errors import ServiceError
from app.orders.sending.claim_parameters import NextTask, Priced
from app.orders.sending.price_bounds import PRICE_MAX_AGE_S, outside_bounds, price_unknown
from app.orders.state.last_prices import fresh_price
from app.orders.state.order_parts import AccountParts
from app.orders.state.verdicts import Verdict

QUOTE_TIMEOUT_S = 2.0
"""How long an order waits for the broker's quote. The broker answers one such request a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quoted:
    """The last price that the broker gave for a task; None when it gave none."""

    last_price: Decimal | None
    at: float  # by the monotonic clock, in seconds


class PriceGuard:
    """The price guard of one account's sender. It remembers a quote only until its task is claimed or refused."""

    def __init__(self, parts: AccountParts) -> None:
        self._account_id = parts.account_id
        self._database = parts.database
        self._settlement = parts.settlement
        self._market = parts.broker.market
        self._prices = parts.prices
        self._wakeups = parts.wakeups
        self._clock = parts.clock
        self._asked: set[UUID] = set()
        self._quoted: dict[UUID, _Quoted] = {}

    @property
    def waiting(self) -> list[UUID]:
        """The tasks that wait for a quote of the broker."""
        return list(self._asked)

    def price_for(self, task: NextTask) -> Priced | None:
        """The last price of the instrument of a task with bounds; None without bounds, or when none is young enough."""
        if not task.bounds.are_set:
            return None
        exchange, _, tradingsymbol = task.instrument.partition(":")
        tick = fresh_price(self._prices.last_price(exchange, tradingsymbol), max_age_s=PRICE_MAX_AGE_S)
        if tick is not None:
            return Priced(instrument=task.instrument, last_price=tick)
        quoted = self._quoted.get(task.task_id)
        if quoted is None or quoted.last_price is None or self._clock.monotonic() - quoted.at > PRICE_MAX_AGE_S:
            return None
        return Priced(instrument=task.instrument, last_price=quoted.last_price)

    async def passes(self, task: NextTask, requests: asyncio.TaskGroup) -> bool:
        """Whether the task may be sent by its price bounds now.

        When not, it was refused, or ``requests`` has begun to ask the broker for a quote. Raises Unavailable.
        """
        if not task.bounds.are_set:
            return True
        priced = self.price_for(task)
        breach = None if priced is None else task.bounds.breach_of(priced.last_price)
        if priced is not None and breach is None:
            return True
        if breach is not None:
            await self._refuse(task, outside_bounds(breach))
        elif self._quoted.pop(task.task_id, None) is None:
            self._asked.add(task.task_id)
            requests.create_task(self._ask(task), name=f"quote-{task.task_id}")
        else:  # the broker was asked, in vain
            await self._refuse(task, price_unknown(task.instrument))
        return False

    def forget(self, task_id: UUID) -> None:
        """Drop the quote of a task that was claimed."""
        self._quoted.pop(task_id, None)

    async def _ask(self, task: NextTask) -> None:
        """Ask the broker for the last price; the sender looks at the task again afterwards, whatever came."""
        last_price = None
        try:
            async with asyncio.timeout(QUOTE_TIMEOUT_S):
                quotes = await self._market.quotes([task.instrument])
            if task.instrument in quotes and quotes[task.instrument].last_price > 0:  # 0: it has not traded
                last_price = quotes[task.instrument].last_price
        except (ServiceError, TimeoutError) as error:
            fields = {"account_id": self._account_id, "task_id": task.task_id, "action": task.operation}
            logger.bind(**fields, reason=repr(error)).warning("no quote for an order with price bounds")
        finally:
            now = self._clock.monotonic()
            # a task may have been withdrawn or have expired meanwhile, so old quotes go here too
            self._quoted = {key: kept for key, kept in self._quoted.items() if now - kept.at <= PRICE_MAX_AGE_S}
            self._quoted[task.task_id] = _Quoted(last_price=last_price, at=now)
            self._asked.discard(task.task_id)
            self._wakeups.sender.set()

    async def _refuse(self, task: NextTask, verdict: Verdict) -> None:
        self._quoted.pop(task.task_id, None)
        async with self._database.transaction() as tx:
            await self._settlement.lock(tx, self._account_id)
            await self._settlement.settle(tx, task.task_id, verdict, fence=task.fence)
        self._wakeups.changed()
