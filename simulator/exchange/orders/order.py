"""An order, its fields and its history. This is the one place where a status changes.

`Order.move` refuses a transition that is not in `TRANSITIONS`, and adds a row to the history. Prices are Decimal
rupees. Quantities are counted as the exchange counts them: in shares, or in lots on MCX and in currency. Times are
aware.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from simulator.exchange.orders.request import OrderRequest, Product, TransactionType
from simulator.exchange.orders.status import (
    AMO_RECEIVED,
    CANCELLED,
    COMPLETE,
    MODIFIED,
    MODIFY_AMO_RECEIVED,
    MODIFY_PENDING,
    MODIFY_VALIDATION_PENDING,
    OPEN,
    RECEIVED,
    REJECTED,
    TERMINAL,
    TRANSITIONS,
)
from simulator.market.instrument import Instrument

MAX_MODIFICATIONS: Final = 25


@dataclass(frozen=True, slots=True)
class IcebergLeg:
    """Which leg of an iceberg an order is. Kite shows it under `meta`, with these names."""

    leg: int
    """Counts from 1."""
    legs: int
    leg_quantity: int
    total_quantity: int
    """Of the whole iceberg."""
    remaining_quantity: int
    """What the legs after this one have to send."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill. `price` is in rupees, `at` the moment of the fill."""

    trade_id: str
    """Unique over all users."""
    order_id: str
    exchange_order_id: str
    instrument: Instrument
    """What was traded."""
    product: Product
    transaction_type: TransactionType
    quantity: int
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """The order as it was at `at`, mostly the moment at which it entered a status."""

    at: datetime
    status: str
    """One of `orders.status`."""
    request: OrderRequest
    """The parameters in force, which a modification replaces."""
    order_timestamp: datetime
    """When the client last placed, modified or cancelled it."""
    exchange_order_id: str | None
    """None until the exchange has it."""
    exchange_timestamp: datetime | None
    """When the exchange took it, or its last modification."""
    exchange_update_timestamp: datetime | None
    """When the exchange last changed its status."""
    status_message: str | None
    """Why it was rejected, or why a modification was refused."""
    status_message_raw: str | None
    """The same text; Kite has a second form of it here."""
    filled_quantity: int
    pending_quantity: int
    """The unfilled quantity, which Kite keeps after a cancel; 0 on a rejected order."""
    cancelled_quantity: int
    average_price: Decimal
    """Of the fills, in rupees; 0 without any."""
    modified: bool
    """Whether it was ever modified."""


@dataclass(slots=True)
class Order:
    """A live order. Change it only through its methods, which keep history and quantities consistent."""

    order_id: str
    user_id: str
    """Who placed it."""
    instrument: Instrument
    """What it trades."""
    request: OrderRequest
    """The parameters in force, which a modification replaces."""
    accepted_at: datetime
    """When the broker took it."""
    guid: str
    """Kite's second id of an order; here a hash of the first."""
    parent_order_id: str | None = None
    """On the second leg of a cover order: the first leg."""
    iceberg: IcebergLeg | None = None
    """Which leg of an iceberg it is."""
    status: str = RECEIVED
    """One of `orders.status`."""
    order_timestamp: datetime = field(init=False)
    """When the client last placed, modified or cancelled it."""
    exchange_order_id: str | None = None
    """None until the exchange has it."""
    exchange_timestamp: datetime | None = None
    """When the exchange took it, or its last modification."""
    exchange_update_timestamp: datetime | None = None
    """When the exchange last changed its status."""
    status_message: str | None = None
    """Why it was rejected, or why a modification was refused."""
    status_message_raw: str | None = None
    """The same text; Kite has a second form of it here."""
    filled_quantity: int = 0
    cancelled_quantity: int = 0
    filled_value: Decimal = Decimal(0)
    """The sum of quantity times price over the fills, in rupees."""
    modifications: int = 0
    """How many were accepted, refused ones included; at most `MAX_MODIFICATIONS`."""
    trades: list[Trade] = field(default_factory=list)
    """Its fills, oldest first."""
    history: list[HistoryRow] = field(default_factory=list)
    """A row for each status that it entered, oldest first."""
    hidden: bool = False
    """A fault: the order book does not show it, and no update about it is pushed."""
    tag_hidden: bool = False
    """A fault: the order book shows it without its tag."""
    excluded_from_matching: bool = False
    """It is filled only through `/_sim/orders`: an auction order, or the rest of a `partial_fill` fault."""
    shows_at: datetime | None = None
    """When a hidden order will show; None: never, or it is not hidden."""
    enters_at: datetime | None = None
    """When an order that is stuck on its way to the exchange will go on; None: never, or it is not stuck."""
    on_change: Callable[["Order"], None] | None = field(default=None, compare=False, repr=False)
    """Called after every new row of the history."""

    def __post_init__(self) -> None:
        self.order_timestamp = self.accepted_at
        self.history.append(self.snapshot(self.accepted_at))

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def ended_at(self) -> datetime | None:
        """When it was filled, cancelled or rejected; None while it is live."""
        return next((row.at for row in self.history if row.status in TERMINAL), None)

    @property
    def unfilled_quantity(self) -> int:
        return self.request.quantity - self.filled_quantity

    @property
    def pending_quantity(self) -> int:
        """The unfilled quantity, which Kite keeps after a cancel; 0 for a rejected order."""
        return 0 if self.status == REJECTED else self.unfilled_quantity

    @property
    def average_price(self) -> Decimal:
        """Of the fills, in rupees; 0 without any."""
        return self.filled_value / self.filled_quantity if self.filled_quantity else Decimal(0)

    @property
    def modified(self) -> bool:
        return self.modifications > 0

    def move(self, status: str, *, at: datetime) -> None:
        """Enters `status` and adds a history row. Raises ValueError for a transition that the table does not allow."""
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
        """The exchange has taken the order and given it `exchange_order_id`."""
        self.exchange_order_id = exchange_order_id
        self.exchange_timestamp = at
        self.exchange_update_timestamp = at

    def reject(self, message: str, *, at: datetime) -> None:
        """Enters REJECTED with `message` as the reason."""
        self.status_message = message
        self.status_message_raw = message
        self.move(REJECTED, at=at)

    def cancel(self, message: str | None, *, at: datetime) -> None:
        """Enters CANCELLED; `message` is the reason where the client did not ask for it."""
        if message is not None:
            self.status_message = message
            self.status_message_raw = message
        self.move(CANCELLED, at=at)

    def fill(self, trade: Trade) -> None:
        """Adds a fill; enters OPEN (a part is unfilled) or COMPLETE. Raises ValueError above the unfilled quantity."""
        if not 0 < trade.quantity <= self.unfilled_quantity:
            raise ValueError(f"order {self.order_id}: cannot fill {trade.quantity} of {self.unfilled_quantity}")
        self.trades.append(trade)
        self.filled_quantity += trade.quantity
        self.filled_value += trade.quantity * trade.price
        self.move(COMPLETE if self.unfilled_quantity == 0 else OPEN, at=trade.at)

    def amend(self, request: OrderRequest, *, at: datetime, becomes: str) -> None:
        """Applies a modification through its three statuses; `becomes` is OPEN or TRIGGER PENDING."""
        self.order_timestamp = at
        self.modifications += 1
        self.move(MODIFY_VALIDATION_PENDING, at=at)
        self.move(MODIFY_PENDING, at=at)
        self.request = request
        self.exchange_timestamp = at
        self.move(MODIFIED, at=at)
        self.move(becomes, at=at)

    def refuse_amendment(self, message: str, *, at: datetime) -> None:
        """The exchange refuses a modification that the broker accepted: the order stays as it was, with the reason."""
        before = self.status
        self.order_timestamp = at
        self.modifications += 1
        self.move(MODIFY_VALIDATION_PENDING, at=at)
        self.status_message = message
        self.status_message_raw = message
        self.move(before, at=at)

    def amend_parked(self, request: OrderRequest, *, at: datetime) -> None:
        """Applies a modification to an after-market order that still waits at the broker."""
        self.order_timestamp = at
        self.modifications += 1
        self.request = request
        self.move(MODIFY_AMO_RECEIVED, at=at)
        self.move(AMO_RECEIVED, at=at)

    def snapshot(self, at: datetime) -> HistoryRow:
        """The order as it is, as a history row of the moment `at`."""
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
