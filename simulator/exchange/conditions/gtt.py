"""GTTs (good till triggered): their conditions, when they fire, and their rows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from simulator.errors import input_error
from simulator.exchange.orders.request import TransactionType
from simulator.formats import format_time, to_number

TriggerKind = Literal["single", "two-leg"]
TriggerStatus = Literal["active", "triggered", "disabled", "expired", "cancelled", "rejected", "deleted"]
TriggerProduct = Literal["CNC", "NRML", "MTF"]

MAX_ACTIVE: Final = 500
"""Active GTTs of one user."""
LEAST_DISTANCE: Final = Decimal("0.0025")
"""Of a trigger value from the last price, as a share of it."""
LIFETIME: Final = timedelta(days=365)
SHOWN_FOR: Final = timedelta(days=7)
"""How long a GTT that is no longer active stays in the list."""


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """What happened to an order when its GTT fired."""

    at: datetime
    last_price: Decimal
    """The price that fired it."""
    order_id: str
    """Empty when the order was refused."""
    rejection_reason: str
    """Empty when the order was accepted."""


@dataclass(frozen=True, slots=True)
class TriggerOrder:
    """The LIMIT order that a GTT places."""

    exchange: str
    tradingsymbol: str
    product: TriggerProduct
    transaction_type: TransactionType
    quantity: int
    price: Decimal
    result: TriggerResult | None = None
    """None until this order's GTT has fired with it."""

    def params(self) -> dict[str, str]:
        """The form with which a client would place it."""
        return {
            "exchange": self.exchange,
            "tradingsymbol": self.tradingsymbol,
            "transaction_type": self.transaction_type,
            "quantity": str(self.quantity),
            "product": self.product,
            "order_type": "LIMIT",
            "price": str(self.price),
        }


@dataclass(frozen=True, slots=True)
class Trigger:
    """One GTT."""

    trigger_id: int
    """Its id."""
    user_id: str
    """Whose it is."""
    kind: TriggerKind
    """`single`, or `two-leg`: one of two orders is placed."""
    exchange: str
    tradingsymbol: str
    instrument_token: int
    """The instrument whose last price fires it."""
    trigger_values: tuple[Decimal, ...]
    """One price, or the lower and the upper price of a two-leg GTT."""
    last_price: Decimal
    """The price that the client gave when it created or changed the GTT."""
    orders: tuple[TriggerOrder, ...]
    """The order of each trigger value, at the same index."""
    created_at: datetime
    """Aware, as the other times."""
    updated_at: datetime
    """Of the last change of its fields or status."""
    expires_at: datetime
    """A year after its creation."""
    status: TriggerStatus = "active"
    """Only an active GTT fires."""

    def is_listed(self, now: datetime) -> bool:
        """Whether the user's list contains it."""
        return self.status == "active" or now - self.updated_at <= SHOWN_FOR


def fired_leg(trigger: Trigger, last_price: Decimal) -> int | None:
    """The index of the order that `last_price` fires, or None.

    A single GTT fires when the price reaches its value from the side on which it was when the GTT was made.
    """
    values = trigger.trigger_values
    if trigger.kind == "two-leg":
        if last_price <= values[0]:
            return 0
        return 1 if last_price >= values[1] else None
    rising = trigger.last_price < values[0]
    return 0 if (last_price >= values[0] if rising else last_price <= values[0]) else None


def check_condition(kind: TriggerKind, values: Sequence[Decimal], *, last_price: Decimal, orders: int) -> None:
    """Checks a condition as Kite does. `orders` is the number of orders. Raises KiteError 400."""
    needed = 1 if kind == "single" else 2
    if len(values) != needed or orders != needed:
        raise input_error(f"Trigger of type `{kind}` wants {needed} trigger value(s) and {needed} order(s).")
    if any(value <= 0 for value in values) or last_price <= 0:
        raise input_error("Trigger values and last price should be positive.")
    if any(value == last_price for value in values):
        raise input_error("Trigger cannot be created with one of the trigger values equal to the last price.")
    if any(abs(value - last_price) < last_price * LEAST_DISTANCE for value in values):
        raise input_error("Trigger cannot be created within 0.25% of the last price.")
    if kind == "single":
        return
    if values[0] >= values[1]:
        raise input_error("Trigger values should be in ascending order.")
    if values[0] > last_price:
        raise input_error("Trigger cannot be created with the first trigger price more than the last price.")
    if values[1] < last_price:
        raise input_error("Trigger cannot be created with the second trigger price less than the last price.")


def trigger_row(trigger: Trigger) -> dict[str, object]:
    """The object of `GET /gtt/triggers/{id}`."""
    return {
        "id": trigger.trigger_id,
        "user_id": trigger.user_id,
        "parent_trigger": None,
        "type": trigger.kind,
        "created_at": format_time(trigger.created_at),
        "updated_at": format_time(trigger.updated_at),
        "expires_at": format_time(trigger.expires_at),
        "status": trigger.status,
        "condition": {
            "exchange": trigger.exchange,
            "last_price": to_number(trigger.last_price),
            "tradingsymbol": trigger.tradingsymbol,
            "trigger_values": [to_number(value) for value in trigger.trigger_values],
            "instrument_token": trigger.instrument_token,
        },
        "orders": [order_row(order, user_id=trigger.user_id) for order in trigger.orders],
        "meta": {},
    }


def order_row(order: TriggerOrder, *, user_id: str) -> dict[str, object]:
    """An element of the trigger's `orders`."""
    shared: Mapping[str, object] = {
        "exchange": order.exchange,
        "tradingsymbol": order.tradingsymbol,
        "product": order.product,
        "order_type": "LIMIT",
        "transaction_type": order.transaction_type,
        "quantity": order.quantity,
        "price": to_number(order.price),
    }
    if order.result is None:
        return {**shared, "result": None}
    return {**shared, "result": result_row(order.result, shared=shared, user_id=user_id)}


def result_row(result: TriggerResult, *, shared: Mapping[str, object], user_id: str) -> dict[str, object]:
    """The `result` of an order; it was accepted when `order_id` is not empty. `meta` is JSON text at Kite."""
    return {
        "account_id": user_id,
        **shared,
        "validity": "DAY",
        "meta": "{}",
        "timestamp": format_time(result.at),
        "triggered_at": to_number(result.last_price),
        "order_result": {
            "status": "success" if result.order_id else "failed",
            "order_id": result.order_id,
            "rejection_reason": result.rejection_reason,
        },
    }
