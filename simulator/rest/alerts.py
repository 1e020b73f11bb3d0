"""`/alerts`: alerts on last prices, plain ones and those that place a basket (`ato`)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, get_args

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import form_params, parse_json, query_params, success
from simulator.errors import input_error, missing_field
from simulator.exchange.conditions.alert import (
    ATTRIBUTE,
    Alert,
    AlertKind,
    AlertStatus,
    Operand,
    Operator,
    RhsType,
    alert_row,
    firing_rows,
)
from simulator.exchange.entry.parameters import read_choice, read_integer, read_number
from simulator.exchange.triggers.alert_triggers import AlertTriggers
from simulator.rest.auth import Guard
from simulator.rest.gtt import required

KINDS: tuple[AlertKind, ...] = get_args(AlertKind)
STATUSES: tuple[AlertStatus, ...] = get_args(AlertStatus)
OPERATORS: tuple[Operator, ...] = get_args(Operator)
RHS_TYPES: tuple[RhsType, ...] = get_args(RhsType)
PAGE_SIZE, MAX_PAGE_SIZE = 100, 500
MAX_ITEMS = 20
MAX_NAME = 100


class AlertRoutes:
    """Kite's alert routes."""

    def __init__(self, *, alerts: AlertTriggers, guard: Guard, now: Callable[[], datetime]) -> None:
        self._alerts = alerts
        self._guard = guard
        self._now = now

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/alerts", signed_in(self.list_all), methods=["GET"]),
            Route("/alerts", signed_in(self.create), methods=["POST"]),
            Route("/alerts", signed_in(self.delete), methods=["DELETE"]),
            Route("/alerts/{uuid}", signed_in(self.read), methods=["GET"]),
            Route("/alerts/{uuid}", signed_in(self.modify), methods=["PUT"]),
            Route("/alerts/{uuid}/history", signed_in(self.history), methods=["GET"]),
        ]

    async def list_all(self, request: Request, user_id: str) -> Response:
        params = query_params(request)
        alerts = self._alerts.of_user(user_id)
        if "status" in params:
            status = read_choice(params, "status", STATUSES)
            alerts = [alert for alert in alerts if alert.status == status]
        size = read_integer(params, "page_size", default=PAGE_SIZE, minimum=1, maximum=MAX_PAGE_SIZE)
        start = (read_integer(params, "page", default=1, minimum=1) - 1) * size
        return success([alert_row(alert) for alert in alerts[start : start + size]])

    async def create(self, request: Request, user_id: str) -> Response:
        form = await form_params(request)
        now = self._now()
        alert = self._read(form, uuid="", user_id=user_id, created_at=now)
        alert = replace(alert, uuid=self._alerts.new_id(user_id))
        self._alerts.store(alert)
        return success(alert_row(alert))

    async def read(self, request: Request, user_id: str) -> Response:
        return success(alert_row(self._alerts.get(user_id, request.path_params["uuid"])))

    async def modify(self, request: Request, user_id: str) -> Response:
        """Replaces the alert by the whole form; a disabled one is enabled."""
        form = await form_params(request)
        old = self._alerts.get(user_id, request.path_params["uuid"])
        if old.status == "deleted":
            raise input_error("The alert is deleted and cannot be changed.")
        changed = self._read(form, uuid=old.uuid, user_id=user_id, created_at=old.created_at)
        changed = replace(changed, alert_count=old.alert_count, firings=old.firings)
        self._alerts.store(changed)
        return success(alert_row(changed))

    async def delete(self, request: Request, user_id: str) -> Response:
        """Deletes the alerts of one or several `uuid` in the query. The Go client sends none, and gets 400."""
        uuids = [uuid for uuid in request.query_params.getlist("uuid") if uuid]
        if not uuids:
            raise missing_field("uuid")
        self._alerts.delete(user_id, uuids)
        return success(None)

    async def history(self, request: Request, user_id: str) -> Response:
        return success(firing_rows(self._alerts.get(user_id, request.path_params["uuid"])))

    def _read(self, form: Mapping[str, str], *, uuid: str, user_id: str, created_at: datetime) -> Alert:
        kind = read_choice(form, "type", KINDS)
        name = required(form, "name")
        if len(name) > MAX_NAME:
            raise input_error(f"`name` should be max {MAX_NAME} characters")
        check_attribute(form, "lhs_attribute")
        rhs, constant = self._read_rhs(form)
        return Alert(
            uuid=uuid,
            user_id=user_id,
            name=name,
            kind=kind,
            lhs=self._alerts.operand(required(form, "lhs_exchange"), required(form, "lhs_tradingsymbol")),
            operator=read_choice(form, "operator", OPERATORS),
            created_at=created_at,
            updated_at=self._now(),
            rhs=rhs,
            rhs_constant=constant,
            basket=self._read_basket(form) if kind == "ato" else None,
        )

    def _read_rhs(self, form: Mapping[str, str]) -> tuple[Operand | None, Decimal]:
        if read_choice(form, "rhs_type", RHS_TYPES) == "constant":
            required(form, "rhs_constant")
            return None, read_number(form, "rhs_constant")
        check_attribute(form, "rhs_attribute")
        return self._alerts.operand(required(form, "rhs_exchange"), required(form, "rhs_tradingsymbol")), Decimal(0)

    def _read_basket(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The basket with ids and instrument tokens in its items. Numbers are floats, to be returned as they came."""
        basket = parse_json(required(form, "basket").encode())
        items = basket.get("items") if isinstance(basket, dict) else None
        if not isinstance(basket, dict) or not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            raise input_error(f"Invalid `basket`: it wants 1 to {MAX_ITEMS} items.")
        return {**basket, "items": [self._read_item(item, number) for number, item in enumerate(items, start=1)]}

    def _read_item(self, item: object, number: int) -> dict[str, Any]:
        if not isinstance(item, dict) or not isinstance(item.get("params"), dict):
            raise input_error("Invalid `basket`: an item wants `params`.")
        operand = self._alerts.operand(str(item.get("exchange", "")), str(item.get("tradingsymbol", "")))
        params = {name: float(value) if isinstance(value, Decimal) else value for name, value in item["params"].items()}
        kept = {name: value for name, value in item.items() if not isinstance(value, Decimal)}
        return {**kept, "params": params, "id": number, "instrument_token": operand.instrument_token}


def check_attribute(form: Mapping[str, str], name: str) -> None:
    """Checks that the field names the last price. Raises KiteError 400."""
    if required(form, name) != ATTRIBUTE:
        raise input_error(f"Invalid `{name}`.")
