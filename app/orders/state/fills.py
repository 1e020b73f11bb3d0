"""Fills of an order as values: reported by the trade book, or inferred from the order book."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from app.orders.state.model import OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredFill:
    """A fill that stands for those which the trade book has not reported."""

    quantity: int
    average_price: Decimal  # rupees


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledOrder:
    """An order's quantities by the order book, beside the sums of its stored fills.

    An inferred fill repeats what the order book shows of its order: ``exchange``, ``tradingsymbol``,
    ``transaction_type``, ``product``, ``instrument_token``, ``exchange_order_id``.
    """

    account_id: str  # whose order it is
    trade_date: date  # the trading day under which the order is kept
    order_id: str  # the broker's id
    state: OrderState  # by the order book
    filled_quantity: int  # by the order book
    average_price: Decimal  # by the order book, in rupees
    shown_at: datetime  # when a read first showed the order as it is now; of an ended order, when it showed the end
    exchange: str
    tradingsymbol: str
    transaction_type: str
    product: str
    instrument_token: int
    exchange_order_id: str | None
    reported_quantity: int = 0  # the sum of the fills that the trade book has reported
    reported_value: Decimal = Decimal(0)  # their value in rupees
    inferred: InferredFill | None = None  # the fill that stands for missing ones

    @property
    def missing_quantity(self) -> int:
        """The quantity without a reported fill. Never negative: the order book may be behind the trade book."""
        return max(0, self.filled_quantity - self.reported_quantity)

    @property
    def unexplained_quantity(self) -> int:
        """The quantity without any stored fill, reported or inferred."""
        return max(0, self.missing_quantity - (self.inferred.quantity if self.inferred else 0))

    @property
    def inferred_id(self) -> str:
        """The trade id of its inferred fill: always the same, and never one of an exchange."""
        source = f"{self.account_id}:{self.trade_date.isoformat()}:{self.order_id}"
        return INFERRED_ID_PREFIX + hashlib.sha256(source.encode()).hexdigest()[:32]


INFERRED_ID_PREFIX = "inferred-"
"""No exchange uses a hyphen in its trade numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSums:
    """Quantities of an order's stored fills."""

    all: int
    inferred: int

    @property
    def reported(self) -> int:
        """The quantity that the trade book reported."""
        return self.all - self.inferred


NO_FILLS = FillSums(all=0, inferred=0)
