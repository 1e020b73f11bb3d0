"""When a fill is inferred for what the trade book does not report, and with which quantity and price. Pure rules.

The order book shows how much was filled, the trade book by which trades. Where the trade book stays incomplete, one
inferred fill keeps the sums true: it has the missing quantity, and the price that makes the average of all fills the
order's own. It is marked as inferred, and is replaced by real fills as soon as the trade book reports them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from app.broker.orders import Trade
from app.kit.clock import trade_date_of
from app.orders.state.fills import FilledOrder, InferredFill
from app.orders.state.trading_days import book_began

PRICE_STEP = Decimal("0.0001")
"""In rupees. No exchange has a smaller tick; the average of an order's fills is then exact to half of it."""

_DIGITS = 60
"""Precision of the calculation: enough for any price and quantity that the adapter accepts."""


def is_overdue(order: FilledOrder, *, read_at: datetime, grace_s: float) -> bool:
    """Whether a trade book that was read at ``read_at`` should have reported all fills of the order.

    True when the order has been final for ``grace_s`` seconds and the trade book is certainly the one of its day: the
    broker empties it in the night, and a fill that is absent afterwards may have been in it before.
    """
    return (
        order.missing_quantity > 0
        and order.state.is_terminal
        and read_at - order.shown_at >= timedelta(seconds=grace_s)
        and order.trade_date == trade_date_of(read_at)
        and order.shown_at >= book_began(read_at)
    )


def inferred_fill(order: FilledOrder, *, read_at: datetime, grace_s: float, clean: bool) -> InferredFill | None:
    """The inferred fill that an order must have after this read of the trade book; None when it must have none.

    ``clean``: the read can prove an absence, because it shows every fill that was reported before. An inferred fill
    that exists stays for what is still missing, whatever the read shows: only reported fills replace it.
    """
    if not order.missing_quantity:
        return None
    if order.inferred is None and not (clean and is_overdue(order, read_at=read_at, grace_s=grace_s)):
        return None
    return InferredFill(quantity=order.missing_quantity, average_price=_price(order))


def _price(order: FilledOrder) -> Decimal:
    """The price that makes the average of all fills the order's; zero where the reported fills exceed that value."""
    if not order.reported_quantity:
        return max(Decimal(0), order.average_price)
    with localcontext(prec=_DIGITS):
        missing_value = order.average_price * order.filled_quantity - order.reported_value
        return max(Decimal(0), missing_value / order.missing_quantity).quantize(PRICE_STEP)


def as_trade(order: FilledOrder, fill: InferredFill) -> Trade:
    """The inferred fill in the fields of a real one. It has no times, because no source reports them."""
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
