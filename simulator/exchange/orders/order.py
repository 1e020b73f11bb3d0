"""An order and the path of its status: the one place where a status may change.

`Order.move` refuses a transition that is not in `TRANSITIONS`, and every move leaves a history row. Prices are Decimal
rupees, quantities are what the exchange counts (shares; lots on MCX and in currency), times are aware.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from simulator.market.instrument import Instrument

Variety = Literal["regular", "amo", "co", "iceberg", "auction"]
TransactionType = Literal["BUY", "SELL"]
Product = Literal["CNC", "NRML", "MIS", "MTF", "CO"]
"""CO is what a cover order's product is called in answers; nobody may ask for it."""
OrderType = Literal["MARKET", "LIMIT", "SL", "SL-M"]
Validity = Literal["DAY", "IOC", "TTL"]

AMO_RECEIVED: Final = "AMO REQ RECEIVED"
MODIFY_AMO_RECEIVED: Final = "MODIFY AMO REQ RECEIVED"
RECEIVED: Final = "PUT ORDER REQ RECEIVED"
VALIDATION_PENDING: Final = "VALIDATION PENDING"
OPEN_PENDING: Final = "OPEN PENDING"
OPEN: Final = "OPEN"
TRIGGER_PENDING: Final = "TRIGGER PENDING"
MODIFY_VALIDATION_PENDING: Final = "MODIFY VALIDATION PENDING"
MODIFY_PENDING: Final = "MODIFY PENDING"
MODIFIED: Final = "MODIFIED"
CANCEL_PENDING: Final = "CANCEL PENDING"
COMPLETE: Final = "COMPLETE"
CANCELLED: Final = "CANCELLED"
REJECTED: Final = "REJECTED"

TERMINAL: Final = frozenset({COMPLETE, CANCELLED, REJECTED})
LIVE: Final = frozenset({OPEN, TRIGGER_PENDING})
"""States in which the exchange holds the order."""
CHANGEABLE: Final = LIVE | {AMO_RECEIVED}
"""States in which a modify or cancel is taken."""
MAX_MODIFICATIONS: Final = 25

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    AMO_RECEIVED: frozenset({MODIFY_AMO_RECEIVED, RECEIVED, CANCELLED, REJECTED}),
    MODIFY_AMO_RECEIVED: frozenset({AMO_RECEIVED}),
    RECEIVED: frozenset({VALIDATION_PENDING, REJECTED}),
    VALIDATION_PENDING: frozenset({OPEN_PENDING, REJECTED}),
    OPEN_PENDING: frozenset({OPEN, TRIGGER_PENDING, REJECTED}),
    OPEN: frozenset({OPEN, COMPLETE, CANCELLED, MODIFY_VALIDATION_PENDING, CANCEL_PENDING, REJECTED}),
    TRIGGER_PENDING: frozenset({OPEN, CANCELLED, MODIFY_VALIDATION_PENDING, CANCEL_PENDING, REJECTED}),
    MODIFY_VALIDATION_PENDING: frozenset({MODIFY_PENDING, OPEN, TRIGGER_PENDING}),
    MODIFY_PENDING: frozenset({MODIFIED, COMPLETE}),
    MODIFIED: frozenset({OPEN, TRIGGER_PENDING}),
    CANCEL_PENDING: frozenset({CANCELLED, COMPLETE}),
    COMPLETE: frozenset(),
    CANCELLED: frozenset(),
    REJECTED: frozenset(),
}
"""Status to the statuses that may follow; OPEN after OPEN is a partial fill."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asked for, checked and typed. `price` and `trigger_price` are 0 when unused."""

    variety: Variety
    exchange: str
    tradingsymbol: str
    transaction_type: TransactionType
    quantity: int
    product: Product
    order_type: OrderType
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    validity: Validity = "DAY"
    validity_ttl: int = 0
    disclosed_quantity: int = 0
    market_protection: Decimal = Decimal(0)
    tag: str | None = None
    tags: tuple[str, ...] = ()
    iceberg_legs: int = 0
    auction_number: str | None = None


@dataclass(frozen=True, slots=True)
class IcebergLeg:
    """Which part of an iceberg an order is; `leg` counts from 1. Quantities of the whole order."""

    leg: int
    legs: int
    leg_quantity: int
    total_quantity: int
    remaining_quantity: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill."""

    trade_id: str
    order_id: str
    exchange_order_id: str
    instrument: Instrument
    product: Product
    transaction_type: TransactionType
    quantity: int
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """The order as it stood at `at`, mostly the moment when it entered a status."""

    at: datetime
    status: str
    request: OrderRequest
    order_timestamp: datetime
    exchange_order_id: str | None
    exchange_timestamp: datetime | None
    exchange_update_timestamp: datetime | None
    status_message: str | None
    status_message_raw: str | None
    filled_quantity: int
    pending_quantity: int
    cancelled_quantity: int
    average_price: Decimal
    modified: bool


@dataclass(slots=True)
class Order:
    """A live order. Change it only through `move`, `fill` and `amend`, which keep the history and the quantities."""

    order_id: str
    user_id: str
    instrument: Instrument
    request: OrderRequest
    accepted_at: datetime
    guid: str
    parent_order_id: str | None = None
    """The first leg, on the second leg of a cover order."""
    iceberg: IcebergLeg | None = None
    status: str = RECEIVED
    order_timestamp: datetime = field(init=False)
    exchange_order_id: str | None = None
    exchange_timestamp: datetime | None = None
    exchange_update_timestamp: datetime | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    filled_quantity: int = 0
    cancelled_quantity: int = 0
    filled_value: Decimal = Decimal(0)
    modifications: int = 0
    trades: list[Trade] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    hidden: bool = False
    """Accepted, but the order book does not show it yet."""
    tag_hidden: bool = False
    """The order book shows no tag, as happens when the back office loses it."""
    held: bool = False
    """The crowd trades no more with this order; only `/_sim/orders` moves it."""
    shows_at: datetime | None = None
    """When a hidden order will show; None: never, or it is not hidden."""
    enters_at: datetime | None = None
    """When an order that is stuck on its way will go on."""
    on_change: Callable[["Order"], None] | None = field(default=None, compare=False, repr=False)
    """Told of every history row; whoever keeps orders safe hangs on here."""

    def __post_init__(self) -> None:
        self.order_timestamp = self.accepted_at
        self.history.append(self.snapshot(self.accepted_at))

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def ended_at(self) -> datetime | None:
        """When it was filled, cancelled or rejected; None while it lives."""
        return next((row.at for row in self.history if row.status in TERMINAL), None)

    @property
    def unfilled_quantity(self) -> int:
        return self.request.quantity - self.filled_quantity

    @property
    def pending_quantity(self) -> int:
        """Kite keeps the unfilled amount here even after a cancel; a rejected order shows 0."""
        return 0 if self.status == REJECTED else self.unfilled_quantity

    @property
    def average_price(self) -> Decimal:
        return self.filled_value / self.filled_quantity if self.filled_quantity else Decimal(0)

    @property
    def modified(self) -> bool:
        return self.modifications > 0

    def move(self, status: str, *, at: datetime) -> None:
        """Enters `status`. Raises ValueError for a step that the table does not allow."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"order {self.order_id}: {self.status} may not become {status}")
        self.status = status
        if self.exchange_order_id is not None:
            self.exchange_update_timestamp = at
        if status == CANCELLED:
            self.cancelled_quantity = 0 if self.request.variety == "auction" else self.unfilled_quantity
        self.history.append(self.snapshot(at))
        if self.on_change is not None:
            self.on_change(self)

    def register(self, exchange_order_id: str, *, at: datetime) -> None:
        """The exchange gave the order its number."""
        self.exchange_order_id = exchange_order_id
        self.exchange_timestamp = at
        self.exchange_update_timestamp = at

    def reject(self, message: str, *, at: datetime) -> None:
        self.status_message = message
        self.status_message_raw = message
        self.move(REJECTED, at=at)

    def fill(self, trade: Trade) -> None:
        """Books one fill and enters OPEN (still pending) or COMPLETE."""
        if not 0 < trade.quantity <= self.unfilled_quantity:
            raise ValueError(f"order {self.order_id}: cannot fill {trade.quantity} of {self.unfilled_quantity}")
        self.trades.append(trade)
        self.filled_quantity += trade.quantity
        self.filled_value += trade.quantity * trade.price
        self.move(COMPLETE if self.unfilled_quantity == 0 else OPEN, at=trade.at)

    def amend(self, request: OrderRequest, *, at: datetime, becomes: str) -> None:
        """Takes new values through the three states of a modification; `becomes` is OPEN or TRIGGER PENDING."""
        self.order_timestamp = at
        self.modifications += 1
        self.move(MODIFY_VALIDATION_PENDING, at=at)
        self.move(MODIFY_PENDING, at=at)
        self.request = request
        self.exchange_timestamp = at
        self.move(MODIFIED, at=at)
        self.move(becomes, at=at)

    def refuse_amendment(self, message: str, *, at: datetime) -> None:
        """The modification was taken and then turned down: the order goes on as it was, with the reason shown."""
        before = self.status
        self.order_timestamp = at
        self.modifications += 1
        self.move(MODIFY_VALIDATION_PENDING, at=at)
        self.status_message = message
        self.status_message_raw = message
        self.move(before, at=at)

    def amend_parked(self, request: OrderRequest, *, at: datetime) -> None:
        """New values for an order that still waits at the broker for the market to open."""
        self.order_timestamp = at
        self.modifications += 1
        self.request = request
        self.move(MODIFY_AMO_RECEIVED, at=at)
        self.move(AMO_RECEIVED, at=at)

    def snapshot(self, at: datetime) -> HistoryRow:
        """The order as it stands."""
        return HistoryRow(
            at=at,
            status=self.status,
            request=self.request,
            order_timestamp=self.order_timestamp,
            exchange_order_id=self.exchange_order_id,
            exchange_timestamp=self.exchange_timestamp,
            exchange_update_timestamp=self.exchange_update_timestamp,
            status_message=self.status_message,
            status_message_raw=self.status_message_raw,
            filled_quantity=self.filled_quantity,
            pending_quantity=self.pending_quantity,
            cancelled_quantity=self.cancelled_quantity,
            average_price=self.average_price,
            modified=self.modified,
        )
