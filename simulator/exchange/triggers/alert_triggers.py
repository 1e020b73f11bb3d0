"""All users' alerts: the broker stores them, evaluates them as last prices change, and places their baskets.

An alert fires when its condition becomes true, and again only after it was false. A simple alert stays enabled; one
with a basket (`ato`) is disabled when it fires, so that it trades once.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from simulator.errors import KiteError, input_error
from simulator.exchange.conditions.alert import MAX_ACTIVE, MAX_FIRINGS, Alert, Firing, Operand, is_true
from simulator.exchange.parts import ExchangeParts
from simulator.exchange.triggers.gtt_triggers import PlaceOrder
from simulator.market.instrument import Instrument
from simulator.market.quote_json import full_value

INDICES = "INDICES"
"""The exchange of an index, as alerts name it."""


class AlertTriggers:
    """Deleted alerts are kept and can be read. It listens to the market's changes by itself."""

    def __init__(self, parts: ExchangeParts, *, place: PlaceOrder) -> None:
        self._market = parts.market
        self._ids = parts.ids
        self._step = parts.step
        self._now = parts.now
        self._place = place
        self._alerts: dict[str, Alert] = {}
        self._enabled_by_token: dict[int, dict[str, None]] = {}
        self._market.on_change(self._on_change)

    def operand(self, exchange: str, tradingsymbol: str) -> Operand:
        """The operand of a listed instrument. Raises KiteError 400."""
        return Operand(exchange, tradingsymbol, self._find(exchange, tradingsymbol).instrument_token)

    def new_id(self, user_id: str) -> str:
        """The id of a further alert. Raises KiteError 400 at the user's limit."""
        enabled = [alert for alert in self._alerts.values() if alert.user_id == user_id and alert.status == "enabled"]
        if len(enabled) >= MAX_ACTIVE:
            raise input_error(f"Maximum of {MAX_ACTIVE} active alerts is allowed.")
        return self._ids.alert_id()

    def store(self, alert: Alert) -> None:
        """Stores a new or changed alert, and saves it."""
        with self._step as changes:
            self.put(alert)
            changes.alerts[alert.uuid] = alert

    def put(self, alert: Alert) -> None:
        """Stores an alert as it is, without saving it: one from the journal, or one that the caller saves."""
        old = self._alerts.get(alert.uuid)
        for token in old.tokens if old else ():
            enabled = self._enabled_by_token.get(token, {})
            enabled.pop(alert.uuid, None)
            if not enabled:
                self._enabled_by_token.pop(token, None)
        self._alerts[alert.uuid] = alert
        if alert.status == "enabled":
            for token in alert.tokens:
                self._enabled_by_token.setdefault(token, {})[alert.uuid] = None

    def get(self, user_id: str, uuid: str) -> Alert:
        """An alert of the user, in any status. Raises KiteError 404."""
        alert = self._alerts.get(uuid)
        if alert is None or alert.user_id != user_id:
            raise KiteError("Alert not found.", status=404, error_type="GeneralException")
        return alert

    def of_user(self, user_id: str) -> Sequence[Alert]:
        """All alerts of the user, deleted ones included, newest first."""
        return [alert for alert in reversed(self._alerts.values()) if alert.user_id == user_id]

    def all(self) -> Iterable[Alert]:
        return self._alerts.values()

    def delete(self, user_id: str, uuids: Sequence[str]) -> None:
        """Marks alerts as deleted; none of them when one is unknown. Raises KiteError 404."""
        alerts = [self.get(user_id, uuid) for uuid in uuids]
        with self._step:
            for alert in alerts:
                self.store(replace(alert, status="deleted", updated_at=self._now()))

    def _on_change(self, tokens: Sequence[int]) -> None:
        by_token = self._enabled_by_token
        if not by_token:
            return
        affected = {uuid: None for token in tokens if token in by_token for uuid in by_token[token]}
        for uuid in affected:
            self._evaluate(self._alerts[uuid])

    def _evaluate(self, alert: Alert) -> None:
        right = alert.rhs_constant if alert.rhs is None else self._last_price(alert.rhs)
        left = self._last_price(alert.lhs)
        if left is None or right is None:
            return
        condition_met = is_true(alert, left=left, right=right)
        if condition_met and not alert.condition_met:
            self._fire(alert)
        elif condition_met != alert.condition_met:
            self.store(replace(alert, condition_met=condition_met))

    def _fire(self, alert: Alert) -> None:
        with self._step:
            order_ids = self._place_basket(alert) if alert.kind == "ato" else ()
            firing = Firing(self._now(), self._snapshot(alert.lhs), order_ids)
            self.store(
                replace(
                    alert,
                    condition_met=True,
                    status="disabled" if alert.kind == "ato" else "enabled",
                    alert_count=alert.alert_count + 1,
                    updated_at=self._now(),
                    firings=(*alert.firings, firing)[-MAX_FIRINGS:],
                )
            )

    def _place_basket(self, alert: Alert) -> tuple[str, ...]:
        """Places every item of the basket, also when others are refused; returns the ids of the accepted orders."""
        placed = []
        for item in (alert.basket or {}).get("items", []):
            form = basket_form(item)
            try:
                placed.append(self._place(alert.user_id, form.get("variety", "regular"), form))
            except KiteError:
                continue
        return tuple(placed)

    def _snapshot(self, operand: Operand) -> dict[str, Any]:
        instrument = self._market.instruments[operand.instrument_token]
        row = self._market.listing.row_of[operand.instrument_token]
        value: dict[str, Any] = dict(full_value(instrument, self._market.state, row))
        value.pop("depth", None)
        return {**value, "tradingsymbol": operand.tradingsymbol, "exchange": operand.exchange, "volume_tick": 0}

    def _last_price(self, operand: Operand) -> Decimal | None:
        """In rupees; None for a contract that has expired."""
        listed = self._market.instruments.get(operand.instrument_token)
        if listed is None or listed.tradingsymbol != operand.tradingsymbol:
            return None
        return self._market.last_price(operand.instrument_token)

    def _find(self, exchange: str, tradingsymbol: str) -> Instrument:
        for name in ("NSE", "BSE") if exchange == INDICES else (exchange,):
            found = self._market.find(name, tradingsymbol)
            if found is not None and found.tradable == (exchange != INDICES):
                return found
        raise input_error(f"Unknown instrument {exchange}:{tradingsymbol}.")


def basket_form(item: Mapping[str, Any]) -> dict[str, str]:
    """An item of a basket as the form of an order: numbers as text, empty and zero values left out."""
    params = {name: value for name, value in item["params"].items() if isinstance(value, str | int | float | Decimal)}
    tags = [tag for tag in item["params"].get("tags", []) if isinstance(tag, str)]
    form = {name: str(value) for name, value in params.items() if value and not isinstance(value, bool)}
    form |= {"exchange": str(item["exchange"]), "tradingsymbol": str(item["tradingsymbol"])}
    return form | ({"tag": tags[0]} if tags else {})
