"""What an order has filled beyond the fills that the trade book tells of, and the one that stands for it. Pure rules.

The order book says how much was filled, the trade book says by which trades. Where the second stays behind for good,
one inferred fill keeps the sums true: it has the missing quantity, and the price that makes the average of all fills
the order's own. It is ours, not the exchange's: it says so, and gives way to real fills as soon as they are told.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from app.broker.orders import Trade
from app.kit.clock import trade_date_of
from app.orders.state.fills import FilledOrder, InferredFill
from app.orders.state.trading_days import book_began

PRICE_STEP = Decimal("0.0001")
"""No exchange prices finer; the average of an order's fills is then exact to half of it."""

_DIGITS = 60
"""Enough for any price and quantity that the adapter lets through."""


def is_overdue(order: FilledOrder, *, read_at: datetime, grace_s: float) -> bool:
    """Whether a trade book that was asked for at ``read_at`` should have told all of the order's fills.

    The order has been at its end for long enough, and that trade book is sure to be the one of its day: in the night
    the broker empties it, and a fill that is absent from then on may have been there before.
    """
    return (
        order.missing_quantity > 0
        and order.state.is_terminal
        and read_at - order.shown_at >= timedelta(seconds=grace_s)
        and order.trade_date == trade_date_of(read_at)
        and order.shown_at >= book_began(read_at)
    )


def inferred_fill(order: FilledOrder, *, read_at: datetime, grace_s: float, clean: bool) -> InferredFill | None:
    """What is to stand for the fills that are still untold after this read of the trade book; None for nothing.

    ``clean``: the read can prove an absence, because it told all that was told before. One that stands already stays
    for what is still untold, whatever the read: it only ever gives way to fills.
    """
    if not order.missing_quantity:
        return None
    if order.inferred is None and not (clean and is_overdue(order, read_at=read_at, grace_s=grace_s)):
        return None
    return InferredFill(quantity=order.missing_quantity, average_price=_price(order))


def _price(order: FilledOrder) -> Decimal:
    """So that the average of all fills is the order's; zero where the told fills alone are worth more than that."""
    if not order.reported_quantity:
        return max(Decimal(0), order.average_price)
    with localcontext(prec=_DIGITS):
        untold_value = order.average_price * order.filled_quantity - order.reported_value
        return max(Decimal(0), untold_value / order.missing_quantity).quantize(PRICE_STEP)


def as_trade(order: FilledOrder, fill: InferredFill) -> Trade:
    """The inferred fill in the fields of a real one. It has no times: nobody has told when it happened."""
    return Trade(
        trade_id=order.inferred_id,
        order_id=order.order_id,
        exchange=order.exchange,
        tradingsymbol=order.tradingsymbol,
        transaction_type=order.transaction_type,
        product=order.product,
        quantity=fill.quantity,
        average_price=fill.average_price,
        instrument_token=order.instrument_token,
        exchange_order_id=order.exchange_order_id,
    )
