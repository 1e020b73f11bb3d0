"""The last prices that orders need, as a Protocol: orders import nothing of ``app.market``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


class LastPrices(Protocol):
    """The last prices that this process has received."""

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """The last price with its age; None for an instrument that is not streamed."""
        ...

    def tick_size(self, exchange: str, tradingsymbol: str) -> Decimal | None:
        """Of which prices are multiples, in rupees; None for an instrument that is not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPrice:
    """The last price of an instrument."""

    price: Decimal  # rupees
    age_s: float  # seconds since the tick arrived


def fresh_price(last: LastPrice | None, *, max_age_s: float) -> Decimal | None:
    """The price in rupees; None when it is older, or 0: what has not traded today has no price."""
    return last.price if last is not None and last.age_s <= max_age_s and last.price > 0 else None
