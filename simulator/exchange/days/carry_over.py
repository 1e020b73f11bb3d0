"""How one day's portfolio becomes the next day's. Pure.

Delivery shares settle: what was bought is a holding still to be delivered, what was sold has left, the money moved.
Everything else stays a position at its average cost, and its profit of the day is in the cash. A contract that has
expired is settled at its last price.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Literal

from simulator.exchange.accounts.portfolio import Holding, Portfolio
from simulator.exchange.accounts.positions import Position
from simulator.exchange.orders.units import fund_segment, multiplier

Delivery = Literal["due", "waits"]


def carry_portfolio(
    portfolio: Portfolio, *, day: date, closing_price: Callable[[Position], Decimal], delivery: Delivery
) -> Portfolio:
    """The portfolio with which `day` begins. `delivery`: whether shares bought the day before arrive now."""
    cash = dict(portfolio.cash)
    holdings = {key: deliver(holding) if delivery == "due" else holding for key, holding in portfolio.holdings.items()}
    carried = []
    for position in portfolio.positions.values():
        segment = fund_segment(position.instrument)
        if position.product == "CNC":
            cash[segment] += position.sell_value - position.buy_value
            settle_shares(holdings, position)
            continue
        cash[segment] += position.realised
        if not position.quantity:
            continue
        expiry = position.instrument.expiry
        if expiry is not None and expiry < day:
            change = closing_price(position) - position.open_price
            cash[segment] += position.quantity * change * multiplier(position.instrument)
            continue
        carried.append(
            Position.carried(
                position.instrument, position.product, quantity=position.quantity, price=position.open_price
            )
        )
    kept = [holding for holding in holdings.values() if holding.total]
    return Portfolio(cash=cash, holdings=kept, positions=carried)


def deliver(holding: Holding) -> Holding:
    return replace(holding, quantity=holding.total, t1_quantity=0)


def settle_shares(holdings: dict[tuple[str, str], Holding], position: Position) -> None:
    """Sales take delivered shares first; purchases are averaged in."""
    key = (position.instrument.exchange, position.instrument.tradingsymbol)
    held = holdings.get(key) or Holding(position.instrument, 0, Decimal(0))
    if position.quantity > 0:
        total = held.total + position.quantity
        cost = held.total * held.average_price + position.quantity * position.open_price
        held = replace(held, t1_quantity=held.t1_quantity + position.quantity, average_price=cost / total)
    elif position.quantity < 0:
        delivered = min(held.quantity, -position.quantity)
        rest = -position.quantity - delivered
        held = replace(held, quantity=held.quantity - delivered, t1_quantity=max(0, held.t1_quantity - rest))
    holdings[key] = held
