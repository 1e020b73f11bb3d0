"""The price bounds of an order, ``not_above`` and ``not_below``: whether the last price lets it be sent. Pure.

The claim statement compares too, with the price that the sender passes; here the reason gets its words.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from app.broker.outcomes import Sent
from app.orders.state.lifecycle import Event
from app.orders.state.model import TaskError
from app.orders.state.verdicts import Verdict

PRICE_MAX_AGE_S = 5.0
"""Seconds. An older last price proves nothing about the market now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBounds:
    """The client's own bounds on the last price at the moment of sending, in rupees; None: no bound."""

    not_above: Decimal | None = None
    not_below: Decimal | None = None

    @property
    def are_set(self) -> bool:
        """Whether the last price matters."""
        return self.not_above is not None or self.not_below is not None

    def breach_of(self, last_price: Decimal) -> str | None:
        """How this price is outside of the bounds, in words; None while it is inside."""
        if self.not_above is not None and last_price > self.not_above:
            return f"the last price {last_price:f} is above not_above {self.not_above:f}"
        if self.not_below is not None and last_price < self.not_below:
            return f"the last price {last_price:f} is below not_below {self.not_below:f}"
        return None


def outside_bounds(reason: str) -> Verdict:
    """The market has left the client's bounds: the order fails unsent."""
    return Verdict(event=Event.REFUSED, sent=Sent.NO, error=TaskError(code="PRICE_OUT_OF_BOUNDS", message=reason))


def price_unknown(instrument: str) -> Verdict:
    """No last price is young enough to compare with: the order fails unsent."""
    message = f"{instrument} has no last price younger than {PRICE_MAX_AGE_S:g} s to compare with the order's bounds"
    return Verdict(event=Event.REFUSED, sent=Sent.NO, error=TaskError(code="STALE_PRICE", message=message))
