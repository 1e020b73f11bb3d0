"""All users' GTTs: the broker stores them, evaluates them while the market is open, and places their orders."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from simulator.errors import KiteError, input_error
from simulator.exchange.conditions.gtt import (
    LIFETIME,
    MAX_ACTIVE,
    Trigger,
    TriggerKind,
    TriggerOrder,
    TriggerResult,
    TriggerStatus,
    check_condition,
    fired_leg,
)
from simulator.exchange.entry.checks import check_product_of, check_tick
from simulator.exchange.orders.units import quantity_step
from simulator.exchange.parts import ExchangeParts
from simulator.market.instrument import EQUITY, Instrument

PlaceOrder = Callable[[str, str, Mapping[str, str]], str]
"""User id, variety and form to the new order's id. Raises KiteError."""


@dataclass(frozen=True, slots=True)
class TriggerForm:
    """The form of a client that creates or changes a GTT, typed. The fields are those of `Trigger`."""

    kind: TriggerKind
    exchange: str
    tradingsymbol: str
    trigger_values: tuple[Decimal, ...]
    last_price: Decimal
    orders: tuple[TriggerOrder, ...]


class GttTriggers:
    """A GTT fires once, even when its order is refused. It listens to the market's changes by itself."""

    def __init__(self, parts: ExchangeParts, *, place: PlaceOrder) -> None:
        self._market = parts.market
        self._ids = parts.ids
        self._step = parts.step
        self._now = parts.now
        self._place = place
        self._triggers: dict[int, Trigger] = {}
        self._active_by_token: dict[int, set[int]] = {}
        self._market.on_change(self._on_change)

    def create(self, user_id: str, form: TriggerForm) -> int:
        """The id of a new active GTT. Raises KiteError 400."""
        active = [trigger for trigger in self._triggers.values() if trigger.user_id == user_id]
        if sum(trigger.status == "active" for trigger in active) >= MAX_ACTIVE:
            raise input_error(f"Maximum of {MAX_ACTIVE} active triggers is allowed.")
        trigger = self._build(0, user_id, form, created_at=self._now())
        trigger = replace(trigger, trigger_id=self._ids.trigger_id())
        with self._step:
            self._store(trigger)
        return trigger.trigger_id

    def modify(self, user_id: str, trigger_id: int, form: TriggerForm) -> None:
        """Replaces everything but the id and the time of creation. Raises KiteError unless it is active."""
        old = self._active(user_id, trigger_id)
        with self._step:
            self._store(self._build(trigger_id, user_id, form, created_at=old.created_at))

    def delete(self, user_id: str, trigger_id: int) -> None:
        """Marks a GTT as deleted. Raises KiteError unless it is active."""
        old = self._active(user_id, trigger_id)
        with self._step:
            self._end(old, "deleted")

    def get(self, user_id: str, trigger_id: int) -> Trigger:
        """A GTT of the user, in any status and of any age. Raises KiteError 404."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None or trigger.user_id != user_id:
            raise KiteError("Trigger not found.", status=404, error_type="GeneralException")
        return trigger

    def of_user(self, user_id: str) -> Sequence[Trigger]:
        """The user's active GTTs and those that ended lately, newest first."""
        now = self._now()
        listed = [
            trigger for trigger in self._triggers.values() if trigger.user_id == user_id and trigger.is_listed(now)
        ]
        return sorted(listed, key=lambda trigger: trigger.trigger_id, reverse=True)

    def all(self) -> Iterable[Trigger]:
        return self._triggers.values()

    def put(self, trigger: Trigger) -> None:
        """Stores a GTT as it is, without saving it: one from the journal, or one that the caller saves."""
        self._triggers[trigger.trigger_id] = trigger
        active = self._active_by_token.setdefault(trigger.instrument_token, set())
        if trigger.status == "active":
            active.add(trigger.trigger_id)
            return
        active.discard(trigger.trigger_id)
        if not active:
            del self._active_by_token[trigger.instrument_token]

    def expire(self, now: datetime) -> None:
        """Ends the GTTs whose year is over."""
        due = [each for each in self._triggers.values() if each.status == "active" and now >= each.expires_at]
        if due:
            with self._step:
                for trigger in due:
                    self._end(trigger, "expired")

    def _build(self, trigger_id: int, user_id: str, form: TriggerForm, *, created_at: datetime) -> Trigger:
        check_condition(form.kind, form.trigger_values, last_price=form.last_price, orders=len(form.orders))
        instrument = self._market.find(form.exchange, form.tradingsymbol)
        if instrument is None:
            raise input_error("The instrument of the trigger has either expired or does not exist.")
        check_orders(form, instrument)
        return Trigger(
            trigger_id=trigger_id,
            user_id=user_id,
            kind=form.kind,
            exchange=form.exchange,
            tradingsymbol=form.tradingsymbol,
            instrument_token=instrument.instrument_token,
            trigger_values=form.trigger_values,
            last_price=form.last_price,
            orders=form.orders,
            created_at=created_at,
            updated_at=self._now(),
            expires_at=created_at + LIFETIME,
        )

    def _on_change(self, tokens: Sequence[int]) -> None:
        if not self._active_by_token:
            return
        for token in [token for token in tokens if token in self._active_by_token]:
            if self._market.phase(token, self._now()) != "open":
                continue
            last_price = self._market.last_price(token)
            for trigger_id in sorted(self._active_by_token.get(token, ())):
                trigger = self._triggers[trigger_id]
                leg = fired_leg(trigger, last_price)
                if leg is not None:
                    self._fire(trigger, leg, last_price)

    def _fire(self, trigger: Trigger, leg: int, last_price: Decimal) -> None:
        with self._step:
            order_id, reason = "", ""
            try:
                order_id = self._place(trigger.user_id, "regular", trigger.orders[leg].params())
            except KiteError as error:
                reason = error.message
            result = TriggerResult(self._now(), last_price, order_id, reason)
            orders = [replace(order, result=result if n == leg else None) for n, order in enumerate(trigger.orders)]
            self._end(replace(trigger, orders=tuple(orders)), "triggered")

    def _end(self, trigger: Trigger, status: TriggerStatus) -> None:
        self._store(replace(trigger, status=status, updated_at=self._now()))

    def _store(self, trigger: Trigger) -> None:
        self.put(trigger)
        with self._step as changes:
            changes.triggers[trigger.trigger_id] = trigger

    def _active(self, user_id: str, trigger_id: int) -> Trigger:
        trigger = self.get(user_id, trigger_id)
        if trigger.status != "active":
            raise input_error(f"The trigger is {trigger.status} and cannot be changed.")
        return trigger


def check_orders(form: TriggerForm, instrument: Instrument) -> None:
    """Checks values and orders against the instrument, as Kite does. Raises KiteError 400."""
    if not instrument.tradable:
        raise input_error(f"{instrument.tradingsymbol} is an index and cannot be traded.")
    for value in (*form.trigger_values, *(order.price for order in form.orders)):
        check_tick(value, instrument)
    for order in form.orders:
        if (order.exchange, order.tradingsymbol) != (instrument.exchange, instrument.tradingsymbol):
            raise input_error("The orders of a trigger should be for the instrument of its condition.")
        check_product_of(order.product, instrument)
        if order.quantity % quantity_step(instrument):
            raise input_error(f"Quantity should be in multiples of the lot size {quantity_step(instrument)}.")
        if form.kind == "two-leg" and order.transaction_type == "BUY" and instrument.exchange in EQUITY:
            raise input_error("OCO triggers to buy are not allowed in equity.")
