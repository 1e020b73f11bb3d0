"""The tick as it leaves this service: KiteTicker's names, and some that the service adds.

A ``msgspec.Struct`` because it is built and written 100,000 times a second. Fields that the packet does not have are
``UNSET`` and so absent from the JSON, never zero. Prices are floats here and only here: they are display data, never
order prices.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

Source: TypeAlias = Literal["live", "simulator", "replay"]
"""``live``: Zerodha's own hosts; ``replay``: a simulator that sends a recording."""


class DepthItem(msgspec.Struct, gc=False):
    """One level of the market depth."""

    quantity: int
    price: float
    orders: int


class Depth(msgspec.Struct, gc=False):
    """Five levels on each side, the best first."""

    buy: list[DepthItem]
    sell: list[DepthItem]


class Ohlc(msgspec.Struct, gc=False):
    """Of the day; ``close`` is that of the day before."""

    open: float
    high: float
    low: float
    close: float


class Tick(msgspec.Struct, gc=False, omit_defaults=False):
    """One tick. Times of the exchange are epoch seconds, None where it has none."""

    instrument_token: int  # the broker's number of the instrument, valid for the day
    mode: str  # ltp, quote or full: which fields it has
    tradable: bool  # False for an index
    last_price: float  # of the last trade; of an index its value
    v: int = 1  # version of this schema
    exchange: str | UnsetType = UNSET  # added from the instruments of the day
    tradingsymbol: str | UnsetType = UNSET  # likewise
    last_traded_quantity: int | UnsetType = UNSET  # of the last trade
    average_traded_price: float | UnsetType = UNSET  # of the day
    volume_traded: int | UnsetType = UNSET  # of the day
    total_buy_quantity: int | UnsetType = UNSET  # of all pending orders
    total_sell_quantity: int | UnsetType = UNSET  # likewise
    ohlc: Ohlc | UnsetType = UNSET  # open, high, low of the day, close of the day before
    change: float | UnsetType = UNSET  # percent against the close of the day before
    last_trade_time: int | UnsetType | None = UNSET  # when the last trade happened
    oi: int | UnsetType = UNSET  # open interest
    oi_day_high: int | UnsetType = UNSET  # the highest of the day
    oi_day_low: int | UnsetType = UNSET  # the lowest of the day
    exchange_timestamp: int | UnsetType | None = UNSET  # when the exchange sent it
    depth: Depth | UnsetType = UNSET  # the five best bids and offers
    account_id: str = ""  # whose feed it came from; added by the service
    seq: int = 0  # rises by one with every tick that this account's feed encodes; added by the service
    received_at: int = 0  # epoch milliseconds by the service's clock
    source: Source = "live"  # added by the service
