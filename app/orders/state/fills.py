"""Fills of an order, reported by the trade book or inferred, as values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from app.orders.state.model import OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredFill:
    quantity: int
    average_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledOrder:
    """An order's own figures, from the order book, beside its stored fills."""

    account_id: str
    trade_date: date
    order_id: str
    state: OrderState
    filled_quantity: int  # by the order book
    average_price: Decimal  # by the order book
    shown_at: datetime  # since when it is known as it is; of an ended order, when a read first showed the end
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
        """Never negative: an order book may be behind the trade book."""
        return max(0, self.filled_quantity - self.reported_quantity)

    @property
    def unexplained_quantity(self) -> int:
        """What no stored fill stands for, real or inferred."""
        return max(0, self.missing_quantity - (self.inferred.quantity if self.inferred else 0))

    @property
    def inferred_id(self) -> str:
        """The trade id of its inferred fill: always the same one, and none that an exchange gives."""
        source = f"{self.account_id}:{self.trade_date.isoformat()}:{self.order_id}"
        return INFERRED_ID_PREFIX + hashlib.sha256(source.encode()).hexdigest()[:32]


INFERRED_ID_PREFIX = "inferred-"
"""No exchange has a hyphen in its trade numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSums:
    """Quantities of an order's stored fills."""

    all: int
    inferred: int

    @property
    def reported(self) -> int:
        return self.all - self.inferred


NO_FILLS = FillSums(all=0, inferred=0)
