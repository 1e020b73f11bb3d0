"""`/portfolio`: positions with their conversion, and holdings."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.envelope import form_params, success
from simulator.errors import missing_field
from simulator.exchange.accounts.portfolio import Holding, Portfolio
from simulator.exchange.accounts.positions import Conversion, position_row
from simulator.exchange.entry.checks import auction_number
from simulator.exchange.entry.parameters import CLIENT_PRODUCTS, TRANSACTION_TYPES, read_choice, read_integer
from simulator.exchange.exchange import Exchange
from simulator.formats import format_time, to_number
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from simulator.rest.auth import Guard

HUNDRED: Final = Decimal(100)
NOT_IN_AUCTIONS: Final = frozenset({"used_quantity", "short_quantity", "authorisation", "mtf"})


class PortfolioRoutes:
    """Kite's portfolio routes."""

    def __init__(self, *, exchange: Exchange, market: Market, guard: Guard, now: Callable[[], datetime]) -> None:
        self._exchange = exchange
        self._market = market
        self._guard = guard
        self._now = now

    def routes(self) -> list[Route]:
        signed_in = self._guard.signed_in
        return [
            Route("/portfolio/positions", signed_in(self.positions), methods=["GET"]),
            Route("/portfolio/positions", signed_in(self.convert), methods=["PUT"]),
            Route("/portfolio/holdings", signed_in(self.holdings), methods=["GET"]),
            Route("/portfolio/holdings/summary", signed_in(self.summary), methods=["GET"]),
            Route("/portfolio/holdings/compact", signed_in(self.compact), methods=["GET"]),
            Route("/portfolio/holdings/auctions", signed_in(self.auctions), methods=["GET"]),
        ]

    async def positions(self, _request: Request, user_id: str) -> Response:
        """`day` has today's trades, `net` also what was carried into the day."""
        net, day = [], []
        for position in self._exchange.portfolios[user_id].positions.values():
            last_price, close = self._prices(position.instrument)
            net.append(position_row(position, last_price=last_price, close_price=close))
            if position.buy_quantity or position.sell_quantity or not position.overnight_quantity:
                day.append(position_row(position, last_price=last_price, close_price=close, overnight="left out"))
        return success({"net": net, "day": day})

    async def convert(self, request: Request, user_id: str) -> Response:
        form = await form_params(request)
        for name in ("exchange", "tradingsymbol"):
            if name not in form:
                raise missing_field(name)
        conversion = Conversion(
            user_id=user_id,
            instrument=self._exchange.instrument(form["exchange"], form["tradingsymbol"]),
            side=read_choice(form, "transaction_type", TRANSACTION_TYPES),
            quantity=read_integer(form, "quantity", minimum=1),
            old_product=read_choice(form, "old_product", CLIENT_PRODUCTS),
            new_product=read_choice(form, "new_product", CLIENT_PRODUCTS),
            overnight=read_choice(form, "position_type", ("day", "overnight")) == "overnight",
        )
        self._exchange.convert(conversion)
        return success(data=True)

    async def holdings(self, _request: Request, user_id: str) -> Response:
        portfolio = self._exchange.portfolios[user_id]
        return success([self._holding_row(holding, portfolio) for holding in portfolio.holdings.values()])

    async def summary(self, _request: Request, user_id: str) -> Response:
        holdings = list(self._exchange.portfolios[user_id].holdings.values())
        invested = current = before = Decimal(0)
        for holding in holdings:
            last_price, close = self._prices(holding.instrument)
            invested += holding.total * holding.average_price
            current += holding.total * last_price
            before += holding.total * close
        return success(
            {
                "total_pnl": to_number(current - invested),
                "total_pnl_percent": to_number(percent(current - invested, invested)),
                "today_pnl": to_number(current - before),
                "today_pnl_percent": to_number(percent(current - before, before)),
                "invested_amount": to_number(invested),
                "current_value": to_number(current),
            }
        )

    async def compact(self, _request: Request, user_id: str) -> Response:
        rows = [
            {
                "exchange": holding.instrument.exchange,
                "tradingsymbol": holding.instrument.tradingsymbol,
                "instrument_token": holding.instrument.instrument_token,
                "t1_quantity": holding.t1_quantity,
                "quantity": holding.quantity,
            }
            for holding in self._exchange.portfolios[user_id].holdings.values()
        ]
        return success(rows)

    async def auctions(self, _request: Request, user_id: str) -> Response:
        """Every holding is in an auction; its number goes into an order of variety auction."""
        portfolio = self._exchange.portfolios[user_id]
        rows = []
        for holding in portfolio.holdings.values():
            row = self._holding_row(holding, portfolio)
            kept = {name: value for name, value in row.items() if name not in NOT_IN_AUCTIONS}
            rows.append({**kept, "auction_number": auction_number(holding.instrument)})
        return success(rows)

    def _prices(self, instrument: Instrument) -> tuple[Decimal, Decimal]:
        quote = self._market.quote(instrument.instrument_token)
        return quote.last_price, quote.close

    def _holding_row(self, holding: Holding, portfolio: Portfolio) -> dict[str, object]:
        instrument = holding.instrument
        last_price, close = self._prices(instrument)
        position = portfolio.positions.get((instrument.exchange, instrument.tradingsymbol, "CNC"))
        used = min(holding.total, max(0, -position.quantity)) if position else 0
        return {
            "tradingsymbol": instrument.tradingsymbol,
            "exchange": instrument.exchange,
            "instrument_token": instrument.instrument_token,
            "isin": isin_of(instrument),
            "product": "CNC",
            "price": 0,
            "quantity": holding.quantity,
            "used_quantity": used,
            "t1_quantity": holding.t1_quantity,
            "realised_quantity": holding.quantity,
            "authorised_quantity": holding.authorised_quantity,
            "authorised_date": format_time(self._now().replace(hour=0, minute=0, second=0)),
            "authorisation": {},
            "opening_quantity": holding.total,
            "short_quantity": 0,
            "collateral_quantity": 0,
            "collateral_type": "",
            "discrepancy": False,
            "average_price": to_number(holding.average_price),
            "last_price": to_number(last_price),
            "close_price": to_number(close),
            "pnl": to_number((last_price - holding.average_price) * holding.total),
            "day_change": to_number(last_price - close),
            "day_change_percentage": to_number(percent(last_price - close, close)),
            "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
        }


def isin_of(instrument: Instrument) -> str:
    """An ISIN of the right form."""
    return f"INE{instrument.exchange_token % 10**9:09d}"


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """0 of nothing."""
    return part * HUNDRED / whole if whole else Decimal(0)
