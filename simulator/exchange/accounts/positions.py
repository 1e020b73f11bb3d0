"""A position from its trades, with the arithmetic of Kite's position rows. Pure.

What was bought and sold today (the row's quantities and values) is counted apart from the average cost of the open
quantity (the row's average price, and the realised profit in the funds).
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from simulator.exchange.orders.request import Product, TransactionType
from simulator.exchange.orders.units import multiplier
from simulator.formats import to_number
from simulator.market.instrument import Instrument

PositionKey = tuple[str, str, str]
"""Exchange, tradingsymbol, product."""

ZERO = Decimal(0)


@dataclass(slots=True)
class Position:
    """One instrument and product of one user. Values are in rupees and include the multiplier."""

    instrument: Instrument
    """In which it is."""
    product: Product
    overnight_quantity: int = 0
    """What was carried into the day, signed."""
    overnight_price: Decimal = ZERO
    """The average cost at which it was carried."""
    buy_quantity: int = 0
    """Bought today."""
    buy_value: Decimal = ZERO
    """Of what was bought today."""
    sell_quantity: int = 0
    """Sold today."""
    sell_value: Decimal = ZERO
    """Of what was sold today."""
    quantity: int = 0
    """Open now, signed."""
    open_price: Decimal = ZERO
    """The average cost of the open quantity."""
    realised: Decimal = field(default=ZERO)
    """The profit of what was closed today."""

    @classmethod
    def carried(cls, instrument: Instrument, product: Product, *, quantity: int, price: Decimal) -> "Position":
        """A position as it begins the next day: `quantity` is signed, `price` its average cost."""
        return cls(instrument, product, quantity, price, quantity=quantity, open_price=price)

    def trade(self, side: TransactionType, quantity: int, price: Decimal) -> None:
        """Adds a fill."""
        value = quantity * price * multiplier(self.instrument)
        if side == "BUY":
            self.buy_quantity += quantity
            self.buy_value += value
        else:
            self.sell_quantity += quantity
            self.sell_value += value
        self._open_or_close(quantity if side == "BUY" else -quantity, price)

    def convert_out(self, quantity: int, *, overnight: bool = False) -> Decimal:
        """Removes `quantity` of the open quantity, which moves to another product; returns the average price of it.

        `overnight`: it is taken from what was carried into the day.
        """
        price = self.open_price
        value = quantity * price * multiplier(self.instrument)
        sign = 1 if self.quantity > 0 else -1
        if overnight:
            self.overnight_quantity -= sign * quantity
        elif sign > 0:
            self.buy_quantity -= quantity
            self.buy_value -= value
        else:
            self.sell_quantity -= quantity
            self.sell_value -= value
        self.quantity -= sign * quantity
        if self.quantity == 0:
            self.open_price = ZERO
        return price

    def _open_or_close(self, signed: int, price: Decimal) -> None:
        closing = min(abs(signed), abs(self.quantity)) if self.quantity * signed < 0 else 0
        if closing:
            direction = 1 if self.quantity > 0 else -1
            self.realised += closing * (price - self.open_price) * direction * multiplier(self.instrument)
        before, self.quantity = self.quantity, self.quantity + signed
        opened = abs(signed) - closing
        if self.quantity == 0:
            self.open_price = ZERO
        elif opened and closing:
            self.open_price = price
        elif opened:
            self.open_price = (abs(before) * self.open_price + opened * price) / abs(self.quantity)


@dataclass(frozen=True, slots=True)
class Conversion:
    """An open quantity of one side that moves from one product to another."""

    user_id: str
    instrument: Instrument
    side: TransactionType
    quantity: int
    old_product: Product
    new_product: Product
    overnight: bool
    """Whether it is taken from what was carried into the day."""


def position_row(
    position: Position, *, last_price: Decimal, close_price: Decimal, overnight: Literal["shown", "left out"] = "shown"
) -> dict[str, object]:
    """Kite's row of 29 fields. `unrealised` has the whole profit and `realised` is 0, as in Kite's answers.

    `overnight`: the rows of `day` leave out what was carried into the day.
    """
    scale = multiplier(position.instrument)
    carried = position.overnight_quantity if overnight == "shown" else 0
    quantity = position.quantity - (position.overnight_quantity - carried)
    bought, buy_value = position.buy_quantity + max(carried, 0), position.buy_value
    sold, sell_value = position.sell_quantity + max(-carried, 0), position.sell_value
    buy_m2m = buy_value + max(carried, 0) * close_price * scale
    sell_m2m = sell_value + max(-carried, 0) * close_price * scale
    buy_value += max(carried, 0) * position.overnight_price * scale
    sell_value += max(-carried, 0) * position.overnight_price * scale
    marked = quantity * last_price * scale
    pnl = sell_value - buy_value + marked
    return {
        "tradingsymbol": position.instrument.tradingsymbol,
        "exchange": position.instrument.exchange,
        "instrument_token": position.instrument.instrument_token,
        "product": position.product,
        "quantity": quantity,
        "overnight_quantity": carried,
        "multiplier": scale,
        "average_price": to_number(position.open_price if quantity else ZERO),
        "close_price": to_number(close_price if carried else ZERO),
        "last_price": to_number(last_price),
        "value": to_number(sell_value - buy_value),
        "pnl": to_number(pnl),
        "m2m": to_number(sell_m2m - buy_m2m + marked),
        "unrealised": to_number(pnl),
        "realised": 0,
        "buy_quantity": bought,
        "buy_price": to_number(average(buy_value, bought * scale)),
        "buy_value": to_number(buy_value),
        "buy_m2m": to_number(buy_m2m),
        "sell_quantity": sold,
        "sell_price": to_number(average(sell_value, sold * scale)),
        "sell_value": to_number(sell_value),
        "sell_m2m": to_number(sell_m2m),
        **day_fields(position, scale=scale),
    }


def day_fields(position: Position, *, scale: int) -> dict[str, object]:
    """The six fields of today's trades; `scale` is the multiplier."""
    return {
        "day_buy_quantity": position.buy_quantity,
        "day_buy_price": to_number(average(position.buy_value, position.buy_quantity * scale)),
        "day_buy_value": to_number(position.buy_value),
        "day_sell_quantity": position.sell_quantity,
        "day_sell_price": to_number(average(position.sell_value, position.sell_quantity * scale)),
        "day_sell_value": to_number(position.sell_value),
    }


def average(value: Decimal, quantity: int) -> Decimal:
    """0 for quantity 0."""
    return value / quantity if quantity else ZERO
