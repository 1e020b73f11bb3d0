"""What an account holds, and how much of it is still free to be reduced. Pure.

Two orders that each would close the same position must not both count as its close: the second would open one the
other way round. ``Reducible`` gives out each unit once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from app.broker.orders import OrderRequest, TransactionType


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSide:
    """A position: what one order could make smaller."""

    instrument: str
    product: str
    transaction_type: str


Waiting = Literal["reductions", "all"]
"""Which unsent orders count: while only reductions may go, the others wait and take nothing."""


Net = Mapping[tuple[str, str, str], int]
"""Signed quantities by exchange, symbol and product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """What is held, and when the read of it began, by the database's clock."""

    net: Net
    since: datetime


class Reducible:
    """Gives out what positions hold, each unit once. ``promised``: what is given out already."""

    def __init__(self, net: Net, promised: Mapping[PositionSide, int] | None = None) -> None:
        self._net = net
        self._taken = dict(promised or {})

    def free_for(self, request: OrderRequest) -> int:
        """How much of the order only makes its position smaller; the rest would turn it around."""
        held = self._net.get((str(request.exchange), request.tradingsymbol, str(request.product)), 0)
        opposite = -held if request.transaction_type is TransactionType.BUY else held
        return max(0, min(request.quantity, opposite - self._taken.get(side_of(request), 0)))

    def take(self, request: OrderRequest, quantity: int) -> None:
        key = side_of(request)
        self._taken[key] = self._taken.get(key, 0) + quantity


def side_of(request: OrderRequest) -> PositionSide:
    return PositionSide(
        instrument=request.instrument, product=str(request.product), transaction_type=str(request.transaction_type)
    )


def net_positions(positions: Mapping[str, Any]) -> Net:
    """From the broker's answer."""
    return {
        (str(row["exchange"]), str(row["tradingsymbol"]), str(row["product"])): int(row["quantity"])
        for row in positions["net"]
    }
