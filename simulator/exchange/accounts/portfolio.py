"""What one user has: positions, holdings and funds.

The funds of a segment are `net = cash at the start of the day + realised profit - blocked`; `margins` has the rule for
what is blocked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from simulator.errors import input_error
from simulator.exchange.accounts.margins import (
    SPAN_SHARE,
    Exposure,
    OpenOrder,
    blocked,
    margin_component,
    open_order,
    total_blocked,
)
from simulator.exchange.accounts.positions import Conversion, Position, PositionKey
from simulator.exchange.orders.order import Order, Trade
from simulator.exchange.orders.request import OrderRequest, Product
from simulator.exchange.orders.units import FundSegment, fund_segment
from simulator.formats import to_number
from simulator.market.instrument import Instrument

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares in the demat account, bought before today."""

    instrument: Instrument
    quantity: int
    """Delivered."""
    average_price: Decimal
    t1_quantity: int = 0
    """Bought on the last trading day and not delivered yet."""
    authorised_quantity: int = 0
    """Of the delivered ones, what the user has authorised for sale today."""

    @property
    def total(self) -> int:
        """Delivered or not."""
        return self.quantity + self.t1_quantity


@dataclass(frozen=True, slots=True)
class Authorisation:
    """Shares that a user has authorised for sale at the depository."""

    user_id: str
    exchange: str
    tradingsymbol: str
    quantity: int


class Portfolio:
    """One user's day. It begins with the cash of each segment and with what is carried into the day."""

    def __init__(
        self,
        *,
        cash: Mapping[FundSegment, Decimal],
        holdings: Iterable[Holding] = (),
        positions: Iterable[Position] = (),
    ) -> None:
        self.cash = dict(cash)
        self.positions: dict[PositionKey, Position] = {
            (position.instrument.exchange, position.instrument.tradingsymbol, position.product): position
            for position in positions
        }
        self.holdings: dict[tuple[str, str], Holding] = {
            (holding.instrument.exchange, holding.instrument.tradingsymbol): holding for holding in holdings
        }

    def book(self, trade: Trade) -> None:
        """Adds a fill to its position."""
        self.position(trade.instrument, trade.product).trade(trade.transaction_type, trade.quantity, trade.price)

    def convert(self, conversion: Conversion) -> None:
        """Moves an open quantity between products at its average price. Raises KiteError 400 when less is open."""
        instrument, quantity = conversion.instrument, conversion.quantity
        old = self.positions.get((instrument.exchange, instrument.tradingsymbol, conversion.old_product))
        sign = 1 if conversion.side == "BUY" else -1
        if old is None or old.quantity * sign < quantity:
            raise input_error("Quantity to convert is more than the open position.")
        if conversion.overnight and old.overnight_quantity * sign < quantity:
            raise input_error("Quantity to convert is more than the overnight position.")
        price = old.convert_out(quantity, overnight=conversion.overnight)
        self.position(instrument, conversion.new_product).trade(conversion.side, quantity, price)

    def position(self, instrument: Instrument, product: Product) -> Position:
        """The position, created with quantity 0 when there was none."""
        key = (instrument.exchange, instrument.tradingsymbol, product)
        return self.positions.setdefault(key, Position(instrument, product))

    def exposures(self, orders: Iterable[Order], *, segment: FundSegment) -> dict[PositionKey, Exposure]:
        """The positions and unfilled orders of a segment, joined by instrument and product."""
        pending: dict[PositionKey, list[OpenOrder]] = {}
        instruments: dict[PositionKey, Instrument] = {}
        for order in orders:
            if not order.terminal and fund_segment(order.instrument) == segment:
                key = key_of(order.request)
                instruments[key] = order.instrument
                unfilled = open_order(order.request, unfilled=order.unfilled_quantity)
                pending.setdefault(key, []).append(unfilled)
        joined = {
            key: Exposure(instrument, key[2], orders=tuple(pending[key])) for key, instrument in instruments.items()
        }
        for key, position in self.positions.items():
            if fund_segment(position.instrument) == segment:
                waiting = tuple(pending.get(key, ()))
                joined[key] = Exposure(
                    position.instrument, position.product, position.quantity, position.open_price, waiting
                )
        return joined

    def realised(self, segment: FundSegment) -> Decimal:
        """The profit of what was closed today, in rupees."""
        return sum((p.realised for p in self.positions.values() if fund_segment(p.instrument) == segment), ZERO)

    def available(self, orders: Iterable[Order], *, segment: FundSegment) -> Decimal:
        """Rupees that new orders may use."""
        in_use = total_blocked(list(self.exposures(orders, segment=segment).values()))
        return self.cash[segment] + self.realised(segment) - in_use

    def required(self, request: OrderRequest, *, instrument: Instrument, orders: Sequence[Order]) -> Decimal:
        """The rupees by which `request` would raise what is blocked; at least 0."""
        exposures = self.exposures(orders, segment=fund_segment(instrument))
        before = exposures.get(key_of(request)) or Exposure(instrument, request.product)
        after = before.adding(open_order(request, unfilled=request.quantity))
        return max(ZERO, blocked(after) - blocked(before))

    def sellable(self, instrument: Instrument, *, orders: Iterable[Order]) -> int:
        """How many CNC shares may still be sold: holdings and today's purchases, less filled and pending sales."""
        key = (instrument.exchange, instrument.tradingsymbol)
        holding = self.holdings.get(key)
        position = self.positions.get((*key, "CNC"))
        held = holding.total if holding else 0
        return held + (position.quantity if position else 0) - pending_sales(key, orders)

    def unauthorised(self, instrument: Instrument, quantity: int, *, orders: Iterable[Order]) -> int:
        """How many shares of a CNC sale of `quantity` the user has to authorise at the depository first.

        Sales take today's purchases first, then what is not delivered yet; neither needs an authorisation.
        """
        key = (instrument.exchange, instrument.tradingsymbol)
        holding = self.holdings.get(key)
        if holding is None:
            return 0
        position = self.positions.get((*key, "CNC"))
        sold = quantity + pending_sales(key, orders) - (position.quantity if position else 0)
        return max(0, min(sold - holding.t1_quantity, holding.quantity) - holding.authorised_quantity)

    def authorise(self, authorisation: "Authorisation") -> None:
        """The user lets the broker take shares for sales of today, on top of what is authorised already."""
        key = (authorisation.exchange, authorisation.tradingsymbol)
        holding = self.holdings.get(key)
        if holding is not None:
            total = min(holding.authorised_quantity + authorisation.quantity, holding.quantity)
            self.holdings[key] = replace(holding, authorised_quantity=total)

    def funds(self, orders: Iterable[Order], *, segment: FundSegment) -> dict[str, object]:
        """The object of `GET /user/margins/{segment}`."""
        parts = {"delivery": ZERO, "intraday": ZERO, "premium": ZERO, "derivative": ZERO}
        for exposure in self.exposures(orders, segment=segment).values():
            parts[margin_component(exposure)] += blocked(exposure)
        realised = self.realised(segment)
        debits = sum(parts.values(), ZERO) - realised
        net = to_number(self.cash[segment] - debits)
        cash = to_number(self.cash[segment])
        return {
            "enabled": True,
            "net": net,
            "available": {
                "adhoc_margin": 0,
                "cash": cash,
                "opening_balance": cash,
                "live_balance": net,
                "collateral": 0,
                "intraday_payin": 0,
            },
            "utilised": {
                "debits": to_number(debits),
                "exposure": to_number(parts["intraday"] + parts["derivative"] * (1 - SPAN_SHARE)),
                "m2m_realised": to_number(realised),
                "m2m_unrealised": 0,
                "option_premium": to_number(parts["premium"]),
                "payout": 0,
                "span": to_number(parts["derivative"] * SPAN_SHARE),
                "holding_sales": 0,
                "turnover": 0,
                "liquid_collateral": 0,
                "stock_collateral": 0,
                "delivery": to_number(parts["delivery"]),
            },
        }


def pending_sales(key: tuple[str, str], orders: Iterable[Order]) -> int:
    """The unfilled CNC sales of an instrument, given by exchange and tradingsymbol, among `orders`."""
    return sum(
        order.unfilled_quantity
        for order in orders
        if not order.terminal and key_of(order.request) == (*key, "CNC") and order.request.transaction_type == "SELL"
    )


def key_of(request: OrderRequest) -> PositionKey:
    """The position to which an order's fills belong."""
    return (request.exchange, request.tradingsymbol, request.product)
