"""Orders as Kite Connect names them: what is requested, and what the broker's books show.

Field names and values are those of https://kite.trade/docs/connect/v3/orders/. Prices are Decimal rupees for one unit,
quantities are units (not lots), times are aware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec


class Operation(StrEnum):
    """What an order request asks of the broker."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"

    @property
    def priority(self) -> int:
        """Lower is sent first: requests that reduce risk overtake those that add to it."""
        return {Operation.CANCEL: 0, Operation.MODIFY: 1, Operation.PLACE: 2}[self]


class Exchange(StrEnum):
    NSE = "NSE"
    BSE = "BSE"
    NFO = "NFO"
    BFO = "BFO"
    CDS = "CDS"
    BCD = "BCD"
    MCX = "MCX"
    NCO = "NCO"

    @property
    def is_commodity(self) -> bool:
        """Whether quantities are lots there, and the funds those of the commodity segment."""
        return self in {Exchange.MCX, Exchange.NCO}


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
    """One order as the client wants it. The tag on the wire is the service's and not part of it."""

    exchange: Exchange  # where it goes
    tradingsymbol: str  # as the broker's dump lists it
    transaction_type: TransactionType  # buy or sell
    quantity: int  # of the whole order
    product: Product  # which margin and which settlement
    order_type: OrderType  # which prices it has
    variety: Variety = Variety.REGULAR  # which of the broker's routes takes it
    price: Decimal | None = None  # of LIMIT and SL
    trigger_price: Decimal | None = None  # of SL and SL-M, and of a cover order's stop
    validity: Validity = Validity.DAY  # how long it may rest
    validity_ttl: int | None = None  # minutes, with validity TTL
    disclosed_quantity: int | None = None  # how much of the quantity the market sees
    iceberg_legs: int | None = None  # how many orders an iceberg is cut into
    iceberg_quantity: int | None = None  # of each of them
    auction_number: str | None = None  # with variety auction
    market_protection: Decimal | None = None  # percent around the last price, of MARKET and SL-M; -1: the broker's
    autoslice: bool = False  # the broker cuts what is above the exchange's freeze quantity
    algo_id: str | None = None  # under which the exchange has registered the algorithm that orders
    valid_until: datetime | None = None  # the client's own bound, not the broker's: it is never sent after this time
    not_above: Decimal | None = None  # the client's own: it is sent only while the last price is not above this
    not_below: Decimal | None = None  # the client's own: it is sent only while the last price is not below this

    @property
    def instrument(self) -> str:
        """``NSE:INFY``: the key by which Kite's quotes and the order queues name the instrument."""
        return f"{self.exchange}:{self.tradingsymbol}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, absent fields left out, decimals as strings: the form that is stored and fingerprinted."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in built.items() if value is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> OrderRequest:
        """The request that ``to_json`` wrote. Raises msgspec.ValidationError for anything else."""
        return msgspec.convert(stored, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanges:
    """A modification: only the fields that are set are sent. They are absolute: a new total quantity, a new price."""

    quantity: int | None = None
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    order_type: OrderType | None = None
    validity: Validity | None = None
    validity_ttl: int | None = None  # minutes, with validity TTL
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
    """One row of the order book or of an order's history. Texts are the broker's, from sets that it may extend."""

    order_id: str  # the broker's, unique within the account
    status: str  # an open set; see TERMINAL_STATUSES
    exchange: str  # NSE
    tradingsymbol: str  # INFY
    transaction_type: str  # BUY or SELL
    product: str  # CNC, NRML, MIS, MTF
    order_type: str  # MARKET, LIMIT, SL, SL-M
    variety: str  # regular, amo, co, iceberg, auction
    quantity: int  # of the whole order
    filled_quantity: int = 0  # what was traded
    pending_quantity: int = 0  # what is live at the exchange
    cancelled_quantity: int = 0  # what was neither traded nor is live
    price: Decimal = Decimal(0)  # 0: none
    trigger_price: Decimal = Decimal(0)  # 0: none
    average_price: Decimal = Decimal(0)  # of the fills; 0 before the first
    validity: str = "DAY"  # DAY, IOC, TTL
    instrument_token: int = 0  # 0: not given
    exchange_order_id: str | None = None  # None until the exchange has it
    parent_order_id: str | None = None  # of a slice, and of a second leg
    status_message: str | None = None  # why it was rejected, for people
    status_message_raw: str | None = None  # the same as the order system wrote it
    order_timestamp: datetime | None = None  # when the broker registered it
    exchange_timestamp: datetime | None = None  # when the exchange registered it
    exchange_update_timestamp: datetime | None = None  # when the exchange last changed it
    tag: str | None = None  # the tag that it was placed with
    tags: tuple[str, ...] = ()  # that tag again, and marks of the broker's own
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # the row as it came

    @property
    def is_terminal(self) -> bool:
        """Whether the broker will never move the order again."""
        return self.status in TERMINAL_STATUSES

    @property
    def is_modified(self) -> bool:
        """Whether it was modified, so that it need not be as it was placed."""
        return bool(self.raw.get("modified"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill. Unique by (account, day, ``trade_id``)."""

    trade_id: str
    order_id: str  # the order that it fills
    exchange: str  # NSE
    tradingsymbol: str  # INFY
    transaction_type: str  # BUY or SELL
    product: str  # CNC, NRML, MIS, MTF
    quantity: int  # of this fill
    average_price: Decimal  # of this fill
    instrument_token: int = 0  # 0: not given
    exchange_order_id: str | None = None  # the exchange's id of that order
    fill_timestamp: datetime | None = None  # when it was filled; None where the broker gives only a time of day
    exchange_timestamp: datetime | None = None  # when the exchange registered it
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)  # the row as it came
