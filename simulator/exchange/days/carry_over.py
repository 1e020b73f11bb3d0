"""How one day's portfolio becomes the next day's. Pure.

CNC positions settle: bought shares become holdings that are still to be delivered, sold shares leave, and the cash
changes. Every other position is carried at its average cost, with the day's profit added to the cash. An expired
contract is settled at its last price.
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
    """The portfolio with which `day` begins.

    `closing_price` gives a position's last price in rupees. `delivery` says whether the shares bought on the trading
    day before are delivered now.
    """
    cash = dict(portfolio.cash)
    holdings = {key: replace(holding, authorised_quantity=0) for key, holding in portfolio.holdings.items()}
    if delivery == "due":
        holdings = {key: deliver(holding) for key, holding in holdings.items()}
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
    """The holding with all its shares delivered."""
    return replace(holding, quantity=holding.total, t1_quantity=0)


def settle_shares(holdings: dict[tuple[str, str], Holding], position: Position) -> None:
    """Applies a CNC position to `holdings`: sales take delivered shares first, purchases change the average price."""
    key = (position.instrument.exchange, position.instrument.tradingsymbol)
    holding = holdings.get(key) or Holding(position.instrument, 0, Decimal(0))
    if position.quantity > 0:
        total = holding.total + position.quantity
        cost = holding.total * holding.average_price + position.quantity * position.open_price
        holding = replace(holding, t1_quantity=holding.t1_quantity + position.quantity, average_price=cost / total)
    elif position.quantity < 0:
        delivered = min(holding.quantity, -position.quantity)
        rest = -position.quantity - delivered
        holding = replace(
            holding, quantity=holding.quantity - delivered, t1_quantity=max(0, holding.t1_quantity - rest)
        )
    holdings[key] = holding
