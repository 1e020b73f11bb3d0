"""The margin of several orders together."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from simulator.exchange.accounts.hedges import MarginSum, sum_of
from simulator.exchange.accounts.margins import Exposure, OpenOrder
from simulator.exchange.orders.request import TransactionType
from simulator.market.instrument import Instrument, InstrumentType, Segment

EXPIRY = date(2026, 7, 28)


def leg(
    kind: InstrumentType, side: TransactionType, *, strike: int = 0, quantity: int = 75, underlying: str = "NIFTY 50"
) -> Exposure:
    contract = Instrument(
        exchange="NFO", tradingsymbol=f"NIFTY{strike}{kind}", name="NIFTY", exchange_token=strike + 1,
        segment_id=Segment.NFO, segment="NFO-FUT" if kind == "FUT" else "NFO-OPT", instrument_type=kind,
        underlying=underlying, tick_size=Decimal("0.05"), lot_size=75, expiry=EXPIRY, strike=Decimal(strike),
    )  # fmt: skip
    price = Decimal(24_000) if kind == "FUT" else Decimal(100)
    return Exposure(contract, "NRML").adding(OpenOrder(side=side, quantity=quantity, price=price))


def alone(*legs: Exposure) -> Decimal:
    return sum((sum_of([one]).total for one in legs), Decimal(0))


def test_a_bought_option_limits_the_span_of_a_sold_one_to_their_distance() -> None:
    """And costs its premium; the exposure margin of the sold one stays."""
    sold, bought = leg("CE", "SELL", strike=24_000), leg("CE", "BUY", strike=24_200)
    together = sum_of([sold, bought])
    assert together.span == 200 * 75
    assert together.option_premium == 100 * 75
    assert together.exposure == sum_of([sold]).exposure > 0
    assert together.total < alone(sold, bought)


@pytest.mark.parametrize(
    ("bought", "share"),
    [
        (leg("CE", "BUY", strike=23_900), Decimal(0)),  # it gains what the sold one loses
        (leg("CE", "BUY", strike=23_900, quantity=30), Decimal("0.6")),  # of 45 of 75
        (leg("PE", "BUY", strike=24_200), Decimal(1)),  # of the other kind
        (leg("CE", "BUY", strike=24_200, underlying="NIFTY BANK"), Decimal(1)),
    ],
)
def test_only_what_is_covered_needs_less_span(bought: Exposure, share: Decimal) -> None:
    """By the same kind of option in the same underlying, and no further than its quantity."""
    sold = leg("CE", "SELL", strike=24_000)
    assert sum_of([sold, bought]).span == sum_of([sold]).span * share


def test_opposite_risks_are_not_added_up() -> None:
    """Of a strangle one side loses at a time; of two sold calls both."""
    call, put, further = (
        leg("CE", "SELL", strike=24_500),
        leg("PE", "SELL", strike=23_500),
        leg("CE", "SELL", strike=25_000),
    )
    assert sum_of([call, put]).span == max(sum_of([call]).span, sum_of([put]).span)
    assert sum_of([call, further]).span == sum_of([call]).span + sum_of([further]).span
    future = leg("FUT", "BUY")
    assert sum_of([future, call]).span == max(sum_of([future]).span, sum_of([call]).span)


def test_a_basket_adds_what_it_is_more_than_before() -> None:
    """Never less than nothing."""
    before, after = MarginSum(span=Decimal(5), var=Decimal(3)), MarginSum(span=Decimal(4), var=Decimal(10))
    assert after.added_to(before) == MarginSum(var=Decimal(7))
