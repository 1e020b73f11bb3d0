"""`/mf`: mutual funds, read-only, as at Kite, where the writing routes have been switched off."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.clock import IST
from simulator.envelope import query_params, success
from simulator.errors import KiteError, input_error, unknown_order
from simulator.market.mutual_funds import dump_funds, fund_holdings, fund_orders, fund_sips
from simulator.rest.auth import Guard

SHOWN_FOR: Final = timedelta(days=7)
BREAKDOWN: Final = (
    "fund",
    "tradingsymbol",
    "variety",
    "exchange_timestamp",
    "amount",
    "folio",
    "average_price",
    "quantity",
)
"""The fields of a purchase in a holding's breakdown."""


class FundRoutes:
    """Kite's mutual fund routes."""

    def __init__(self, *, guard: Guard, now: Callable[[], datetime]) -> None:
        self._guard = guard
        self._now = now

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        refused = signed_in(refuse)
        return [
            Route("/mf/instruments", self.instruments, methods=["GET"]),
            Route("/mf/orders", signed_in(self.orders), methods=["GET"]),
            Route("/mf/orders", refused, methods=["POST"]),
            Route("/mf/orders/{order_id}", signed_in(self.order), methods=["GET"]),
            Route("/mf/orders/{order_id}", refused, methods=["DELETE"]),
            Route("/mf/sips", signed_in(self.sips), methods=["GET"]),
            Route("/mf/sips", refused, methods=["POST"]),
            Route("/mf/sips/{sip_id}", signed_in(self.sip), methods=["GET"]),
            Route("/mf/sips/{sip_id}", refused, methods=["PUT", "DELETE"]),
            Route("/mf/holdings", signed_in(self.holdings), methods=["GET"]),
            Route("/mf/holdings/{isin}", signed_in(self.breakdown), methods=["GET"]),
            Route("/mf/allotments", signed_in(self.allotments), methods=["GET"]),
        ]

    async def instruments(self, _request: Request) -> Response:
        """The dump, without authentication. Its type is exactly `text/csv`: the JavaScript client parses only that."""
        return Response(dump_funds(self._now().astimezone(IST).date()).encode(), headers={"Content-Type": "text/csv"})

    async def orders(self, request: Request, user_id: str) -> Response:
        """Those placed between `from` and `to`, both days included; without them those of the last seven days."""
        now = self._now()
        params = query_params(request)
        first = read_day(params, "from", default=now - SHOWN_FOR)
        last = read_day(params, "to", default=now)
        if first > last:
            raise input_error("`from` date must not be after `to` date")
        rows = fund_orders(user_id, now)
        return success([row for row in rows if f"{first}" <= str(row["order_timestamp"])[:10] <= f"{last}"])

    async def order(self, request: Request, user_id: str) -> Response:
        wanted = request.path_params["order_id"]
        for row in fund_orders(user_id, self._now()):
            if row["order_id"] == wanted:
                return success(row)
        raise unknown_order()

    async def sips(self, _request: Request, _user_id: str) -> Response:
        return success(fund_sips(self._now()))

    async def sip(self, request: Request, _user_id: str) -> Response:
        for row in fund_sips(self._now()):
            if row["sip_id"] == request.path_params["sip_id"]:
                return success(row)
        raise KiteError("Couldn't find that `sip_id`.", status=400, error_type="GeneralException")

    async def holdings(self, _request: Request, _user_id: str) -> Response:
        return success(fund_holdings())

    async def breakdown(self, request: Request, user_id: str) -> Response:
        """The purchases that make up one holding."""
        isin = request.path_params["isin"]
        rows = [row for row in fund_orders(user_id, self._now()) if row["tradingsymbol"] == isin]
        return success([{name: row[name] for name in BREAKDOWN} for row in rows])

    async def allotments(self, _request: Request, _user_id: str) -> Response:
        """The recently allotted schemes."""
        return success([row["tradingsymbol"] for row in fund_holdings()])


def read_day(params: Mapping[str, str], name: str, *, default: datetime) -> date:
    """`YYYY-MM-DD`, with a time or without. Raises KiteError 400."""
    try:
        return datetime.fromisoformat(params[name]).date() if params.get(name) else default.astimezone(IST).date()
    except ValueError:
        raise input_error(f"invalid `{name}` date: expected YYYY-MM-DD") from None


async def refuse(_request: Request, _user_id: str) -> Response:
    """The answer of the writing routes."""
    raise KiteError("Insufficient permission for that call.", status=403, error_type="PermissionException")
