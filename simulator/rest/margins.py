"""Margins and charges of orders that are not placed: `/margins/orders`, `/margins/basket`, `/charges/orders`.

Bodies are JSON arrays. The numbers come from the same rule that placement uses (`simulator.exchange.accounts.margins`).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import reduce

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import json_body, query_params, success
from simulator.errors import input_error, missing_field
from simulator.exchange.accounts.charges import charges
from simulator.exchange.accounts.hedges import MarginSum, sum_of
from simulator.exchange.accounts.margins import (
    RATES,
    SPAN_SHARE,
    Exposure,
    MarginComponent,
    OpenOrder,
    blocked,
    margin_component,
)
from simulator.exchange.accounts.positions import PositionKey
from simulator.exchange.entry.parameters import PRODUCTS, TRANSACTION_TYPES, read_choice, read_integer, read_price
from simulator.exchange.exchange import Exchange
from simulator.exchange.orders.request import Product, TransactionType
from simulator.exchange.orders.units import FUND_SEGMENTS, fund_segment, is_option
from simulator.formats import to_number
from simulator.market.instrument import COMMODITY, CURRENCY, EQUITY, EQUITY_DERIVATIVES, Instrument
from simulator.rest.auth import Guard

MAX_ORDERS = 100
SEGMENTS: Mapping[str, frozenset[str]] = {
    "equity": EQUITY,
    "commodity": COMMODITY,
    "futures": EQUITY_DERIVATIVES,
    "currency": CURRENCY,
}
ZERO = Decimal(0)


class Leg:
    """One order of a body, checked. Raises KiteError 400."""

    def __init__(self, exchange: Exchange, params: Mapping[str, str], *, price_field: str) -> None:
        for name in ("exchange", "tradingsymbol"):
            if name not in params:
                raise missing_field(name)
        self.params = params
        self.instrument: Instrument = exchange.instrument(params["exchange"], params["tradingsymbol"])
        self.side: TransactionType = read_choice(params, "transaction_type", TRANSACTION_TYPES)
        self.product: Product = read_choice(params, "product", PRODUCTS)
        self.quantity = read_integer(params, "quantity", minimum=1)
        self.price = read_price(params, price_field)
        if not self.price and price_field == "average_price":
            raise missing_field(price_field)
        self.price = self.price or exchange.last_price(self.instrument)

    @property
    def key(self) -> PositionKey:
        return (self.instrument.exchange, self.instrument.tradingsymbol, self.product)

    def order(self) -> OpenOrder:
        return OpenOrder(side=self.side, quantity=self.quantity, price=self.price)

    def charges(self) -> dict[str, object]:
        return charges(self.instrument, product=self.product, side=self.side, quantity=self.quantity, price=self.price)


class MarginRoutes:
    """Kite's margin and charges routes."""

    def __init__(self, *, exchange: Exchange, guard: Guard) -> None:
        self._exchange = exchange
        self._guard = guard

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/margins/orders", signed_in(self.orders), methods=["POST"]),
            Route("/margins/basket", signed_in(self.basket), methods=["POST"]),
            Route("/margins/{segment}", signed_in(self.segment), methods=["GET"]),
            Route("/charges/orders", signed_in(self.contract_note), methods=["POST"]),
        ]

    async def segment(self, request: Request, _user_id: str) -> Response:
        """The legacy dump of intraday margins: for each instrument of a segment, the share of its value in percent."""
        exchanges = SEGMENTS.get(request.path_params["segment"])
        if exchanges is None:
            raise input_error("Invalid `segment`.")
        listed = [item for item in self._exchange.instruments() if item.exchange in exchanges and not is_option(item)]
        rates = {exchange: RATES.get(exchange, RATES["MIS"]) for exchange in exchanges}
        return success(
            [
                {
                    "tradingsymbol": item.tradingsymbol,
                    "exchange": item.exchange,
                    "margin": to_number(rates[item.exchange] * 100),
                    "mis_multiplier": to_number(1 / rates[item.exchange]),
                }
                for item in listed
                if item.tradable
            ]
        )

    async def orders(self, request: Request, user_id: str) -> Response:
        """What each order alone would add to what the present positions and open orders block."""
        legs = await self._legs(request, price_field="price")
        exposures = self._exposures(user_id)
        return success([margin_object(leg, before_of(leg, exposures)) for leg in legs])

    async def basket(self, request: Request, user_id: str) -> Response:
        """`initial` is the sum of the orders taken separately, `final` what all of them together would add.

        `final` has the benefit of hedges, among the orders and with the positions and open orders that there are.
        """
        legs = await self._legs(request, price_field="price")
        considered = query_params(request).get("consider_positions", "true").lower() in ("true", "1")
        before = self._exposures(user_id) if considered else {}
        after = dict(before)
        for leg in legs:
            after[leg.key] = before_of(leg, after).adding(leg.order())
        alone = [sum_of([before_of(leg, {}).adding(leg.order())]) for leg in legs]
        return success(
            {
                "initial": summary_object(reduce(MarginSum.plus, alone)),
                "final": summary_object(sum_of(after.values()).added_to(sum_of(before.values()))),
                "orders": [margin_object(leg, before_of(leg, {})) for leg in legs],
                "charges": empty_charges(),
            }
        )

    async def contract_note(self, request: Request, _user_id: str) -> Response:
        legs = await self._legs(request, price_field="average_price")
        return success([contract_row(leg) for leg in legs])

    async def _legs(self, request: Request, *, price_field: str) -> list[Leg]:
        body = await json_body(request)
        if not isinstance(body, list) or not body or not all(isinstance(item, dict) for item in body):
            raise input_error("Expected a JSON array of orders.")
        if len(body) > MAX_ORDERS:
            raise input_error(f"Too many orders. Max permitted is {MAX_ORDERS}.")
        return [Leg(self._exchange, text_params(item), price_field=price_field) for item in body]

    def _exposures(self, user_id: str) -> dict[PositionKey, Exposure]:
        orders = self._exchange.unfilled_orders(user_id)
        portfolio = self._exchange.portfolios[user_id]
        joined: dict[PositionKey, Exposure] = {}
        for segment in FUND_SEGMENTS:
            joined.update(portfolio.exposures(orders, segment=segment))
        return joined


def text_params(item: Mapping[str, object]) -> dict[str, str]:
    """JSON values as a form's text; null and "" are left out."""
    return {name: str(value) for name, value in item.items() if value is not None and value != ""}


def before_of(leg: Leg, exposures: Mapping[PositionKey, Exposure]) -> Exposure:
    """The exposure in the leg's instrument and product before the leg."""
    return exposures.get(leg.key) or Exposure(leg.instrument, leg.product)


def needed(before: Exposure, legs: Sequence[Leg]) -> Decimal:
    """The rupees by which the legs, all of one instrument and product, raise what is blocked."""
    after = before
    for leg in legs:
        after = after.adding(leg.order())
    return max(ZERO, blocked(after) - blocked(before))


def margin_object(leg: Leg, before: Exposure) -> dict[str, object]:
    """The margin object of one order, given the exposure before it."""
    total = needed(before, [leg])
    name = margin_component(Exposure(leg.instrument, leg.product).adding(leg.order()))
    return margin_row(
        kind=fund_segment(leg.instrument),
        tradingsymbol=leg.instrument.tradingsymbol,
        exchange=leg.instrument.exchange,
        parts=margin_parts(name, total),
        total=total,
        costs=leg.charges(),
        leverage=leverage(leg),
    )


def leverage(leg: Leg) -> Decimal:
    """How many times its margin an order in equity is worth; 1 elsewhere."""
    return 1 / RATES[leg.product] if leg.instrument.exchange in EQUITY and leg.product in RATES else Decimal(1)


def margin_parts(name: MarginComponent, total: Decimal) -> dict[str, Decimal]:
    """The margin by Kite's fields."""
    if name == "derivative":
        return {"span": total * SPAN_SHARE, "exposure": total * (1 - SPAN_SHARE)}
    return {"option_premium" if name == "premium" else "var": total}


def summary_object(margin: MarginSum) -> dict[str, object]:
    """The object of `initial` and `final`, without an instrument."""
    return margin_row(
        kind="",
        tradingsymbol="",
        exchange="",
        parts={name: getattr(margin, name) for name in ("span", "exposure", "option_premium", "var")},
        total=margin.total,
        costs=empty_charges(),
    )


def margin_row(
    *,
    kind: str,
    tradingsymbol: str,
    exchange: str,
    parts: Mapping[str, Decimal],
    total: Decimal,
    costs: Mapping[str, object],
    leverage: Decimal = Decimal(1),
) -> dict[str, object]:
    """Kite's margin object of 14 keys."""
    numbers = {name: to_number(parts.get(name, ZERO)) for name in ("span", "exposure", "option_premium")}
    return {
        "type": kind,
        "tradingsymbol": tradingsymbol,
        "exchange": exchange,
        **numbers,
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": to_number(parts.get("var", ZERO)),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": to_number(leverage),
        "charges": costs,
        "total": to_number(total),
    }


def empty_charges() -> dict[str, object]:
    """The charges of a basket, which Kite leaves at 0."""
    return {
        "transaction_tax": 0,
        "transaction_tax_type": "",
        "exchange_turnover_charge": 0,
        "sebi_turnover_charge": 0,
        "brokerage": 0,
        "stamp_duty": 0,
        "gst": {"igst": 0, "cgst": 0, "sgst": 0, "total": 0},
        "total": 0,
    }


def contract_row(leg: Leg) -> dict[str, object]:
    """A row of the contract note."""
    return {
        "transaction_type": leg.side,
        "tradingsymbol": leg.instrument.tradingsymbol,
        "exchange": leg.instrument.exchange,
        "variety": leg.params.get("variety", "regular"),
        "product": leg.product,
        "order_type": leg.params.get("order_type", "MARKET"),
        "quantity": leg.quantity,
        "price": to_number(leg.price),
        "charges": leg.charges(),
    }
