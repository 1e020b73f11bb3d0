"""What an account may ask for: each limit by itself, and what no combination may let through."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import OrderRequest, OrderType, TransactionType
from app.config import Settings
from app.orders.risk.limits import (
    Candidate,
    RiskLimits,
    Stored,
    breaches_of,
    count_breaches,
    identity_of,
    worst_price,
)
from app.orders.state.last_prices import LastPrice
from tests.order_requests import order

LAST = Decimal(1500)
ALL = RiskLimits(
    max_order_value=Decimal(100_000),
    max_quantity=50,
    price_band_percent=Decimal(5),
    max_identical=3,
    max_open_orders=10,
)
MARKET: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None}


def codes(request: OrderRequest, limits: RiskLimits = ALL, *, age_s: float | None = 1.0, units: int = 1) -> list[str]:
    last = None if age_s is None else LastPrice(price=LAST, age_s=age_s)
    return [one.code for one in breaches_of(Candidate(request=request, units=units, last=last), limits)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"price": Decimal(1500)}, []),
        ({"price": Decimal(1575)}, []),  # exactly at the band's edge
        ({"price": Decimal("1575.05")}, ["PRICE_BAND"]),
        ({"price": Decimal(1425)}, []),
        ({"price": Decimal("1424.95")}, ["PRICE_BAND"]),
        ({"price": Decimal(15)}, ["PRICE_BAND"]),  # the decimal point slipped
        ({"quantity": 51, "price": Decimal(1500)}, ["QUANTITY_LIMIT"]),
        ({"quantity": 50, "price": Decimal(1500)}, []),
        ({"quantity": 70, "price": Decimal(1500)}, ["QUANTITY_LIMIT", "ORDER_VALUE_LIMIT"]),
        ({**MARKET, "quantity": 50}, []),  # 75,000 at the last price
        ({**MARKET, "quantity": 67}, ["QUANTITY_LIMIT", "ORDER_VALUE_LIMIT"]),
        ({"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(3000), "quantity": 40},
         ["ORDER_VALUE_LIMIT"]),  # the trigger is above the market
    ],
)  # fmt: skip
def test_an_order_is_held_against_each_limit(changes: dict[str, Any], found: list[str]) -> None:
    """Every breach is named, in a stable order."""
    assert codes(order(**changes)) == found


def test_quantities_that_are_lots_are_counted_in_pieces() -> None:
    """Ten lots of ten pieces are a hundred pieces."""
    assert codes(order(price=Decimal(1500))) == []
    assert codes(order(price=Decimal(1500)), units=10) == ["ORDER_VALUE_LIMIT"]


def test_a_sale_is_worth_what_the_market_gives_if_that_is_more() -> None:
    """A sale at 1 fetches the market's price; a purchase at 1 costs 1."""
    assert worst_price(order(price=Decimal(1)), LAST) == 1
    assert worst_price(order(price=Decimal(1), transaction_type=TransactionType.SELL), LAST) == LAST
    assert worst_price(order(**MARKET), None) is None


@pytest.mark.parametrize("age_s", [None, 5.1, 3600.0])
def test_an_old_price_says_nothing_unless_it_must(age_s: float | None) -> None:
    """Without a fresh price the band is not checked, or, where the setting demands it, the order is refused."""
    far = order(price=Decimal(15))
    assert codes(far, age_s=age_s) == []
    demanding = RiskLimits(price_band_percent=Decimal(5), stale_price="refuse")
    assert codes(far, demanding, age_s=age_s) == ["STALE_PRICE"]
    assert codes(order(**MARKET), demanding, age_s=age_s) == []  # nothing that needs it is limited
    by_value = RiskLimits(max_order_value=Decimal(1), stale_price="refuse")
    assert codes(order(**MARKET), by_value, age_s=age_s) == ["STALE_PRICE"]


def test_a_limit_that_is_off_stops_nothing() -> None:
    """Without limits everything passes."""
    assert codes(order(quantity=10**9), RiskLimits(), age_s=None) == []
    stored = Stored(open_orders=10**6, identical={identity_of(order()): 10**6})
    assert list(count_breaches([order()], stored, RiskLimits())) == []


def test_the_fourth_identical_order_is_a_suspect() -> None:
    """Three pass; another price, side, quantity or instrument is another order."""
    for before, found in ((0, []), (2, []), (3, ["DUPLICATE_SUSPECT"])):
        stored = Stored(identical={identity_of(order()): before})
        assert [one.code for one in count_breaches([order()], stored, ALL)] == found
    stored = Stored(identical={identity_of(order()): 3})
    for other in (order(price=Decimal(1401)), order(quantity=9), order(tradingsymbol="TCS"),
                  order(transaction_type=TransactionType.SELL), order(**MARKET)):  # fmt: skip
        assert list(count_breaches([other], stored, ALL)) == []


def test_a_price_is_the_same_however_it_is_written() -> None:
    """1400, 1400.0 and 1.4E+3 are one price; no price is none of them."""
    same = {identity_of(order(price=Decimal(text))) for text in ("1400", "1400.0", "1.4E+3")}
    assert same == {("NSE:INFY", "BUY", 10, "1400")}
    assert identity_of(order(**MARKET))[3] is None


def test_the_equal_legs_of_one_batch_are_no_suspects() -> None:
    """Twenty equal legs are one request; the open orders count each."""
    assert list(count_breaches([order()] * 10, Stored(identical={}), ALL)) == []
    assert [one.code for one in count_breaches([order()] * 11, Stored(identical={}), ALL)] == ["OPEN_ORDER_LIMIT"]
    assert [one.code for one in count_breaches([order()], Stored(open_orders=10, identical={}), ALL)] == [
        "OPEN_ORDER_LIMIT"
    ]


@given(
    quantity=st.integers(45, 55),
    units=st.integers(1, 2),
    last=st.decimals("900", "2200", places=2),
    distance=st.decimals("-7", "7", places=2),
    side=st.sampled_from(list(TransactionType)),
)
def test_an_order_passes_exactly_when_it_is_within_every_limit(
    quantity: int, units: int, last: Decimal, distance: Decimal, side: TransactionType
) -> None:
    """Quantity, value and band by plain arithmetic; all are drawn near the limits, on both sides of them."""
    price = (last * (100 + distance) / 100).quantize(Decimal("0.05"))
    request = order(quantity=quantity, price=price, transaction_type=side)
    candidate = Candidate(request=request, units=units, last=LastPrice(price=last, age_s=0))
    worst = price if side is TransactionType.BUY else max(price, last)
    within = quantity <= 50 and worst * quantity * units <= 100_000 and abs(price - last) <= last * 5 / 100
    assert (not list(breaches_of(candidate, ALL))) is within


def test_limits_are_met_exactly_and_not_exceeded() -> None:
    """At the limit an order passes, a step above it does not."""
    assert codes(order(quantity=50, price=Decimal(1500))) == []
    value = RiskLimits(max_order_value=Decimal(15_000))
    assert codes(order(price=Decimal(1500)), value) == []
    assert codes(order(price=Decimal("1500.05")), value) == ["ORDER_VALUE_LIMIT"]
    assert codes(order(**MARKET), value) == []  # ten at the last price
    assert codes(order(**MARKET, quantity=11), value) == ["ORDER_VALUE_LIMIT"]
    fresh = RiskLimits(price_band_percent=Decimal(5), price_max_age_s=5.0)
    assert codes(order(price=Decimal(15)), fresh, age_s=5.0) == ["PRICE_BAND"]


def test_limits_hold_at_the_real_broker_without_being_set() -> None:
    """At a simulator nothing is in force unless it is set; 0 turns a default off."""
    live = RiskLimits.from_settings(Settings())
    assert (live.max_order_value, live.max_identical, live.max_open_orders) == (Decimal(1_000_000), 3, 200)
    assert (live.max_quantity, live.price_band_percent) == (None, None)
    sim = {"kite_rest_url": "http://127.0.0.1:9100", "kite_ws_url": "ws://127.0.0.1:9100"}
    assert RiskLimits.from_settings(Settings.model_validate(sim)) == RiskLimits()
    chosen = RiskLimits.from_settings(Settings.model_validate({**sim, "risk_max_order_value": "5000"}))
    assert chosen.max_order_value == 5000
    assert RiskLimits.from_settings(Settings(risk_max_identical_orders=0)).max_identical is None


def test_an_account_may_have_limits_of_its_own() -> None:
    """They go before the settings of all, which hold for the rest; 0 is off here too."""
    settings = Settings(risk_max_order_value=Decimal(5_000), risk_max_quantity=10)
    own = RiskLimits.from_settings(settings, own={"risk_max_order_value": Decimal(100), "risk_max_open_orders": 0})
    assert (own.max_order_value, own.max_quantity, own.max_open_orders) == (Decimal(100), 10, None)
