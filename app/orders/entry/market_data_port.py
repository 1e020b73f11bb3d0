"""The instruments that acceptance needs, as a Protocol: orders import nothing of ``app.market``."""

from __future__ import annotations

from typing import Protocol

from app.broker.market import Instrument


class InstrumentLookup(Protocol):
    """Today's instruments."""

    def find(self, exchange: str, tradingsymbol: str) -> Instrument | None:
        """The instrument; None when it does not exist, or the list is not loaded."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether the list of instruments is loaded."""
        ...
