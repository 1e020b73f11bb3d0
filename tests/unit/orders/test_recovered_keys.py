"""What a repeated key means after a loss of the database, by what the book has under its tags."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.broker.orders import OrderRequest, OrderType, Product, TransactionType, Variety
from app.orders.entry.recovered_keys import (
    FoundOrder,
    KeyMeaning,
    Match,
    Meaning,
    Wanted,
    compare,
    exits_after,
    meaning_of,
    origins_of,
)
from app.orders.recovery.adoption import adopt
from app.orders.risk.exits import PositionFilter
from app.orders.state.known_orders import known_order
from app.orders.state.model import KnownOrder
from app.orders.state.new_tasks import OrderLine
from app.orders.state.tags import ClientKey, TagOrigin
from tests.order_requests import order
from tests.unit.orders.builders import NOW, TAG_BASE, row, task

KEY = ClientKey(principal="t", idem_key="k" * 16)
ORDER = TagOrigin(account_id="primary", key=KEY)
LEG = replace(ORDER, kind="leg")


def shown(request: OrderRequest | None = None, **changes: Any) -> KnownOrder:
    return known_order(row(request, **changes), account_id="primary", trade_date=NOW.date(), task_id=None)


def found(origin: TagOrigin = ORDER, *orders: KnownOrder) -> FoundOrder:
    return FoundOrder(origin=origin, task=task(purpose="recovered"), orders=orders or (shown(),))


def single(request: OrderRequest | None = None, *, replaces: str | None = None) -> Wanted:
    return Wanted(account_id="primary", lines=[OrderLine(request=request or order())], replaces=replaces)


BATCH = Wanted(account_id="primary", lines=[OrderLine(request=order()), OrderLine(request=order())], is_batch=True)


def meaning(
    wanted: Wanted,
    *orders: FoundOrder,
    recovering: bool = True,
    without_tag: tuple[KnownOrder, ...] = (),
    unexplained: tuple[str, ...] = (),
) -> KeyMeaning:
    return meaning_of(wanted, orders, recovering=recovering, without_tag=without_tag, unexplained=unexplained)


@pytest.mark.parametrize(
    ("request_", "rows", "match"),
    [
        (order(), [shown()], Match.SAME),
        (order(), [shown(tradingsymbol="TCS")], Match.OTHER),
        (order(), [shown(transaction_type="SELL")], Match.OTHER),
        (order(), [shown(product="CNC")], Match.OTHER),
        (order(), [shown(quantity=11)], Match.CONTRADICTS),
        (order(), [shown(quantity=9)], Match.CONTRADICTS),
        (order(), [shown(price=Decimal(1401))], Match.CONTRADICTS),
        (order(), [shown(order_type="SL")], Match.CONTRADICTS),
        (order(), [shown(variety="amo")], Match.CONTRADICTS),
        (order(), [shown(price=Decimal(1401), quantity=4, raw={"modified": True})], Match.SAME),
        (order(), [shown(tradingsymbol="TCS", raw={"modified": True})], Match.OTHER),
        (order(order_type=OrderType.MARKET, price=None), [shown(order_type="LIMIT", price=Decimal(1575))], Match.SAME),
        (order(order_type=OrderType.MARKET, price=None), [shown(order_type="SL")], Match.CONTRADICTS),
        (order(autoslice=True), [shown(quantity=4), shown(quantity=6)], Match.SAME),
        (order(autoslice=True), [shown(quantity=4)], Match.INCOMPLETE),
        (order(autoslice=True), [shown(quantity=4), shown(quantity=7)], Match.CONTRADICTS),
        (order(), [], Match.OTHER),
    ],
)
def test_rows_compare_with_a_request(request_: OrderRequest, rows: list[KnownOrder], match: Match) -> None:
    """Market protection and a modification explain price, quantity and type; nothing explains instrument or side."""
    assert compare(request_, rows) is match


@pytest.mark.parametrize(
    ("wanted", "orders", "expected"),
    [
        (single(), [found()], Meaning.FOUND),
        (single(), [found(ORDER, shown(product="CNC"))], Meaning.OTHER),
        (single(), [found(ORDER, shown(quantity=11))], Meaning.CONTRADICTED),
        (single(), [found(LEG)], Meaning.OTHER),
        (single(), [found(ORDER.follow_up("replace"))], Meaning.OTHER),
        (single(replaces="7"), [found(ORDER.follow_up("replace"))], Meaning.FOUND),
        (single(replaces="7"), [found()], Meaning.OTHER),
        (single(), [found(ORDER.follow_up("requeue", generation=1))], Meaning.FOUND),
        (single(), [found(replace(ORDER, account_id="second"))], Meaning.OTHER),
        (single(), [], Meaning.WAIT),
        (BATCH, [found(LEG), found(replace(LEG, leg=1))], Meaning.FOUND),
        (BATCH, [found(LEG)], Meaning.WAIT),
        (BATCH, [found()], Meaning.OTHER),
        (BATCH, [found(LEG), found(replace(LEG, leg=2))], Meaning.OTHER),
        (BATCH, [found(LEG, shown(quantity=11))], Meaning.CONTRADICTED),
        (BATCH, [], Meaning.WAIT),
        (single(order(autoslice=True)), [found(ORDER, shown(quantity=4))], Meaning.WAIT),
    ],
)
def test_a_key_means_while_the_account_recovers(wanted: Wanted, orders: list[FoundOrder], expected: Meaning) -> None:
    """What was found is the answer at once; what was not found may still show."""
    assert meaning(wanted, *orders).meaning is expected


@pytest.mark.parametrize(
    ("wanted", "orders", "expected"),
    [
        (single(), [], Meaning.FREE),
        (BATCH, [], Meaning.FREE),
        (BATCH, [found(LEG)], Meaning.BROKEN),
        (single(order(autoslice=True)), [found(ORDER, shown(quantity=4))], Meaning.CONTRADICTED),
        (single(), [found()], Meaning.FOUND),
    ],
)
def test_a_key_means_after_the_recovery(wanted: Wanted, orders: list[FoundOrder], expected: Meaning) -> None:
    """The whole window has shown nothing more: a key without an order is free, a part of a batch is all there is."""
    assert meaning(wanted, *orders, recovering=False).meaning is expected


def test_the_requests_own_order_counts_before_its_repetition() -> None:
    """Both were placed: the answer is the order that the client asked for first."""
    again = found(ORDER.follow_up("requeue", generation=1), shown(order_id="2"))
    answer = meaning(single(), again, found())
    assert answer.orders is not None
    assert answer.orders[0].origin == ORDER


def test_an_order_without_a_tag_that_fits_blocks_its_key() -> None:
    """Books have shown rows without their tags. One that fits no missing leg blocks nothing."""
    lost_tag, another = shown(tag=None), shown(tag=None, quantity=11)
    assert meaning(single(), recovering=False, without_tag=(lost_tag,)).meaning is Meaning.BLOCKED
    assert meaning(single(), recovering=False, without_tag=(another,)).meaning is Meaning.FREE
    assert meaning(BATCH, found(LEG), recovering=False, without_tag=(lost_tag,)).meaning is Meaning.BLOCKED
    complete = (found(LEG), found(replace(LEG, leg=1)))
    assert meaning(BATCH, *complete, recovering=False, without_tag=(lost_tag,)).meaning is Meaning.FOUND


def test_an_order_under_the_tag_that_no_request_explains_is_never_doubled() -> None:
    assert meaning(single(), unexplained=("7",), recovering=False).meaning is Meaning.CONTRADICTED


def test_every_order_that_a_key_may_have_placed_is_looked_for() -> None:
    """Single, replacement, twenty legs with the exits of each, and three repetitions of each by an operator."""
    origins = origins_of(KEY, account_ids=["primary", "second"])
    assert len(origins) == len(set(origins)) == 2 * (2 + 20 + 3 * 21)
    assert ORDER in origins
    exits = exits_after(origins)
    assert len(exits) == len(set(exits)) == 2 * 20 * 40
    assert replace(LEG, leg=19, purpose="square_off") in exits
    assert replace(LEG, leg=19, purpose="square_off", generation=39) in exits
    assert exits_after([ORDER, ORDER.follow_up("requeue", generation=1)]) == []
    assert exits_after([replace(LEG, leg=3).follow_up("requeue", generation=1)])[0].leg == 3


def test_every_exit_that_closes_a_position_is_looked_for() -> None:
    assert replace(LEG, leg=499) in origins_of(KEY, account_ids=["primary"], closes=True)


CLOSE = Wanted(account_id="primary", closes=PositionFilter(account_id="primary", tradingsymbol="INFY"), is_batch=True)


@pytest.mark.parametrize(
    ("orders", "recovering", "expected"),
    [
        ([], True, Meaning.WAIT),
        ([], False, Meaning.FREE),
        ([found(LEG)], True, Meaning.WAIT),
        ([found(LEG)], False, Meaning.BROKEN),
        ([found(replace(LEG, leg=25))], False, Meaning.BROKEN),
        ([found(LEG, shown(tradingsymbol="TCS"))], True, Meaning.OTHER),
        ([found(LEG), found(replace(LEG, leg=1), shown(tradingsymbol="TCS"))], False, Meaning.OTHER),
        ([found()], False, Meaning.OTHER),
        ([found(replace(LEG, account_id="second"))], False, Meaning.OTHER),
    ],
)
def test_a_key_of_a_close_means_the_exits_that_were_found(
    orders: list[FoundOrder], recovering: bool, expected: Meaning
) -> None:
    """How many there were is not known, so the answer waits for the end of the window."""
    assert meaning(CLOSE, *orders, recovering=recovering).meaning is expected


def test_an_order_without_a_tag_in_a_closed_instrument_blocks_the_key_of_a_close() -> None:
    lost_tag, another = shown(tag=None, quantity=3), shown(tag=None, tradingsymbol="TCS")
    assert meaning(CLOSE, recovering=False, without_tag=(lost_tag,)).meaning is Meaning.BLOCKED
    assert meaning(CLOSE, recovering=False, without_tag=(another,)).meaning is Meaning.FREE


def test_slices_under_one_tag_are_one_request() -> None:
    """Their quantities add up, each is a child, and the highest attempt counts."""
    rows = [row(order_id="2", quantity=4, tag=TAG_BASE + "1"), row(order_id="1", quantity=6, tag=TAG_BASE + "1")]
    adopted = adopt(TAG_BASE, rows, trade_date=NOW.date())
    assert adopted is not None
    assert (adopted.request.quantity, adopted.request.autoslice, adopted.attempts) == (10, True, 1)
    assert [child.order_id for child in adopted.children] == ["1", "2"]


def test_the_second_leg_of_a_cover_order_adds_nothing() -> None:
    """It is on the other side, and its parent is the order that was asked for."""
    first = row(order_id="1", product="CO", variety=Variety.CO, tag=TAG_BASE + "2")
    stop = replace(first, order_id="2", parent_order_id="1", transaction_type="SELL", order_type="SL")
    adopted = adopt(TAG_BASE, [stop, first], trade_date=NOW.date())
    assert adopted is not None
    assert (adopted.request.quantity, adopted.request.transaction_type) == (10, TransactionType.BUY)
    assert (adopted.request.product, adopted.attempts) == (Product.MIS, 2)


def test_a_row_that_is_no_order_of_ours_is_not_adopted() -> None:
    """An exchange that this service does not know: an operator must look at it."""
    assert adopt(TAG_BASE, [row(exchange="NSEIX")], trade_date=NOW.date()) is None
    assert adopt(TAG_BASE, [row(tag=TAG_BASE + "0")], trade_date=NOW.date()) is None
