"""The lines of the journal as values, and their JSON. A line is one commit: all of it happened, or none.

The first line of a file is a `Snapshot`: how the trading day began. Every line after it is a `Commit`. Decimals are
text, times carry their offset. A reader that finds a key missing takes the default, so old files stay readable.
"""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from simulator.exchange.conditions.alert import Alert
from simulator.exchange.conditions.gtt import Trigger
from simulator.exchange.orders.book import Counts
from simulator.exchange.orders.order import HistoryRow, IcebergLeg, Product
from simulator.exchange.steps.atomic_step import Conversion
from simulator.market.instrument import Instrument

VERSION = 1


class FillRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    trade_id: str
    quantity: int
    price: Decimal
    at: datetime


class OrderRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new order has `instrument` and all that follows it; any record has what is new since the last one."""

    order_id: str
    rows: tuple[HistoryRow, ...] = ()
    fills: tuple[FillRecord, ...] = ()
    modifications: int = 0
    hidden: bool = False
    tag_hidden: bool = False
    held: bool = False
    shows_at: datetime | None = None
    enters_at: datetime | None = None
    instrument: Instrument | None = None
    user_id: str = ""
    guid: str = ""
    accepted_at: datetime | None = None
    parent_order_id: str | None = None
    iceberg: IcebergLeg | None = None
    sent: dict[str, str] | None = None
    """What the client sent: the ledger's own column."""


class SessionRecord(msgspec.Struct, frozen=True):
    """One account's tokens as they stand."""

    user_id: str
    postback_url: str | None
    tokens: dict[str, datetime]
    request_tokens: tuple[str, ...]
    refresh_tokens: tuple[str, ...]
    logins: int


class Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the exchange. `numbers` counts the ids given so far."""

    numbers: Counts
    orders: tuple[OrderRecord, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    alerts: tuple[Alert, ...] = ()


class PositionRecord(msgspec.Struct, frozen=True):
    """A position carried into the day."""

    instrument: Instrument
    product: Product
    quantity: int
    price: Decimal


class HoldingRecord(msgspec.Struct, frozen=True):
    instrument: Instrument
    quantity: int
    average_price: Decimal
    t1_quantity: int = 0


class PortfolioRecord(msgspec.Struct, frozen=True):
    user_id: str
    cash: dict[str, Decimal]
    positions: tuple[PositionRecord, ...]
    holdings: tuple[HoldingRecord, ...]


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state at the start of `day`. `past` are orders of earlier days, which only the ledger still knows;
    `parked` are orders that wait for the market to open and stand in the book of both days."""

    version: int
    seed: int
    day: date
    numbers: Counts
    portfolios: tuple[PortfolioRecord, ...]
    past: tuple[OrderRecord, ...] = ()
    parked: tuple[OrderRecord, ...] = ()
    sessions: tuple[SessionRecord, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    alerts: tuple[Alert, ...] = ()
