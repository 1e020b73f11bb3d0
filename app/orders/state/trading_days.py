"""To which trading day a row of the broker's book belongs, and when the broker has discarded a day's book. Pure.

The broker empties its book some time in the night, not at midnight, so for some hours a read shows yesterday's orders.
They stay orders of yesterday. An order that is still live when a new day begins (an AMO waits for the morning) goes
over to the new day and stays one order.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from app.broker.orders import BrokerOrder, Trade
from app.kit.clock import IST, trade_date_of
from app.orders.state.model import KnownOrder

BOOK_RESETS_AFTER = timedelta(hours=6)
"""After midnight IST. Broker sessions end at about six, and by then the book of the day before is empty."""

ONE_DAY = timedelta(days=1)
LOOK_BACK = timedelta(days=7)
"""How old an order may be that a book still shows: placed before a long weekend, and live since."""


def book_day(now: datetime) -> date:
    """The oldest day whose book the broker may still show at ``now``."""
    return trade_date_of(now - BOOK_RESETS_AFTER)


def oldest_live_day(now: datetime) -> date:
    """The oldest day of which an order may still be live at ``now``."""
    return book_day(now) - LOOK_BACK


def last_gone_day(now: datetime) -> date:
    """The newest trading day whose book the broker has certainly discarded."""
    return book_day(now) - ONE_DAY


def book_began(now: datetime) -> datetime:
    """The time since which every placed order must be in the present book; earlier orders may leave it in the night."""
    midnight = datetime.combine(trade_date_of(now), time(), IST)
    reset_at = midnight + BOOK_RESETS_AFTER
    return reset_at if now >= reset_at else midnight


def day_of_order(row: BrokerOrder, *, known: KnownOrder | None, now: datetime) -> date:
    """The day under which a row, read at ``now``, is kept; ``known`` is the same order as it is stored.

    An order that has ended stays where it is. A live one is never kept under a day whose book is gone.
    """
    if known is not None and known.state.is_terminal:
        return known.trade_date
    days = [_newest(row, today=trade_date_of(now))]
    if known is not None:
        days.append(known.trade_date)
    if not row.is_terminal:
        days.append(book_day(now))
    return max(days)


def is_same_order(known: KnownOrder, row: BrokerOrder) -> bool:
    """Whether a row is this order. The broker's ids are unique within a day only, so a new order may have an old id."""
    named = (row.exchange, row.tradingsymbol, row.transaction_type)
    if (known.exchange, known.tradingsymbol, known.transaction_type) != named:
        return False
    ordered = row.order_timestamp
    return not known.state.is_terminal or ordered is None or trade_date_of(ordered) <= known.trade_date


def day_of_trade(trade: Trade, *, today: date) -> date:
    """The day of a fill; today where the trade has no time."""
    moment = trade.fill_timestamp or trade.exchange_timestamp
    return today if moment is None else min(trade_date_of(moment), today)


def _newest(row: BrokerOrder, *, today: date) -> date:
    """The day of the last change of an order; today where the row has no time."""
    moments = (row.order_timestamp, row.exchange_timestamp, row.exchange_update_timestamp)
    days = [trade_date_of(moment) for moment in moments if moment is not None]
    return min(max(days), today) if days else today
