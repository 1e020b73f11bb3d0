"""Which day an order of a read belongs to, around midnight and around the hour at which the book turns."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import Trade
from app.kit.clock import IST, trade_date_of
from app.orders.state.model import OrderState
from app.orders.state.trading_days import (
    book_began,
    book_day,
    day_of_order,
    day_of_trade,
    is_same_order,
    last_gone_day,
)
from tests.unit.orders.builders import known, row

MONDAY, TUESDAY = date(2026, 7, 6), date(2026, 7, 7)
moments = st.integers(0, 3 * 24 * 60).map(lambda minutes: datetime(2026, 7, 6, tzinfo=IST) + timedelta(minutes=minutes))


def at(text: str) -> datetime:
    """``6 20:00``: day of July and time, IST."""
    return datetime.strptime(f"2026-07-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("now", "book", "began"),
    [
        ("7 00:00", MONDAY, "7 00:00"),  # Monday's book may still be shown, and may be emptied at any moment
        ("7 05:59", MONDAY, "7 00:00"),
        ("7 06:00", TUESDAY, "7 06:00"),
        ("7 23:59", TUESDAY, "7 06:00"),
    ],
)
def test_the_day_of_the_book_begins_at_six(now: str, book: date, began: str) -> None:
    """Until then the broker may show either day's, and only what was placed since midnight is sure to be in it."""
    assert book_day(at(now)) == book
    assert last_gone_day(at(now)) == book - timedelta(days=1)
    assert book_began(at(now)) == at(began)


@pytest.mark.parametrize(
    ("kept", "status", "written", "now", "day"),
    [
        # first seen: under the day on which it last did something
        (None, "COMPLETE", "6 15:00", "6 15:01", MONDAY),
        (None, "COMPLETE", "6 15:00", "7 00:30", MONDAY),
        (None, "AMO REQ RECEIVED", "6 20:00", "7 00:30", MONDAY),
        (None, "AMO REQ RECEIVED", "6 20:00", "7 09:00", TUESDAY),
        (None, "AMO REQ RECEIVED", "7 00:10", "7 00:30", TUESDAY),
        (None, "OPEN", None, "7 10:00", TUESDAY),  # a row without any time
        # seen before: an end stays where it is, what is live moves on with the book
        (OrderState.COMPLETED, "COMPLETE", "6 15:00", "7 00:30", MONDAY),
        (OrderState.OPEN, "CANCELLED", "6 15:30", "7 00:30", MONDAY),
        (OrderState.OPEN, "AMO REQ RECEIVED", "6 20:00", "7 00:30", MONDAY),
        (OrderState.OPEN, "AMO REQ RECEIVED", "6 20:00", "7 06:30", TUESDAY),
        (OrderState.OPEN, "OPEN", "7 09:00", "7 09:15", TUESDAY),
        (OrderState.OPEN, "COMPLETE", "7 09:00", "7 09:15", TUESDAY),
    ],
)
def test_the_day_of_an_order(kept: OrderState | None, status: str, written: str | None, now: str, day: date) -> None:
    """One row an order, under the day that an operator would look for it."""
    before = None if kept is None else known(state=kept, trade_date=MONDAY)
    shown = row(status=status, order_timestamp=None if written is None else at(written))
    assert day_of_order(shown, known=before, now=at(now)) == day


@given(
    now=moments,
    written=moments,
    kept=st.sampled_from([None, MONDAY, TUESDAY]),
    status=st.sampled_from(["OPEN", "COMPLETE"]),
)
def test_an_order_never_moves_back_and_never_ahead(
    now: datetime, written: datetime, kept: date | None, status: str
) -> None:
    """Whatever the row says of its time."""
    before = None if kept is None else known(trade_date=min(kept, trade_date_of(now)))
    day = day_of_order(row(status=status, order_timestamp=written), known=before, now=now)
    assert (before.trade_date if before else date.min) <= day <= trade_date_of(now)


def test_another_order_may_come_under_an_old_id() -> None:
    """Ids are unique within a day: another instrument or side, or a time after the old one's end, is another order."""
    wanted = {"exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY"}
    live, ended = known(document=wanted), known(document=wanted, state=OrderState.COMPLETED)
    assert is_same_order(live, row(order_timestamp=at("7 09:15")))
    assert is_same_order(ended, row(order_timestamp=at("6 15:00")))
    assert is_same_order(ended, row(order_timestamp=None))
    assert not is_same_order(ended, row(order_timestamp=at("7 09:15")))
    assert not is_same_order(live, row(tradingsymbol="TCS"))
    assert not is_same_order(live, row(transaction_type="SELL"))


def test_the_day_of_a_fill_is_its_own() -> None:
    """From its row where that says it, and never one to come."""

    def trade(moment: datetime | None) -> Trade:
        return Trade(
            trade_id="1", order_id="7", exchange="NSE", tradingsymbol="INFY", transaction_type="BUY", product="MIS",
            quantity=1, average_price=row().price, exchange_timestamp=moment,
        )  # fmt: skip

    assert day_of_trade(trade(at("6 15:00")), today=TUESDAY) == MONDAY
    assert day_of_trade(trade(at("8 15:00")), today=TUESDAY) == TUESDAY
    assert day_of_trade(trade(None), today=TUESDAY) == TUESDAY
