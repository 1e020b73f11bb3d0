"""What an order has filled beyond the fills that the trade book tells of, and the one that stands for it. Pure rules.

The order book says how much was filled, the trade book says by which trades. Where the second stays behind for good,
one inferred fill keeps the sums true: it has the missing quantity, and the price that makes the average of all fills
the order's own. It is ours, not the exchange's: it says so, and gives way to real fills as soon as they are told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from app.broker.orders import Trade
from app.kit.clock import trade_date_of
from app.orders.state.model import OrderState
from app.orders.state.trading_days import book_began

ID_PREFIX = "inferred-"
"""No exchange has a hyphen in its trade numbers."""

PRICE_STEP = Decimal("0.0001")
"""No exchange prices finer; the average of an order's fills is then exact to half of it."""

_DIGITS = 60
"""Enough for any price and quantity that the adapter lets through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredFill:
    quantity: int
    average_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledOrder:
    """An order's own figures beside its stored fills. ``document`` is its JSON view.

    ``shown_at``: since when it is known as it is; for an order at its end, when a read first showed the end.
    ``told_quantity`` and ``told_value`` (rupees) sum up what the trade book told; ``inferred`` is what stands beside.
    """

    account_id: str
    trade_date: date
    order_id: str
    state: OrderState
    filled_quantity: int
    average_price: Decimal
    shown_at: datetime
    document: Mapping[str, Any]
    told_quantity: int = 0
    told_value: Decimal = Decimal(0)
    inferred: InferredFill | None = None

    @property
    def untold_quantity(self) -> int:
        """Never negative: an order book may be behind the trade book."""
        return max(0, self.filled_quantity - self.told_quantity)

    @property
    def unexplained_quantity(self) -> int:
        """What no stored fill stands for, real or inferred."""
        return max(0, self.untold_quantity - (self.inferred.quantity if self.inferred else 0))

    @property
    def inferred_id(self) -> str:
        """The trade id of its inferred fill: always the same one, and none that an exchange gives."""
        source = f"{self.account_id}:{self.trade_date.isoformat()}:{self.order_id}"
        return ID_PREFIX + hashlib.sha256(source.encode()).hexdigest()[:32]


def is_overdue(order: FilledOrder, *, read_at: datetime, grace_s: float) -> bool:
    """Whether a trade book that was asked for at ``read_at`` should have told all of the order's fills.

    The order has been at its end for long enough, and that trade book is sure to be the one of its day: in the night
    the broker empties it, and a fill that is absent from then on may have been there before.
    """
    return (
        order.untold_quantity > 0
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
    if not order.untold_quantity:
        return None
    if order.inferred is None and not (clean and is_overdue(order, read_at=read_at, grace_s=grace_s)):
        return None
    return InferredFill(quantity=order.untold_quantity, average_price=_price(order))


def _price(order: FilledOrder) -> Decimal:
    """So that the average of all fills is the order's; zero where the told fills alone are worth more than that."""
    if not order.told_quantity:
        return max(Decimal(0), order.average_price)
    with localcontext(prec=_DIGITS):
        untold_value = order.average_price * order.filled_quantity - order.told_value
        return max(Decimal(0), untold_value / order.untold_quantity).quantize(PRICE_STEP)


def as_trade(order: FilledOrder, fill: InferredFill) -> Trade:
    """The inferred fill in the fields of a real one. It has no times: nobody has told when it happened."""
    document = order.document
    return Trade(
        trade_id=order.inferred_id,
        order_id=order.order_id,
        exchange=document["exchange"],
        tradingsymbol=document["tradingsymbol"],
        transaction_type=document["transaction_type"],
        product=document["product"],
        quantity=fill.quantity,
        average_price=fill.average_price,
        instrument_token=document["instrument_token"],
        exchange_order_id=document["exchange_order_id"],
    )
