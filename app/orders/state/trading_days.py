"""Which trading day a row of the broker's book belongs to, and when that day's book is gone. Pure rules.

The book is emptied some time in the night, not at midnight, so for some hours a read shows yesterday's orders. They
stay what they are: orders of yesterday. What is still live when a new day has begun (an AMO waits for the morning)
goes over to the new day, and stays one order.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from app.broker.orders import BrokerOrder, Trade
from app.kit.clock import IST, trade_date_of
from app.orders.state.model import KnownOrder

BOOK_RESETS_AFTER = timedelta(hours=6)
"""After midnight IST: sessions end at about six, and by then the book of the day before is gone."""

ONE_DAY = timedelta(days=1)
LOOK_BACK = timedelta(days=7)
"""How old an order may be that a book still shows: one that was placed before a long weekend waits for its end."""


def book_day(now: datetime) -> date:
    """The day whose book the broker shows, at the latest."""
    return trade_date_of(now - BOOK_RESETS_AFTER)


def last_gone_day(now: datetime) -> date:
    """The newest trading day whose book the broker has put away for certain."""
    return book_day(now) - ONE_DAY


def book_began(now: datetime) -> datetime:
    """Since when every order that was placed is sure to be in the present book: earlier ones may leave in the night."""
    midnight = datetime.combine(trade_date_of(now), time(), IST)
    turn = midnight + BOOK_RESETS_AFTER
    return turn if now >= turn else midnight


def day_of_order(row: BrokerOrder, *, known: KnownOrder | None, now: datetime) -> date:
    """The day under which a row of a read made ``now`` is kept; ``known`` is the same order as it was kept so far."""
    if known is not None and known.state.is_terminal:
        return known.trade_date
    days = [_newest(row, today=trade_date_of(now))]
    if known is not None:
        days.append(known.trade_date)
    if not row.is_terminal:
        days.append(book_day(now))
    return max(days)


def is_same_order(known: KnownOrder, row: BrokerOrder) -> bool:
    """The broker's ids are unique within a day only: another order may come under the id of an old one."""
    named = (row.exchange, row.tradingsymbol, row.transaction_type)
    if (known.exchange, known.tradingsymbol, known.transaction_type) != named:
        return False
    ordered = row.order_timestamp
    return not known.state.is_terminal or ordered is None or trade_date_of(ordered) <= known.trade_date


def day_of_trade(trade: Trade, *, today: date) -> date:
    """The day on which a fill happened; today when its row does not say."""
    moment = trade.fill_timestamp or trade.exchange_timestamp
    return today if moment is None else min(trade_date_of(moment), today)


def _newest(row: BrokerOrder, *, today: date) -> date:
    """The day of the last thing that happened to an order; today when its row does not say."""
    moments = (row.order_timestamp, row.exchange_timestamp, row.exchange_update_timestamp)
    days = [trade_date_of(moment) for moment in moments if moment is not None]
    return min(max(days), today) if days else today
