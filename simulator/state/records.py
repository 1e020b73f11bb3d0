"""The lines of the journal as values. A line is one step of the exchange: all of it happened, or nothing.

The first line of a file is a `Snapshot`: how the trading day began. Every other line is a `Commit`. Decimals are text,
times have their offset. A missing key has its default, and a renamed field keeps its JSON name, so that old files stay
readable.
"""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from simulator.exchange.accounts.portfolio import Authorisation
from simulator.exchange.accounts.positions import Conversion
from simulator.exchange.conditions.alert import Alert
from simulator.exchange.conditions.gtt import Trigger
from simulator.exchange.orders.ids import IdCounts
from simulator.exchange.orders.order import HistoryRow, IcebergLeg
from simulator.exchange.orders.request import Product
from simulator.market.instrument import Instrument

VERSION = 1


class FillRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fill; the rest of a `Trade` comes from its order."""

    trade_id: str
    quantity: int
    price: Decimal
    at: datetime


class OrderRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order, or what is new of it since its last record. The fields are those of `Order`."""

    order_id: str
    rows: tuple[HistoryRow, ...] = ()
    """New rows of the history."""
    fills: tuple[FillRecord, ...] = ()
    """New fills."""
    modifications: int = 0
    """Their number."""
    hidden: bool = False
    """Whether the order book does not show it."""
    tag_hidden: bool = False
    """Whether the order book shows it without its tag."""
    excluded_from_matching: bool = msgspec.field(default=False, name="held")
    """Whether only `/_sim/orders` fills it."""
    shows_at: datetime | None = None
    """When a hidden order will show."""
    enters_at: datetime | None = None
    """When a stuck order will go on."""
    instrument: Instrument | None = None
    """This field and all that follow are in the first record of an order only."""
    user_id: str = ""
    """Who placed it."""
    guid: str = ""
    """Its second id."""
    accepted_at: datetime | None = None
    """When the broker took it."""
    parent_order_id: str | None = None
    """The first leg of a cover order."""
    iceberg: IcebergLeg | None = None
    """Which leg of an iceberg it is."""
    sent: dict[str, str] | None = None
    """The client's form, which the ledger has."""


class SessionRecord(msgspec.Struct, frozen=True):
    """The tokens and settings of an account, as in `Account`."""

    user_id: str
    postback_url: str | None
    tokens: dict[str, datetime]
    request_tokens: tuple[str, ...]
    refresh_tokens: tuple[str, ...]
    logins: int
    demat_consent: str = "consent"


class Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the exchange, or one change of an account."""

    id_counts: IdCounts = msgspec.field(name="numbers")
    """The ids given so far."""
    orders: tuple[OrderRecord, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    authorisations: tuple[Authorisation, ...] = ()
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
    """The fields of a `Holding`."""

    instrument: Instrument
    quantity: int
    average_price: Decimal
    t1_quantity: int = 0


class PortfolioRecord(msgspec.Struct, frozen=True):
    """A portfolio at the start of a day."""

    user_id: str
    cash: dict[str, Decimal]
    """Rupees by segment."""
    positions: tuple[PositionRecord, ...]
    holdings: tuple[HoldingRecord, ...]


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state at the start of `day`."""

    version: int
    """`VERSION` of the simulator that wrote it."""
    seed: int
    """Of prices and ids."""
    day: date
    id_counts: IdCounts = msgspec.field(name="numbers")
    """The ids given before."""
    portfolios: tuple[PortfolioRecord, ...]
    """Of all accounts."""
    past: tuple[OrderRecord, ...] = ()
    """Orders of earlier days, which are in the ledger only."""
    parked: tuple[OrderRecord, ...] = ()
    """After-market orders that wait for the open; they are in the book of this day too."""
    sessions: tuple[SessionRecord, ...] = ()
    """Of all accounts."""
    triggers: tuple[Trigger, ...] = ()
    """All GTTs, in any status."""
    alerts: tuple[Alert, ...] = ()
    """All alerts, in any status."""
