"""The instruments of one trading day, a few thousand over all segments, and the spots that drive their prices.

They depend only on the day and on the anchors: the spot prices around which option strikes lie. A contract has the same
token on every day of its life.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Literal

from simulator.market.contracts import (
    THURSDAY,
    TUESDAY,
    contract_token,
    dated_expiries,
    future_symbol,
    is_monthly,
    monthly_expiries,
    option_symbol,
    weekly_expiries,
)
from simulator.market.instrument import Instrument, Segment
from simulator.market.symbols import (
    COMMODITIES,
    COMMODITIES_OF_NSE,
    CURRENCIES,
    INDEX_PRODUCTS,
    INDICES,
    STOCKS_WITH_DERIVATIVES,
    CommodityProduct,
    EquityListing,
    Product,
    real_equities,
    synthetic_equities,
)

TICK = Decimal("0.05")
MONTHS = 3
WEEKS = 5
UniverseSize = Literal["small", "large"]


@dataclass(frozen=True, slots=True)
class _Strikes:
    """How many strikes an option has on each side of the anchor, and how many months those of stocks."""

    index: int
    stock: int
    other: int
    stock_months: int


_STRIKES: Mapping[UniverseSize, _Strikes] = {
    "small": _Strikes(index=30, stock=8, other=10, stock_months=2),
    "large": _Strikes(index=240, stock=80, other=40, stock_months=3),
}
"""About 6,000 instruments, and more than 36,000."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A price path: around `price` rupees, with a yearly volatility (0.2 is 20 %)."""

    name: str
    price: float
    volatility: float


@dataclass(frozen=True, slots=True)
class _Venue:
    """A product in the segment where its derivatives trade."""

    segment: Segment
    number: int
    """Of the product in the segment; part of its contracts' tokens."""
    name: str
    """With which its contracts' symbols begin."""
    underlying: str
    """The spot that its prices follow."""
    tick_size: Decimal
    lot_size: int
    freeze_quantity: int = 0

    def future(self, expiry: date) -> Instrument:
        return Instrument(
            exchange=self.segment.name,
            tradingsymbol=future_symbol(self.name, expiry),
            name=self.name,
            exchange_token=contract_token(self.number, expiry, kind="FUT"),
            segment_id=self.segment,
            segment=f"{self.segment.name}-FUT",
            instrument_type="FUT",
            underlying=self.underlying,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            expiry=expiry,
            freeze_quantity=self.freeze_quantity,
        )

    def chain(
        self, expiry: date, *, anchor: float, step: Decimal, each_side: int, cycle: Literal["weekly", "monthly"]
    ) -> Iterator[Instrument]:
        """Calls and puts at every strike from `each_side` steps below the anchor to as many above."""
        middle = round(anchor / float(step))
        for number in range(max(1, middle - each_side), middle + each_side + 1):
            for right in _RIGHTS:
                yield Instrument(
                    exchange=self.segment.name,
                    tradingsymbol=option_symbol(self.name, expiry, strike=step * number, right=right, cycle=cycle),
                    name=self.name,
                    exchange_token=contract_token(self.number, expiry, kind=right, strike_number=number),
                    segment_id=self.segment,
                    segment=f"{self.segment.name}-OPT",
                    instrument_type=right,
                    underlying=self.underlying,
                    tick_size=self.tick_size,
                    lot_size=self.lot_size,
                    expiry=expiry,
                    strike=step * number,
                    freeze_quantity=self.freeze_quantity,
                )


_RIGHTS: tuple[Literal["CE", "PE"], ...] = ("CE", "PE")


def all_spots() -> Mapping[str, Spot]:
    """All spots by name."""
    spots = [Spot(index.tradingsymbol, index.price, index.volatility) for index in INDICES]
    spots += [Spot(equity.tradingsymbol, equity.price, equity.volatility) for equity in _equities()]
    spots += [Spot(item.name, item.price, item.volatility) for item in (*COMMODITIES, *COMMODITIES_OF_NSE, *CURRENCIES)]
    return {spot.name: spot for spot in spots}


def build_universe(
    day: date, *, anchor: Callable[[str], float], size: UniverseSize = "small"
) -> tuple[Instrument, ...]:
    """Every instrument listed on `day`. `anchor(spot name)` is the price in rupees that option strikes surround."""
    strikes = _STRIKES[size]
    return (
        *_indices(),
        *_cash_equity(),
        *_index_derivatives(day, anchor=anchor, strikes=strikes),
        *_stock_derivatives(day, anchor=anchor, strikes=strikes),
        *_commodity_derivatives(day, anchor=anchor, strikes=strikes),
        *_currency_derivatives(day, anchor=anchor, strikes=strikes),
    )


def _equities() -> tuple[EquityListing, ...]:
    return real_equities() + synthetic_equities()


def _indices() -> Iterator[Instrument]:
    for index in INDICES:
        yield Instrument(
            exchange=index.exchange,
            tradingsymbol=index.tradingsymbol,
            name=index.tradingsymbol,
            exchange_token=index.exchange_token,
            segment_id=Segment.INDICES,
            segment="INDICES",
            instrument_type="EQ",
            underlying=index.tradingsymbol,
            tick_size=Decimal(0),
            lot_size=0,
        )


def _cash_equity() -> Iterator[Instrument]:
    for equity in _equities():
        for segment, token in ((Segment.NSE, equity.nse_token), (Segment.BSE, equity.bse_code)):
            yield Instrument(
                exchange=segment.name,
                tradingsymbol=equity.tradingsymbol,
                name=equity.name,
                exchange_token=token,
                segment_id=segment,
                segment=segment.name,
                instrument_type="EQ",
                underlying=equity.tradingsymbol,
                tick_size=TICK if equity.price >= 15 else Decimal("0.01"),
                lot_size=1,
            )


def _index_derivatives(day: date, *, anchor: Callable[[str], float], strikes: _Strikes) -> Iterator[Instrument]:
    for number, product in enumerate(INDEX_PRODUCTS):
        segment, weekday = (Segment.BFO, THURSDAY) if product.name == "SENSEX" else (Segment.NFO, TUESDAY)
        venue = _Venue(segment, number, product.name, product.spot, TICK, product.lot_size, product.freeze_quantity)
        months = monthly_expiries(day, weekday=weekday, count=MONTHS)
        yield from map(venue.future, months)
        chain = partial(venue.chain, anchor=anchor(product.spot), step=product.strike_step, each_side=strikes.index)
        weeks = weekly_expiries(day, weekday=weekday, count=WEEKS)
        for expiry in sorted({*weeks, *months[:2]}):
            yield from chain(expiry, cycle="monthly" if is_monthly(expiry) else "weekly")


def _stock_derivatives(day: date, *, anchor: Callable[[str], float], strikes: _Strikes) -> Iterator[Instrument]:
    months = monthly_expiries(day, weekday=TUESDAY, count=MONTHS)
    for number, product in enumerate(_stock_products(), start=len(INDEX_PRODUCTS)):
        venue = _Venue(Segment.NFO, number, product.name, product.spot, TICK, product.lot_size, product.freeze_quantity)
        yield from map(venue.future, months)
        for expiry in months[: strikes.stock_months]:
            yield from venue.chain(
                expiry,
                anchor=anchor(product.spot),
                step=product.strike_step,
                each_side=strikes.stock,
                cycle="monthly",
            )


def _stock_products() -> Iterator[Product]:
    """Stocks with derivatives: lots of about 700,000 rupees in multiples of 25, strikes about 1.5 % apart."""
    for equity in real_equities()[:STOCKS_WITH_DERIVATIVES]:
        lot_size = max(25, round(700_000 / equity.price / 25) * 25)
        step = next(step for step in (1, 2.5, 5, 10, 20, 50, 100, 200, 500) if step >= equity.price * 0.01)
        yield Product(equity.tradingsymbol, equity.tradingsymbol, lot_size, Decimal(str(step)), lot_size * 40)


def _commodity_derivatives(day: date, *, anchor: Callable[[str], float], strikes: _Strikes) -> Iterator[Instrument]:
    for segment, products in ((Segment.MCX, COMMODITIES), (Segment.NCO, COMMODITIES_OF_NSE)):
        for number, item in enumerate(products):
            yield from _dated_derivatives(item, segment=segment, number=number, day=day, anchor=anchor, strikes=strikes)


def _currency_derivatives(day: date, *, anchor: Callable[[str], float], strikes: _Strikes) -> Iterator[Instrument]:
    for segment in (Segment.CDS, Segment.BCD):
        for number, item in enumerate(CURRENCIES):
            yield from _dated_derivatives(item, segment=segment, number=number, day=day, anchor=anchor, strikes=strikes)


def _dated_derivatives(
    item: CommodityProduct,
    *,
    segment: Segment,
    number: int,
    day: date,
    anchor: Callable[[str], float],
    strikes: _Strikes,
) -> Iterator[Instrument]:
    venue = _Venue(segment, number, item.name, item.name, item.tick_size, item.lot_size, freeze_quantity=10_000)
    months = dated_expiries(day, day_of_month=item.expiry_day, count=MONTHS)
    yield from map(venue.future, months)
    if item.strike_step is None:
        return
    for expiry in months[:2]:
        yield from venue.chain(
            expiry,
            anchor=anchor(item.name),
            step=item.strike_step,
            each_side=strikes.other,
            cycle="monthly",
        )
