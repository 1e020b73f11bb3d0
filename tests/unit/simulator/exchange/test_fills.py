"""Which fills an order gets."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.exchange.matching.fills import Fill, is_triggered, match
from simulator.exchange.orders.request import TransactionType
from simulator.market.quote import DepthLevel

ASKS = tuple(
    DepthLevel(price=Decimal(price), quantity=quantity, orders=1)
    for price, quantity in (("100.00", 10), ("100.05", 20), ("100.10", 30), ("0", 0), ("0", 0))
)
EMPTY = (DepthLevel(price=Decimal(0), quantity=0, orders=0),) * 5


def test_a_taker_gets_the_best_prices_first() -> None:
    """15 shares use two levels."""
    fills = match(ASKS, side="BUY", limit=Decimal("100.10"), quantity=15, taken=0, role="taker")
    assert fills == [Fill(Decimal("100.00"), 10), Fill(Decimal("100.05"), 5)]


def test_no_fill_is_beyond_the_limit() -> None:
    """Levels above the limit are not taken."""
    fills = match(ASKS, side="BUY", limit=Decimal("100.05"), quantity=100, taken=0, role="taker")
    assert sum(fill.quantity for fill in fills) == 30


def test_a_maker_is_filled_at_its_own_limit() -> None:
    """The quote came to it: it gets its own price, no better one."""
    fills = match(ASKS, side="BUY", limit=Decimal("100.10"), quantity=25, taken=0, role="maker")
    assert fills == [Fill(Decimal("100.10"), 25)]


def test_taken_quantity_is_not_offered_again() -> None:
    """It is taken from the best price on."""
    fills = match(ASKS, side="BUY", limit=Decimal("100.10"), quantity=100, taken=25, role="taker")
    assert fills == [Fill(Decimal("100.05"), 5), Fill(Decimal("100.10"), 30)]


def test_an_empty_quote_fills_nothing() -> None:
    """A level of quantity 0 and price 0 is no offer, also for a seller with a low limit."""
    assert match(EMPTY, side="BUY", limit=Decimal(1_000), quantity=1, taken=0, role="taker") == []
    assert match(EMPTY, side="SELL", limit=Decimal(0), quantity=1, taken=0, role="taker") == []


@pytest.mark.parametrize(
    ("side", "last", "fires"),
    [("BUY", "100", True), ("BUY", "99.95", False), ("SELL", "100", True), ("SELL", "100.05", False)],
)
def test_a_stop_triggers_when_the_last_price_reaches_it(side: TransactionType, last: str, fires: bool) -> None:
    """A price at the trigger counts."""
    assert is_triggered(Decimal(100), side=side, last_price=Decimal(last)) is fires


@given(
    levels=st.lists(st.tuples(st.integers(1, 500), st.integers(0, 50)), max_size=5, unique_by=lambda level: level[0]),
    limit=st.integers(1, 500),
    quantity=st.integers(1, 200),
    taken=st.integers(0, 300),
)
def test_fills_never_exceed_the_order_the_offer_or_the_limit(
    levels: list[tuple[int, int]], limit: int, quantity: int, taken: int
) -> None:
    """For any quote."""
    book = [DepthLevel(price=Decimal(price), quantity=offered, orders=1) for price, offered in sorted(levels)]
    fills = match(book, side="BUY", limit=Decimal(limit), quantity=quantity, taken=taken, role="taker")
    filled = sum(fill.quantity for fill in fills)
    offered = sum(level.quantity for level in book)
    assert filled <= min(quantity, max(0, offered - taken))
    assert all(fill.quantity > 0 and fill.price <= limit for fill in fills)
    assert [fill.price for fill in fills] == sorted(fill.price for fill in fills)
