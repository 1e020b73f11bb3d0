"""An account's positions, and how much of each an order can still reduce. Pure.

If two orders each close the same position, the second one opens the opposite position. ``Reducible`` therefore assigns
each unit of a position to one order only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from app.broker.orders import OrderRequest, TransactionType


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSide:
    """A position, and the side of the orders that reduce it."""

    instrument: str  # ``NSE:INFY``
    product: str
    transaction_type: str  # of the orders, not of the position


Waiting = Literal["reductions", "all"]
"""Which unsent orders count. While only reductions pass, the other orders wait and reduce nothing."""


Net = Mapping[tuple[str, str, str], int]
"""Signed quantities by exchange, symbol and product: positive is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """The positions of an account."""

    net: Net
    since: datetime  # when the read of them began, by the database's clock


class Reducible:
    """Assigns the units of positions to orders, each once. ``promised``: the units that are assigned already."""

    def __init__(self, net: Net, promised: Mapping[PositionSide, int] | None = None) -> None:
        self._net = net
        self._taken = dict(promised or {})

    def free_for(self, request: OrderRequest) -> int:
        """The quantity of the order that reduces its position; the rest would open the opposite one."""
        held = self._net.get((str(request.exchange), request.tradingsymbol, str(request.product)), 0)
        opposite = -held if request.transaction_type is TransactionType.BUY else held
        return max(0, min(request.quantity, opposite - self._taken.get(side_of(request), 0)))

    def is_covered(self, side: PositionSide) -> bool:
        """Whether all orders to which units of this position are assigned only reduce it."""
        exchange, _, tradingsymbol = side.instrument.partition(":")
        held = self._net.get((exchange, tradingsymbol, side.product), 0)
        opposite = -held if side.transaction_type == TransactionType.BUY else held
        return opposite >= self._taken.get(side, 0)

    def only_reduces(self, request: OrderRequest) -> bool:
        """Whether the order can only make its position smaller, whatever else is executed."""
        return self.free_for(request) == request.quantity

    def assign(self, request: OrderRequest) -> OrderRequest | None:
        """The order, for the quantity of it that still reduces, which is assigned to it; None where nothing does."""
        quantity = self.free_for(request)
        self.reserve(request, quantity)
        return replace(request, quantity=quantity) if quantity else None

    def assign_whole(self, request: OrderRequest) -> bool:
        """Assign its whole quantity to an order that only reduces; False, and nothing is assigned, for another one."""
        proven = self.only_reduces(request)
        if proven:
            self.reserve(request, request.quantity)
        return proven

    def reserve(self, request: OrderRequest, quantity: int) -> None:
        """Assign units of the order's position to it."""
        key = side_of(request)
        self._taken[key] = self._taken.get(key, 0) + quantity


def side_of(request: OrderRequest) -> PositionSide:
    """The position that the order may reduce."""
    return PositionSide(
        instrument=request.instrument, product=str(request.product), transaction_type=str(request.transaction_type)
    )


def net_positions(positions: Mapping[str, Any]) -> Net:
    """The net quantities in the broker's answer to a request for positions."""
    return {
        (str(row["exchange"]), str(row["tradingsymbol"]), str(row["product"])): int(row["quantity"])
        for row in positions["net"]
    }
