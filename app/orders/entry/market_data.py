"""What is asked of market data before an order is accepted; who answers is decided by the composition."""

from __future__ import annotations

from typing import Protocol

from app.broker.market import Instrument
from app.orders.risk.limits import LastPrice


class InstrumentLookup(Protocol):
    """Today's instruments, as far as they are loaded."""

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument, or None: then there is no such one if ``is_loaded``."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether the list of instruments is there at all."""
        ...


class LastPrices(Protocol):
    """The prices that this process has received."""

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """The last one with its age; None for what is not streamed here."""
        ...
