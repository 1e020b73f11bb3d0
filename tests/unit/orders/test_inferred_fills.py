"""When fills are inferred, how many and at which price, and how they give way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.orders.reconciliation.inferred_fills import PRICE_STEP, as_trade, inferred_fill, is_overdue
from app.orders.state.fills import FilledOrder, InferredFill
from app.orders.state.model import OrderState
from tests.unit.orders.test_trading_days import MONDAY, TUESDAY, at

GRACE_S = 60.0
AFTER_GRACE = at("6 15:01")
BOOKED = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "product": "MIS", "instrument_token": 408065,
    "exchange_order_id": "11",
}  # fmt: skip


def filled(**changes: Any) -> FilledOrder:
    """Order 7: ten filled at 1500 on Monday, complete since three in the afternoon, and no fill reported."""
    fields: dict[str, Any] = {
        "account_id": "primary",
        "trade_date": MONDAY,
        "order_id": "7",
        "state": OrderState.COMPLETED,
        "filled_quantity": 10,
        "average_price": Decimal(1500),
        "shown_at": at("6 15:00"),
        **BOOKED,
    }
    return FilledOrder(**{**fields, **changes})


def reported(quantity: int, price: str) -> dict[str, Any]:
    return {"reported_quantity": quantity, "reported_value": quantity * Decimal(price)}


def stands_for(quantity: int, price: str) -> InferredFill:
    return InferredFill(quantity=quantity, average_price=Decimal(price))


def infer(order: FilledOrder, *, read_at: datetime = AFTER_GRACE, clean: bool = True) -> InferredFill | None:
    return inferred_fill(order, read_at=read_at, grace_s=GRACE_S, clean=clean)


@pytest.mark.parametrize(
    ("changes", "fill"),
    [
        ({}, stands_for(10, "1500")),
        ({"state": OrderState.CANCELLED, "filled_quantity": 4}, stands_for(4, "1500")),
        ({"state": OrderState.REJECTED, "filled_quantity": 4}, stands_for(4, "1500")),
        (reported(4, "1500"), stands_for(6, "1500")),
        (reported(4, "1497"), stands_for(6, "1502")),  # the average of all ten is the order's
        (reported(3, "1499.95"), stands_for(7, "1500.0214")),  # 1500.02142857...
        ({"average_price": Decimal("1499.9333333333334")}, stands_for(10, "1499.9333333333334")),  # nothing to work out
        (
            reported(9, "1700"),
            stands_for(1, "0"),
        ),  # reported fills are worth more than the whole: no price is below zero
        ({"average_price": Decimal(0)}, stands_for(10, "0")),
        # nothing is missing
        (reported(10, "1500"), None),
        (reported(12, "1500"), None),  # the order book is behind the trade book
        ({"state": OrderState.CANCELLED, "filled_quantity": 0}, None),
        # more may still come
        ({"state": OrderState.PARTIALLY_FILLED, "filled_quantity": 4}, None),
        # an inferred fill shrinks, goes, and never comes from elsewhere than the order's own figures
        ({**reported(4, "1500"), "inferred": stands_for(10, "1500")}, stands_for(6, "1500")),
        ({**reported(10, "1500"), "inferred": stands_for(10, "1500")}, None),
        ({"inferred": stands_for(10, "1500")}, stands_for(10, "1500")),
    ],
)
def test_the_inferred_fill_stands_for_the_missing_ones(changes: dict[str, Any], fill: InferredFill | None) -> None:
    """The missing quantity, at the price that makes the average the order's own."""
    assert infer(filled(**changes)) == fill


@pytest.mark.parametrize(
    ("changes", "read_at", "overdue"),
    [
        ({}, "6 15:01", True),
        ({}, "6 15:00", False),  # within the grace
        ({}, "6 23:59", True),
        # Monday's trade book may be emptied at any moment of the night, and is gone by six
        ({}, "7 00:00", False),
        ({}, "7 05:59", False),
        ({}, "7 09:15", False),
        # an end that is first seen in the night, of the day before or of the new one
        ({"shown_at": at("7 00:30")}, "7 00:40", False),
        ({"trade_date": TUESDAY, "shown_at": at("7 00:30")}, "7 00:40", True),
        ({"trade_date": TUESDAY, "shown_at": at("7 00:30")}, "7 06:10", False),  # the book has turned since
        ({"trade_date": TUESDAY, "shown_at": at("7 06:05")}, "7 06:10", True),
        (reported(10, "1500"), "6 15:01", False),
    ],
)
def test_fills_are_overdue_after_the_grace_of_their_own_trade_book(
    changes: dict[str, Any], read_at: str, overdue: bool
) -> None:
    """After the grace, while the trade book is sure to be the one that has the order's trades."""
    order = filled(**changes)
    assert is_overdue(order, read_at=at(read_at), grace_s=GRACE_S) is overdue
    assert (infer(order, read_at=at(read_at)) is not None) is overdue


def test_a_read_that_lacks_fills_reported_before_proves_nothing() -> None:
    """Nothing is inferred from it; an inferred fill stays, for what is still missing."""
    assert infer(filled(), clean=False) is None
    stands = filled(**reported(4, "1500"), inferred=stands_for(10, "1500"))
    assert infer(stands, clean=False, read_at=at("7 09:15")) == stands_for(6, "1500")


def test_an_inferred_fill_has_an_id_of_its_own_for_ever() -> None:
    """The same for the same order, another for its namesake of another day or account; no exchange's number."""
    ids = [
        order.inferred_id
        for order in (filled(), filled(trade_date=TUESDAY), filled(account_id="second"), filled(order_id="8"))
    ]
    assert len(set(ids)) == 4
    assert filled(**reported(4, "1500")).inferred_id == ids[0]
    assert all(not one.isalnum() for one in ids)


def test_an_inferred_fill_is_a_trade_without_times() -> None:
    """In the fields of a real one."""
    trade = as_trade(filled(), stands_for(10, "1500"))
    assert (trade.order_id, trade.quantity, trade.average_price) == ("7", 10, Decimal(1500))
    assert (trade.tradingsymbol, trade.transaction_type, trade.product) == ("INFY", "BUY", "MIS")
    assert (trade.fill_timestamp, trade.exchange_timestamp) == (None, None)


fills = st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 10_000_000)), min_size=1, max_size=8)
"""Quantities, and prices in steps of a hundredth."""


@given(made=fills, data=st.data())
def test_the_sums_of_all_fills_are_the_orders(made: list[tuple[int, int]], data: st.DataObject) -> None:
    """Whatever trades the book reports, in any order: quantity exact, average within rounding, never below zero."""
    quantity = sum(count for count, _ in made)
    value = sum(count * Decimal(paise) / 100 for count, paise in made)
    order = filled(filled_quantity=quantity, average_price=Decimal(str(float(value / quantity))))
    read_at, clean = AFTER_GRACE, True
    for count, paise in data.draw(st.permutations(made)):
        fill = infer(order, read_at=read_at, clean=clean)
        assert fill is not None
        assert order.reported_quantity + fill.quantity == quantity
        average = (order.reported_value + fill.quantity * fill.average_price) / quantity
        assert abs(average - order.average_price) <= PRICE_STEP / 2 + Decimal("1e-9")
        assert fill.average_price >= 0
        order = replace(order, inferred=fill)
        assert infer(order) == fill
        order = replace(
            order,
            reported_quantity=order.reported_quantity + count,
            reported_value=order.reported_value + count * Decimal(paise) / 100,
        )
        read_at, clean = read_at + timedelta(hours=data.draw(st.integers(0, 20))), data.draw(st.booleans())
    assert infer(order, read_at=read_at, clean=clean) is None


@given(
    quantity=st.integers(0, 10**9),
    average=st.decimals(0, 10**12, places=8),
    reported_quantity=st.integers(0, 10**9),
    reported_value=st.decimals(0, 10**18, places=4),
    stands=st.none() | st.builds(stands_for, st.integers(1, 100), st.just("1500")),
    state=st.sampled_from(OrderState),
    clean=st.booleans(),
)
def test_an_inferred_fill_never_exceeds_what_was_filled(
    quantity: int, average: Decimal, reported_quantity: int, reported_value: Decimal, stands: InferredFill | None,
    state: OrderState, clean: bool,
) -> None:  # fmt: skip
    """Whatever the broker says: all fills together are at most what it filled, unless it reported more itself."""
    order = filled(
        filled_quantity=quantity, average_price=average, reported_quantity=reported_quantity,
        reported_value=reported_value, inferred=stands, state=state,
    )  # fmt: skip
    fill = infer(order, clean=clean)
    if fill is not None:
        assert fill.quantity > 0
        assert reported_quantity + fill.quantity == quantity
        assert fill.average_price >= 0
        assert infer(replace(order, inferred=fill), clean=clean) == fill
