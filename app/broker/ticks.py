"""The tick as it leaves this service: KiteTicker's names, ours beside them.

A ``msgspec.Struct`` because it is built and written 100,000 times a second; fields that the packet does not have are
``UNSET`` and so absent from the JSON, never zero. Times are epoch seconds from the exchange, ``received_at`` is epoch
milliseconds of our own clock. Prices are floats here and only here: they are display data, never order prices.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Source = Literal["live", "simulator", "replay"]


class DepthItem(msgspec.Struct, gc=False):
    quantity: int
    price: float
    orders: int


class Depth(msgspec.Struct, gc=False):
    buy: list[DepthItem]
    sell: list[DepthItem]


class Ohlc(msgspec.Struct, gc=False):
    open: float
    high: float
    low: float
    close: float


class Tick(msgspec.Struct, gc=False, omit_defaults=False):
    """One tick. ``v`` is the version of this schema."""

    instrument_token: int
    mode: str
    tradable: bool
    last_price: float
    v: int = 1
    exchange: str | UnsetType = UNSET
    tradingsymbol: str | UnsetType = UNSET
    last_traded_quantity: int | UnsetType = UNSET
    average_traded_price: float | UnsetType = UNSET
    volume_traded: int | UnsetType = UNSET
    total_buy_quantity: int | UnsetType = UNSET
    total_sell_quantity: int | UnsetType = UNSET
    ohlc: Ohlc | UnsetType = UNSET
    change: float | UnsetType = UNSET
    last_trade_time: int | UnsetType | None = UNSET
    oi: int | UnsetType = UNSET
    oi_day_high: int | UnsetType = UNSET
    oi_day_low: int | UnsetType = UNSET
    exchange_timestamp: int | UnsetType | None = UNSET
    depth: Depth | UnsetType = UNSET
    account_id: str = ""
    seq: int = 0
    received_at: int = 0
    source: Source = "live"
