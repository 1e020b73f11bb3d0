"""The broker's desk for alerts: keeps them, compares last prices as they change, and places the baskets of `ato` ones.

An alert fires when its condition becomes true, and again only after it was false. A simple alert stays enabled; one
with orders is disabled by firing, so that it trades once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from simulator.errors import KiteError, input_error
from simulator.exchange.conditions.alert import MAX_ACTIVE, MAX_FIRINGS, Alert, Firing, Side, is_true
from simulator.exchange.orders.book import Numbers
from simulator.exchange.steps.atomic_step import Turn
from simulator.exchange.triggers.gtt_triggers import PlaceOrder
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.market.quote_json import full_value

INDICES = "INDICES"
"""What alerts call the exchange of an index."""


class AlertDesk:
    """All users' alerts; a deleted one is kept and can be read."""

    def __init__(
        self, *, market: Market, numbers: Numbers, turn: Turn, place: PlaceOrder, now: Callable[[], datetime]
    ) -> None:
        self._market = market
        self._numbers = numbers
        self._turn = turn
        self._place = place
        self._now = now
        self._alerts: dict[str, Alert] = {}
        self._watched: dict[int, dict[str, None]] = {}
        market.on_change(self._on_change)

    def side(self, exchange: str, tradingsymbol: str) -> Side:
        """Raises 400 for what is not listed."""
        return Side(exchange, tradingsymbol, self._find(exchange, tradingsymbol).instrument_token)

    def new_id(self, user_id: str) -> str:
        """For an alert that is about to be stored. Raises 400 at the limit."""
        mine = [alert for alert in self._alerts.values() if alert.user_id == user_id and alert.status == "enabled"]
        if len(mine) >= MAX_ACTIVE:
            raise input_error(f"Maximum of {MAX_ACTIVE} active alerts is allowed.")
        return self._numbers.alert_id()

    def store(self, alert: Alert) -> None:
        with self._turn as changes:
            self.adopt(alert)
            changes.alerts[alert.uuid] = alert

    def adopt(self, alert: Alert) -> None:
        """Takes an alert as it is, from the journal."""
        old = self._alerts.get(alert.uuid)
        for token in old.tokens if old else ():
            watching = self._watched.get(token, {})
            watching.pop(alert.uuid, None)
            if not watching:
                self._watched.pop(token, None)
        self._alerts[alert.uuid] = alert
        if alert.status == "enabled":
            for token in alert.tokens:
                self._watched.setdefault(token, {})[alert.uuid] = None

    def get(self, user_id: str, uuid: str) -> Alert:
        """Raises 404."""
        alert = self._alerts.get(uuid)
        if alert is None or alert.user_id != user_id:
            raise KiteError("Alert not found.", status=404, error_type="GeneralException")
        return alert

    def of_user(self, user_id: str) -> Sequence[Alert]:
        """Newest first, deleted ones too."""
        return [alert for alert in reversed(self._alerts.values()) if alert.user_id == user_id]

    def all(self) -> Iterable[Alert]:
        return self._alerts.values()

    def delete(self, user_id: str, uuids: Sequence[str]) -> None:
        """Softly. Nothing is deleted when one is unknown."""
        alerts = [self.get(user_id, uuid) for uuid in uuids]
        with self._turn:
            for alert in alerts:
                self.store(replace(alert, status="deleted", updated_at=self._now()))

    def _on_change(self, tokens: Sequence[int]) -> None:
        if not self._watched:
            return
        touched = {uuid: None for token in tokens if token in self._watched for uuid in self._watched[token]}
        for uuid in touched:
            self._look(self._alerts[uuid])

    def _look(self, alert: Alert) -> None:
        right = alert.rhs_constant if alert.rhs is None else self._last_price(alert.rhs)
        left = self._last_price(alert.lhs)
        if left is None or right is None:
            return
        holds = is_true(alert, left=left, right=right)
        if holds and not alert.holding:
            self._fire(alert)
        elif holds != alert.holding:
            self.store(replace(alert, holding=holds))

    def _fire(self, alert: Alert) -> None:
        with self._turn:
            order_ids = self._place_basket(alert) if alert.kind == "ato" else ()
            firing = Firing(self._now(), self._snapshot(alert.lhs), order_ids)
            self.store(
                replace(
                    alert,
                    holding=True,
                    status="disabled" if alert.kind == "ato" else "enabled",
                    alert_count=alert.alert_count + 1,
                    updated_at=self._now(),
                    firings=(*alert.firings, firing)[-MAX_FIRINGS:],
                )
            )

    def _place_basket(self, alert: Alert) -> tuple[str, ...]:
        """The ids of what was accepted; a refused item leaves the others alone."""
        placed = []
        for item in (alert.basket or {}).get("items", []):
            form = basket_form(item)
            try:
                placed.append(self._place(alert.user_id, form.get("variety", "regular"), form))
            except KiteError:
                continue
        return tuple(placed)

    def _snapshot(self, side: Side) -> dict[str, Any]:
        instrument = self._market.instruments[side.instrument_token]
        row = self._market.listing.row_of[side.instrument_token]
        value: dict[str, Any] = dict(full_value(instrument, self._market.state, row))
        value.pop("depth", None)
        return {**value, "tradingsymbol": side.tradingsymbol, "exchange": side.exchange, "volume_tick": 0}

    def _last_price(self, side: Side) -> Decimal | None:
        """None for a contract that has expired meanwhile."""
        listed = self._market.instruments.get(side.instrument_token)
        if listed is None or listed.tradingsymbol != side.tradingsymbol:
            return None
        return self._market.last_price(side.instrument_token)

    def _find(self, exchange: str, tradingsymbol: str) -> Instrument:
        for name in ("NSE", "BSE") if exchange == INDICES else (exchange,):
            found = self._market.find(name, tradingsymbol)
            if found is not None and found.tradable == (exchange != INDICES):
                return found
        raise input_error(f"Unknown instrument {exchange}:{tradingsymbol}.")


def basket_form(item: Mapping[str, Any]) -> dict[str, str]:
    """An item of a basket as the form of an order: numbers as text, what is empty or zero left out."""
    params = {name: value for name, value in item["params"].items() if isinstance(value, str | int | float | Decimal)}
    tags = [tag for tag in item["params"].get("tags", []) if isinstance(tag, str)]
    form = {name: str(value) for name, value in params.items() if value and not isinstance(value, bool)}
    form |= {"exchange": str(item["exchange"]), "tradingsymbol": str(item["tradingsymbol"])}
    return form | ({"tag": tags[0]} if tags else {})
