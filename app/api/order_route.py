"""A route whose bad orders are told everything at once: fields that are wrong, that do not fit, or not the instrument.

FastAPI stops at the fields of the body; how they fit together and the rules of the instrument (does it exist, tick
size, lot size) would only come in a second round. This route looks at those too before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.api.dependencies import services_of
from app.api.order_bodies import MAX_ORDERS, readable_order
from app.api.problems import field_problem
from app.api.services import Services
from app.errors import BadInput, Problem


class OrderRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                found = [field_problem(entry) for entry in error.errors()]
                raise BadInput([*found, *instrument_problems(error.body, services_of(request))]) from error

        return handle


def instrument_problems(body: object, services: Services) -> list[Problem]:
    """What the instruments say of the orders in ``body``, as far as these can be read."""
    if not isinstance(body, Mapping):
        return []
    orders = body.get("orders")
    if isinstance(orders, list):
        lines = [(("body", "orders", index), one) for index, one in enumerate(orders[:MAX_ORDERS])]
        return [problem for where, one in lines for problem in _of_one(where, one, services)]
    return _of_one(("body",), {name: value for name, value in body.items() if name != "account_id"}, services)


def _of_one(where: tuple[str | int, ...], data: Any, services: Services) -> list[Problem]:
    order, unjudged = readable_order(data)
    if order is None:
        return []
    found = services.orders.problems_of(order.line(), instrument="ignore" if "tradingsymbol" in unjudged else "look_up")
    return [Problem(loc=(*where, *one.loc), msg=one.msg) for one in found if one.loc[0] not in unjudged]
