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
        """0, 1, 2: a higher one contains the lower ones."""
        return ("ltp", "quote", "full").index(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One row of the broker's dump. Tokens are recycled after expiry: stored data is keyed by exchange and symbol."""

    instrument_token: int  # what ticks and candles are addressed by; valid for the day
    exchange_token: int  # the exchange's own number
    tradingsymbol: str  # unique within the exchange on a day
    name: str  # of the company or the underlying; may be empty
    expiry: date | None  # last trading day; None for what does not expire
    strike: Decimal  # of an option; 0 otherwise
    tick_size: Decimal  # prices are multiples of it
    lot_size: int  # quantities are multiples of it
    instrument_type: str  # EQ, FUT, CE, PE
    segment: str  # NSE, NFO-OPT, INDICES, ...
    exchange: str  # NSE, BSE, NFO, BFO, CDS, BCD, MCX, NCO

    @property
    def key(self) -> str:
        """``NSE:INFY``."""
        return f"{self.exchange}:{self.tradingsymbol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One value of the ``/quote`` map, by ``key`` (``NSE:INFY``); ``raw`` is Kite's object as it came."""

    key: str
    instrument_token: int
    last_price: Decimal
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One bar; ``time`` is its start, aware. ``oi`` is None where it was not requested."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    oi: int | None = None
