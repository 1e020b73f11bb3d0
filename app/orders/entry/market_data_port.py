"""The market data that acceptance needs, as Protocols: orders import nothing of ``app.market``."""

from __future__ import annotations

from typing import Protocol

from app.broker.market import Instrument
from app.orders.risk.limits import LastPrice


class InstrumentLookup(Protocol):
    """Today's instruments."""

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument; None when it does not exist, or the list is not loaded."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether the list of instruments is loaded."""
        ...


class LastPrices(Protocol):
    """The last prices that this process has received."""

    def last_price(self, exchange: str, tradingsymbol: str) -> LastPrice | None:
        """The last price with its age; None for an instrument that is not streamed."""
        ...
