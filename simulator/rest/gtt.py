"""`/gtt/triggers`: good-till-triggered orders. `condition` and `orders` are JSON text inside a form."""

from collections.abc import Mapping
from decimal import Decimal
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import form_params, parse_json, success
from simulator.errors import input_error, missing_field, route_not_found
from simulator.exchange.conditions.gtt import TriggerKind, TriggerOrder, TriggerProduct, trigger_row
from simulator.exchange.entry.parameters import TRANSACTION_TYPES, read_choice, read_integer, read_price
from simulator.exchange.triggers.gtt_triggers import GttTriggers, TriggerForm
from simulator.rest.auth import Guard
from simulator.rest.margins import text_params

KINDS: tuple[TriggerKind, ...] = get_args(TriggerKind)
PRODUCTS: tuple[TriggerProduct, ...] = get_args(TriggerProduct)
MAX_VALUES = 2


class TriggerRoutes:
    """Kite's GTT routes."""

    def __init__(self, *, triggers: GttTriggers, guard: Guard) -> None:
        self._triggers = triggers
        self._guard = guard

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/gtt/triggers", signed_in(self.list_all), methods=["GET"]),
            Route("/gtt/triggers", signed_in(self.create), methods=["POST"]),
            Route("/gtt/triggers/{trigger_id}", signed_in(self.read), methods=["GET"]),
            Route("/gtt/triggers/{trigger_id}", signed_in(self.modify), methods=["PUT"]),
            Route("/gtt/triggers/{trigger_id}", signed_in(self.delete), methods=["DELETE"]),
        ]

    async def list_all(self, _request: Request, user_id: str) -> Response:
        """The active GTTs and those that ended within seven days."""
        return success([trigger_row(trigger) for trigger in self._triggers.of_user(user_id)])

    async def create(self, request: Request, user_id: str) -> Response:
        trigger_id = self._triggers.create(user_id, read_form(await form_params(request)))
        return success({"trigger_id": trigger_id})

    async def read(self, request: Request, user_id: str) -> Response:
        return success(trigger_row(self._triggers.get(user_id, id_of(request))))

    async def modify(self, request: Request, user_id: str) -> Response:
        trigger_id = id_of(request)
        self._triggers.modify(user_id, trigger_id, read_form(await form_params(request)))
        return success({"trigger_id": trigger_id})

    async def delete(self, request: Request, user_id: str) -> Response:
        trigger_id = id_of(request)
        self._triggers.delete(user_id, trigger_id)
        return success({"trigger_id": trigger_id})


def id_of(request: Request) -> int:
    """The id in the path. Raises KiteError 404 for one that is not a number."""
    text = request.path_params["trigger_id"]
    if not (text.isascii() and text.isdigit()):
        raise route_not_found()
    return int(text[:18])


def read_form(form: Mapping[str, str]) -> TriggerForm:
    """The form of a GTT. Raises KiteError 400, which names the first bad field."""
    condition = read_json(form, "condition")
    orders = read_json(form, "orders")
    if not isinstance(condition, dict):
        raise input_error("Invalid `condition`.")
    if not isinstance(orders, list) or len(orders) > MAX_VALUES or not all(isinstance(each, dict) for each in orders):
        raise input_error("Invalid `orders`.")
    values = condition.get("trigger_values")
    if not isinstance(values, list) or len(values) > MAX_VALUES:
        raise input_error("Invalid `trigger_values`.")
    text = text_params(condition)
    return TriggerForm(
        kind=read_choice(form, "type", KINDS),
        exchange=required(text, "exchange"),
        tradingsymbol=required(text, "tradingsymbol"),
        trigger_values=tuple(read_value(value) for value in values),
        last_price=read_price(text, "last_price"),
        orders=tuple(read_order(text_params(each)) for each in orders),
    )


def read_order(text: Mapping[str, str]) -> TriggerOrder:
    """An element of `orders`. Raises KiteError 400."""
    if text.get("order_type", "LIMIT") != "LIMIT":
        raise input_error("Only LIMIT orders are allowed in a trigger.")
    price = read_price(text, "price")
    if not price:
        raise missing_field("price")
    return TriggerOrder(
        exchange=required(text, "exchange"),
        tradingsymbol=required(text, "tradingsymbol"),
        product=read_choice(text, "product", PRODUCTS),
        transaction_type=read_choice(text, "transaction_type", TRANSACTION_TYPES),
        quantity=read_integer(text, "quantity", minimum=1),
        price=price,
    )


def read_json(form: Mapping[str, str], name: str) -> object:
    """The JSON in a field of the form. Raises KiteError 400."""
    if name not in form:
        raise missing_field(name)
    return parse_json(form[name].encode())


def read_value(value: object) -> Decimal:
    """A trigger value in rupees. Raises KiteError 400."""
    return read_price({"trigger_values": str(value)}, "trigger_values")


def required(text: Mapping[str, str], name: str) -> str:
    """A field that must not be empty. Raises KiteError 400."""
    if not text.get(name):
        raise missing_field(name)
    return text[name]
