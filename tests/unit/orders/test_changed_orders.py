"""Which limits a modification may exceed: those that it makes worse, at the worst that the order may be."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import OrderChanges, OrderType, TransactionType
from app.orders.risk.changed_orders import ChangedOrder, after_change, before_change
from app.orders.risk.limits import Candidate, RiskLimits, change_breaches
from app.orders.state.last_prices import LastPrice
from app.orders.state.order_terms import OrderTerms
from tests.order_requests import order

LIMITS = RiskLimits(max_order_value=Decimal(20_000), max_quantity=12, price_band_percent=Decimal(5))
STALE = RiskLimits(max_order_value=Decimal(20_000), price_band_percent=Decimal(5), stale_price="refuse")
STOP: dict[str, Any] = {"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1550)}
SALE = {"transaction_type": TransactionType.SELL}


def codes(
    changes: dict[str, Any],
    *,
    placed: dict[str, Any] | None = None,
    unproven: Sequence[OrderChanges] = (),
    limits: RiskLimits = LIMITS,
    last: int | None = 1500,
) -> list[str]:
    request = order(**{"price": Decimal(1450), **(placed or {})})
    changed = ChangedOrder(
        transaction_type=request.transaction_type, terms=OrderTerms.of_request(request), unproven=unproven
    )
    price = None if last is None else LastPrice(price=Decimal(last), age_s=1.0)
    before = Candidate(request=before_change(changed), last=price)
    after = Candidate(request=after_change(changed, OrderChanges(**changes)), last=price)
    return [breach.code for breach in change_breaches(before, after, limits)]


MORE = OrderChanges(quantity=13)
HIGHER = OrderChanges(price=Decimal(1570))
AT_MARKET = OrderChanges(order_type=OrderType.MARKET)


@pytest.mark.parametrize(
    ("changes", "more", "found"),
    [
        ({"quantity": 12}, {}, []),
        ({"quantity": 13}, {}, ["QUANTITY_LIMIT"]),
        ({"quantity": 14}, {}, ["QUANTITY_LIMIT", "ORDER_VALUE_LIMIT"]),
        ({"price": Decimal(1575)}, {}, []),
        ({"price": Decimal(1576)}, {}, ["PRICE_BAND"]),
        ({"price": Decimal(2001)}, {}, ["PRICE_BAND", "ORDER_VALUE_LIMIT"]),
        ({"price": Decimal(14)}, {}, ["PRICE_BAND"]),
        ({"order_type": OrderType.MARKET}, {"last": 2001}, ["ORDER_VALUE_LIMIT"]),
        ({"trigger_price": Decimal(2001)}, {"placed": STOP}, ["ORDER_VALUE_LIMIT"]),
        ({"order_type": OrderType.LIMIT, "price": Decimal(1576)}, {"placed": STOP}, ["PRICE_BAND"]),
        ({"validity": "IOC"}, {"last": 1000}, []),
        # an order that is above a limit already
        ({"quantity": 19}, {"placed": {"quantity": 20}}, []),
        ({"quantity": 21}, {"placed": {"quantity": 20}}, ["QUANTITY_LIMIT", "ORDER_VALUE_LIMIT"]),
        ({"price": Decimal(1430)}, {"placed": {"quantity": 20}}, []),
        ({"price": Decimal(1460)}, {"placed": {"quantity": 20}}, ["ORDER_VALUE_LIMIT"]),
        ({"price": Decimal(1450), "quantity": 9}, {"last": 1000}, []),
        # a sale is worth what the market gives
        ({"price": Decimal(1940)}, {"placed": SALE, "last": 1900}, []),
        ({"quantity": 11}, {"placed": SALE, "last": 1900}, ["ORDER_VALUE_LIMIT"]),
        # what an earlier modification may have made of it
        ({"price": Decimal(1560)}, {"unproven": [MORE]}, ["ORDER_VALUE_LIMIT"]),
        ({"price": Decimal(1440)}, {"unproven": [MORE]}, []),
        ({"price": Decimal(1560), "quantity": 12}, {"unproven": [MORE]}, []),
        ({"quantity": 13}, {"unproven": [HIGHER]}, ["QUANTITY_LIMIT", "ORDER_VALUE_LIMIT"]),
        ({"quantity": 12}, {"unproven": [AT_MARKET], "last": 1900}, ["ORDER_VALUE_LIMIT"]),
        ({"quantity": 12, "order_type": OrderType.LIMIT}, {"unproven": [AT_MARKET], "last": 1500}, []),
        # without a fresh price, where one is demanded
        ({"price": Decimal(1460)}, {"limits": STALE, "last": None}, ["STALE_PRICE"]),
        ({"quantity": 9}, {"limits": STALE, "last": None}, []),
        ({"order_type": OrderType.MARKET}, {"limits": STALE, "last": None}, ["STALE_PRICE"]),
        ({"trigger_price": Decimal(1500)}, {"limits": STALE, "last": None, "placed": {**STOP, **SALE}}, []),
    ],
)  # fmt: skip
def test_a_modification_is_held_against_what_it_makes_worse(
    changes: dict[str, Any], more: dict[str, Any], found: list[str]
) -> None:
    """Ten at 1450, the last price 1500: the limits are 12 pieces, 20,000 rupees, 5 per cent."""
    assert codes(changes, **more) == found


@given(
    st.integers(1, 40), st.sampled_from([*TransactionType]), st.sampled_from([1300, 1450, 1600]),
    st.sampled_from([None, 1300, 1500, 2500]), st.integers(0, 39),
)  # fmt: skip
def test_an_order_can_always_be_made_smaller(
    quantity: int, side: TransactionType, price: int, last: int | None, less: int
) -> None:
    """Whatever its limits are by now, and whether a price is known."""
    placed = {"quantity": quantity, "transaction_type": side, "price": Decimal(price)}
    smaller = {"quantity": max(1, quantity - less)}
    for limits in (LIMITS, STALE):
        assert codes(smaller, placed=placed, last=last, limits=limits) == []
