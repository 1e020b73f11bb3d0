"""How does one answer name everything that is wrong with an order?

FastAPI stops at wrong fields. Whether fields fit together and to the instrument (does it exist, tick size, lot size)
would be a second answer. ``OrderRoute`` checks both before it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError

from app.api.dependencies import services_of
from app.api.order_bodies import MAX_ORDERS, readable_order
from app.api.problems import field_problem
from app.api.services import Services
from app.api.strict_route import StrictRoute
from app.errors import BadInput, Problem


class OrderRoute(StrictRoute):
    """A route whose 400 has the wrong fields and what the instruments say about the others."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                found = [field_problem(entry) for entry in error.errors()]
                if request.method == "POST":  # the changes of an order are no order
                    found += instrument_problems(error.body, services_of(request))
                raise BadInput(found) from error

        return handle


def instrument_problems(body: object, services: Services) -> list[Problem]:
    """What is wrong with the orders in ``body`` beyond their single fields, as far as they can be read."""
    if not isinstance(body, Mapping):
        return []
    orders = body.get("orders")
    if isinstance(orders, list):
        lines = [(("body", "orders", index), one) for index, one in enumerate(orders[:MAX_ORDERS])]
        return [problem for where, one in lines for problem in _of_one(where, one, services)]
    return _of_one(("body",), {name: value for name, value in body.items() if name != "account_id"}, services)


def _of_one(where: tuple[str | int, ...], data: Any, services: Services) -> list[Problem]:
    order, unchecked = readable_order(data)
    if order is None:
        return []
    found = services.orders.problems_of(
        order.line(), instrument="ignore" if "tradingsymbol" in unchecked else "look_up"
    )
    return [Problem(loc=(*where, *one.loc), msg=one.msg) for one in found if one.loc[0] not in unchecked]
