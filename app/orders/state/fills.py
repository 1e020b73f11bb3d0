"""Fills of an order, reported by the trade book or inferred, as values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.orders.state.model import OrderState


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
    reported_quantity: int = 0
    reported_value: Decimal = Decimal(0)
    inferred: InferredFill | None = None

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
