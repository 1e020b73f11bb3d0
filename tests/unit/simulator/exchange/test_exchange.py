"""Orders at the exchange: where they come to rest, what fills them, what ends them."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from simulator.errors import KiteError
from simulator.exchange.orders.order_faults import OrderFaults
from simulator.exchange.orders.rows import book_rows, book_rows_at
from simulator.market.market import Market
from tests.unit.simulator.exchange.environment import OTHER_USER, START, USER, Floor, open_floor, order_params

TO_OPEN = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(seed=1, now=START, ticks_per_second=0)


@pytest.fixture
def floor(market: Market) -> Floor:
    return open_floor(market=market)


def test_a_marketable_order_is_filled_at_once_along_the_full_path(floor: Floor) -> None:
    """Every state of the path is in the history; the fill is at the offered price, not at the limit."""
    order = floor.place(price="1505")
    assert floor.statuses(order) == [*TO_OPEN, "COMPLETE"]
    assert (order.filled_quantity, order.average_price) == (10, Decimal(1500))
    assert [push.status for push in floor.pushes] == ["COMPLETE"]


def test_a_limit_away_from_the_market_rests_until_it_is_crossed(floor: Floor) -> None:
    """Then it is filled at its own price."""
    order = floor.place(price="1490")
    assert floor.statuses(order) == TO_OPEN
    floor.freeze("NSE:INFY", "1489")
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1490))


def test_placement_is_not_pushed_but_resting_is_told_to_sockets(floor: Floor) -> None:
    """Kite posts nothing back for a plain placement."""
    floor.place(price="1490")
    assert [(push.status, push.audience) for push in floor.pushes] == [("OPEN", "sockets")]


def test_an_order_is_filled_as_far_as_the_crowd_offers(floor: Floor) -> None:
    """The rest stays OPEN, and comes when the crowd offers anew."""
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    order = floor.place()
    assert (order.status, order.filled_quantity, order.pending_quantity) == ("OPEN", 4, 6)
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    assert (order.status, order.filled_quantity) == ("OPEN", 8)
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    assert (order.status, order.filled_quantity) == ("COMPLETE", 10)
    assert [push.status for push in floor.pushes] == ["UPDATE", "UPDATE", "COMPLETE"]
    assert [trade.quantity for trade in order.trades] == [4, 4, 2]


def test_two_orders_share_what_is_offered(floor: Floor) -> None:
    """What the first has taken is not there for the second, whoever sent it."""
    floor.freeze("NSE:INFY", "1500", liquidity=15)
    first, second = floor.place(), floor.place(OTHER_USER)
    assert (first.filled_quantity, second.filled_quantity) == (10, 5)


def test_our_own_trade_does_not_offer_the_quantity_again(floor: Floor) -> None:
    """The market's next step tells of the trade; the crowd's book has not changed by it."""
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    order = floor.place()
    floor.clock.advance(1)
    floor.market.step(floor.clock.now())
    assert order.filled_quantity == 4


def test_an_ioc_order_never_rests(floor: Floor) -> None:
    """The unfilled remainder is cancelled at once."""
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    order = floor.place(validity="IOC")
    assert (order.status, order.filled_quantity, order.cancelled_quantity) == ("CANCELLED", 4, 6)
    assert floor.place(validity="IOC", price="1400").status == "CANCELLED"


def test_a_ttl_order_ends_when_its_minutes_are_over(floor: Floor) -> None:
    """Not before."""
    order = floor.place(price="1490", validity="TTL", validity_ttl=2)
    floor.clock.advance(119)
    floor.exchange.engine.expire(floor.clock.now())
    assert order.status == "OPEN"
    floor.clock.advance(1)
    floor.exchange.engine.expire(floor.clock.now())
    assert order.status == "CANCELLED"


@pytest.mark.parametrize(
    ("side", "trigger", "price", "reached"), [("BUY", "1510", "1515", "1510"), ("SELL", "1490", "1485", "1490")]
)
def test_a_stop_waits_for_its_trigger_then_trades(
    floor: Floor, side: str, trigger: str, price: str, reached: str
) -> None:
    """TRIGGER PENDING, then OPEN, then what a limit order does."""
    order = floor.place(transaction_type=side, order_type="SL", trigger_price=trigger, price=price)
    assert floor.statuses(order) == [*TO_OPEN[:3], "TRIGGER PENDING"]
    floor.freeze("NSE:INFY", reached)
    assert floor.statuses(order)[3:] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert [(push.status, push.audience) for push in floor.pushes] == [
        ("TRIGGER PENDING", "sockets"),
        ("OPEN", "sockets"),
        ("COMPLETE", "everyone"),
    ]


def test_a_protected_stop_market_trades_within_its_band(floor: Floor) -> None:
    """SL-M is booked as SL with the band measured from the trigger."""
    order = floor.place(order_type="SL-M", price=None, trigger_price="1510", market_protection="1")
    assert (order.request.order_type, order.request.price) == ("SL", Decimal("1525.10"))
    floor.freeze("NSE:INFY", "1512")
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1512))


def test_a_price_outside_the_circuit_is_accepted_and_then_rejected(floor: Floor) -> None:
    """The order has an id and stands REJECTED in the book, with the reason and without an exchange id."""
    order = floor.place(price="3000")
    assert floor.statuses(order) == [*TO_OPEN[:3], "REJECTED"]
    assert "circuit limit" in (order.status_message or "")
    assert order.exchange_order_id is None
    assert [push.status for push in floor.pushes] == ["REJECTED"]


def test_cancelling_an_open_order_passes_through_cancel_pending(floor: Floor) -> None:
    """And is told once."""
    order = floor.place(price="1490")
    floor.exchange.cancel(USER, "regular", order.order_id)
    assert floor.statuses(order)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    assert [push.status for push in floor.pushes] == ["OPEN", "CANCELLED"]


@pytest.mark.parametrize(("verb", "word"), [("cancel", "cancelled"), ("modify", "modified")])
def test_a_finished_order_can_neither_be_cancelled_nor_modified(floor: Floor, verb: str, word: str) -> None:
    """400 InputException in Kite's words."""
    order = floor.place()
    acts: dict[str, Callable[[], str]] = {
        "cancel": lambda: floor.exchange.cancel(USER, "regular", order.order_id),
        "modify": lambda: floor.exchange.modify(USER, "regular", order.order_id, {"price": "1501"}),
    }
    with pytest.raises(KiteError) as refused:
        acts[verb]()
    assert str(refused.value) == f"Order cannot be {word} as it is being processed. Try later."
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")


def test_an_order_of_somebody_else_does_not_exist(floor: Floor) -> None:
    """Nor does an unknown id."""
    order = floor.place(price="1490")
    for user_id, order_id in ((OTHER_USER, order.order_id), (USER, "2000000000000000000")):
        with pytest.raises(KiteError, match="Couldn't find that `order_id`") as refused:
            floor.exchange.cancel(user_id, "regular", order_id)
        assert (refused.value.status, refused.value.error_type) == (400, "GeneralException")


def test_a_modified_order_takes_its_new_values_to_the_market(floor: Floor) -> None:
    """A better price fills it; the push says UPDATE before it says COMPLETE."""
    order = floor.place(price="1490")
    floor.exchange.modify(USER, "regular", order.order_id, {"price": "1500", "quantity": "20"})
    assert (order.status, order.filled_quantity, order.request.quantity) == ("COMPLETE", 20, 20)
    assert [push.status for push in floor.pushes] == ["OPEN", "UPDATE", "COMPLETE"]


def test_the_quantity_of_a_modification_is_the_new_total(floor: Floor) -> None:
    """Below what is filled already it is refused."""
    floor.freeze("NSE:INFY", "1500", liquidity=4)
    order = floor.place()
    with pytest.raises(KiteError, match="filled quantity"):
        floor.exchange.modify(USER, "regular", order.order_id, {"quantity": "4"})
    floor.exchange.modify(USER, "regular", order.order_id, {"quantity": "5"})
    assert (order.request.quantity, order.pending_quantity) == (5, 1)


def test_a_bad_modification_is_refused_and_changes_nothing(floor: Floor) -> None:
    """Off the tick."""
    order = floor.place(price="1490")
    with pytest.raises(KiteError, match="Tick size"):
        floor.exchange.modify(USER, "regular", order.order_id, {"price": "1490.01"})
    assert (order.status, order.request.price, order.modifications) == ("OPEN", Decimal(1490), 0)


def test_a_limit_order_becomes_a_market_order_only_with_protection(floor: Floor) -> None:
    """The parameter must be sent again."""
    order = floor.place(price="1490")
    with pytest.raises(KiteError, match="market protection"):
        floor.exchange.modify(USER, "regular", order.order_id, {"order_type": "MARKET"})
    floor.exchange.modify(USER, "regular", order.order_id, {"order_type": "MARKET", "market_protection": "-1"})
    assert order.status == "COMPLETE"


def test_a_stop_modified_to_a_limit_is_open(floor: Floor) -> None:
    """The trigger is gone."""
    order = floor.place(order_type="SL", trigger_price="1510", price="1515")
    floor.exchange.modify(USER, "regular", order.order_id, {"order_type": "LIMIT", "price": "1490"})
    assert (order.status, order.request.trigger_price) == ("OPEN", Decimal(0))


def test_a_triggered_stop_is_modified_as_the_limit_order_that_it_is(floor: Floor) -> None:
    """Its trigger price is on the wrong side of the market by then and must not be checked again."""
    order = floor.place(order_type="SL", trigger_price="1510", price="1515")
    floor.freeze("NSE:INFY", "1520")
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    floor.exchange.modify(USER, "regular", order.order_id, {"price": "1520"})
    assert order.status == "COMPLETE"


def test_the_twenty_sixth_modification_is_refused(floor: Floor) -> None:
    """NetworkException 429, which will never go away."""
    order = floor.place(price="1490")
    for step in range(25):
        floor.exchange.modify(USER, "regular", order.order_id, {"price": str(1450 + step)})
    with pytest.raises(KiteError) as refused:
        floor.exchange.modify(USER, "regular", order.order_id, {"price": "1400"})
    assert str(refused.value) == "Maximum allowed order modifications exceeded."
    assert (refused.value.status, refused.value.error_type) == (429, "NetworkException")


def test_an_order_is_in_the_ledger_from_the_moment_of_acceptance(floor: Floor) -> None:
    """With what was asked, and with its state as it is now; refusals are not."""
    order = floor.place(tag="T1")
    with pytest.raises(KiteError):
        floor.place(price=None)
    [entry] = floor.exchange.ledger.entries()
    assert (entry.seq, entry.order.order_id, entry.request["tag"]) == (1, order.order_id, "T1")
    assert floor.exchange.ledger.entries(user_id=OTHER_USER) == []
    assert floor.exchange.ledger.entries(after_seq=1) == []


def test_a_new_day_empties_the_book_and_keeps_the_ledger(floor: Floor) -> None:
    """Resting DAY orders end as CANCELLED."""
    order = floor.place(price="1490")
    floor.exchange.days.reset()
    assert floor.exchange.book.of_user(USER) == []
    assert len(floor.exchange.ledger) == 1
    assert order.status == "CANCELLED"


def test_order_ids_have_nineteen_digits_and_repeat_with_the_seed(market: Market) -> None:
    """The same seed and requests give the same ids, another seed others."""
    ids = [[open_floor(market=market, seed=seed).place().order_id for _ in range(1)] for seed in (5, 5, 6)]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(order_id) == 19 and order_id.isdigit() for [order_id] in ids)


def test_a_hidden_order_is_silent_until_it_shows(floor: Floor) -> None:
    """It is in the ledger and trades, but neither book nor pushes know it; then it appears as it is."""
    order_id = floor.exchange.place(USER, "regular", order_params(), OrderFaults(hidden_ms=8_000))
    assert book_rows(floor.exchange.book.of_user(USER), now=START) == []
    assert (len(floor.exchange.ledger), floor.pushes) == (1, [])
    with pytest.raises(KiteError, match="Couldn't find"):
        floor.exchange.order(USER, order_id)
    assert [delay for delay, _ in floor.timers] == [8.0]
    floor.fire_timers()
    assert [row["status"] for row in book_rows(floor.exchange.book.of_user(USER), now=START)] == ["COMPLETE"]
    assert [push.status for push in floor.pushes] == ["COMPLETE"]


@pytest.mark.parametrize("status", TO_OPEN[:3])
def test_a_stuck_order_stays_where_it_is_and_then_goes_on(floor: Floor, status: str) -> None:
    """Meanwhile it can be neither cancelled nor modified."""
    faults = OrderFaults(stuck_status=status, stuck_ms=1_000)
    order_id = floor.exchange.place(USER, "regular", order_params(), faults)
    order = floor.exchange.any_order(order_id)
    assert order.status == status
    with pytest.raises(KiteError, match="being processed"):
        floor.exchange.cancel(USER, "regular", order_id)
    floor.fire_timers()
    assert floor.statuses(order) == [*TO_OPEN, "COMPLETE"]


def test_a_refused_order_has_an_id_and_a_reason(floor: Floor) -> None:
    """The client got 200; the book says REJECTED."""
    order_id = floor.exchange.place(USER, "regular", order_params(), OrderFaults(refusal="RMS: blocked"))
    order = floor.exchange.any_order(order_id)
    assert (order.status, order.status_message) == ("REJECTED", "RMS: blocked")


def test_a_partial_fill_stays_partial(floor: Floor) -> None:
    """Whatever the market does; only the control route or a cancel moves it."""
    order = floor.exchange.any_order(floor.exchange.place(USER, "regular", order_params(), OrderFaults(fill_at_most=3)))
    floor.freeze("NSE:INFY", "1400")
    assert (order.status, order.filled_quantity) == ("OPEN", 3)
    floor.exchange.engine.force_fill(order, 7)
    assert order.status == "COMPLETE"


def test_a_lost_race_ends_the_cancel_in_a_fill(floor: Floor) -> None:
    """The cancel was accepted, the order is COMPLETE."""
    order = floor.place(price="1490")
    floor.exchange.cancel(USER, "regular", order.order_id, OrderFaults(cancel_race="fill_wins"))
    assert floor.statuses(order)[-2:] == ["CANCEL PENDING", "COMPLETE"]


def test_the_book_of_an_earlier_moment_can_be_asked_for(floor: Floor) -> None:
    """A lagging replica answers with what was."""
    order = floor.place(price="1490")
    floor.clock.advance(10)
    floor.exchange.cancel(USER, "regular", order.order_id)
    orders = floor.exchange.book.of_user(USER)
    assert [row["status"] for row in book_rows_at(orders, moment=START)] == ["OPEN"]
    assert [row["status"] for row in book_rows(orders, now=floor.clock.now())] == ["CANCELLED"]


def test_control_may_fill_reject_and_cancel(floor: Floor) -> None:
    """Only what is possible: the rest is refused with the state."""
    filled, rejected, cancelled = (floor.place(price="1490") for _ in range(3))
    floor.exchange.engine.force_fill(filled, 10)
    floor.exchange.engine.force_reject(rejected, "exchange said no")
    floor.exchange.engine.force_cancel(cancelled)
    assert [order.status for order in (filled, rejected, cancelled)] == ["COMPLETE", "REJECTED", "CANCELLED"]
    with pytest.raises(KiteError, match="cannot fill 1: the order is COMPLETE"):
        floor.exchange.engine.force_fill(filled, 1)
    with pytest.raises(KiteError, match="cannot reject: the order is COMPLETE"):
        floor.exchange.engine.force_reject(filled, "x")
    with pytest.raises(KiteError, match="cannot cancel: the order is CANCELLED"):
        floor.exchange.engine.force_cancel(cancelled)


def test_a_rejected_order_is_no_longer_met_by_the_market(floor: Floor) -> None:
    """The index of resting orders forgets it."""
    order = floor.place(price="1490")
    floor.exchange.engine.force_reject(order, "no")
    floor.freeze("NSE:INFY", "1480")
    assert order.filled_quantity == 0
