"""Orders as Kite Connect names them: what we ask for, and what the broker's books show.

Field names and values are those of https://kite.trade/docs/connect/v3/orders/. Prices are Decimal, times are aware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec


class Exchange(StrEnum):
    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"


class TransactionType(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> TransactionType:
        return TransactionType.SELL if self is TransactionType.BUY else TransactionType.BUY


class Product(StrEnum):
    CNC = "CNC"
    NRML = "NRML"
    MIS = "MIS"
    MTF = "MTF"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class Variety(StrEnum):
    REGULAR = "regular"
    AMO = "amo"
    CO = "co"
    ICEBERG = "iceberg"
    AUCTION = "auction"


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """One order as a caller wants it. The tag on the wire is ours and not part of it."""

    exchange: Exchange
    tradingsymbol: str
    transaction_type: TransactionType
    quantity: int
    product: Product
    order_type: OrderType
    variety: Variety = Variety.REGULAR
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    validity: Validity = Validity.DAY
    validity_ttl: int | None = None
    disclosed_quantity: int | None = None
    iceberg_legs: int | None = None
    iceberg_quantity: int | None = None
    auction_number: str | None = None
    market_protection: Decimal | None = None
    autoslice: bool = False

    @property
    def instrument(self) -> str:
        """``NSE:INFY``: the key by which Kite's quotes and our queues name the instrument."""
        return f"{self.exchange}:{self.tradingsymbol}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, absent fields left out, decimals as strings: the form that is stored and fingerprinted."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in built.items() if value is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> OrderRequest:
        return msgspec.convert(stored, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanges:
    """A modification: only what is set is sent. Values are absolute (the new total quantity, the new price)."""

    quantity: int | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    order_type: OrderType | None = None
    validity: Validity | None = None
    disclosed_quantity: int | None = None
    market_protection: Decimal | None = None

    def to_json(self) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in built.items() if value is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> OrderChanges:
        return msgspec.convert(stored, cls)


TERMINAL_STATUSES = frozenset({"COMPLETE", "CANCELLED", "REJECTED", "CANCELLED AMO"})
"""Statuses after which the broker never moves an order again; every other one, known or not, is live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """One row of the order book or of an order's history. ``raw`` is the row as it came, for what we do not name."""

    order_id: str
    status: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    product: str
    order_type: str
    variety: str
    quantity: int
    filled_quantity: int = 0
    pending_quantity: int = 0
    cancelled_quantity: int = 0
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    validity: str = "DAY"
    instrument_token: int = 0
    exchange_order_id: str | None = None
    parent_order_id: str | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    order_timestamp: datetime | None = None
    exchange_timestamp: datetime | None = None
    exchange_update_timestamp: datetime | None = None
    tag: str | None = None
    tags: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL_STATUSES

    def carries_tag(self, tag: str) -> bool:
        """Kite repeats the tag in ``tag`` and among ``tags``, where its own marks stand too."""
        return tag == self.tag or tag in self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill. Unique by (account, day, ``trade_id``)."""

    trade_id: str
    order_id: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    product: str
    quantity: int
    average_price: Decimal
    instrument_token: int = 0
    exchange_order_id: str | None = None
    fill_timestamp: datetime | None = None
    exchange_timestamp: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
