"""Instruments, quotes and candles as the broker lists them (https://kite.trade/docs/connect/v3/market-quotes/)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """How much of an instrument is streamed; ordered, ``full`` contains ``quote`` contains ``ltp``."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"

    @property
    def rank(self) -> int:
        return ("ltp", "quote", "full").index(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One row of the broker's dump. Tokens are recycled after expiry: stored data is keyed by exchange and symbol."""

    instrument_token: int
    exchange_token: int
    tradingsymbol: str
    name: str
    expiry: date | None
    strike: Decimal
    tick_size: Decimal
    lot_size: int
    instrument_type: str
    segment: str
    exchange: str

    @property
    def key(self) -> str:
        """``NSE:INFY``."""
        return f"{self.exchange}:{self.tradingsymbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One value of the ``/quote`` map; ``raw`` is Kite's object as it came."""

    key: str
    instrument_token: int
    last_price: Decimal
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One bar; ``time`` is its start, aware. ``oi`` is None where it was not asked for."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    oi: int | None = None
