"""Orders at the exchange: which rest, what fills them, what ends them."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from simulator.errors import KiteError
from simulator.exchange.orders.order_faults import OrderFaults
from simulator.exchange.orders.rows import book_rows, book_rows_at
from tests.unit.simulator.exchange.environment import (
    OTHER_USER,
    START,
    USER,
    ExchangeEnvironment,
    ReusableMarket,
    open_environment,
    order_params,
)

TO_OPEN = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]


@pytest.fixture(scope="module")
def market() -> ReusableMarket:
    return ReusableMarket()


@pytest.fixture
def environment(market: ReusableMarket) -> ExchangeEnvironment:
    return open_environment(market=market)


def test_a_marketable_order_is_filled_immediately_through_all_statuses(environment: ExchangeEnvironment) -> None:
    """Every status is in the history; the fill is at the offered price, not at the limit."""
    order = environment.place(price="1505")
    assert environment.statuses(order) == [*TO_OPEN, "COMPLETE"]
    assert (order.filled_quantity, order.average_price) == (10, Decimal(1500))
    assert [push.status for push in environment.pushes] == ["COMPLETE"]


def test_a_limit_away_from_the_market_rests_until_the_price_reaches_it(environment: ExchangeEnvironment) -> None:
    """Then it is filled at its own price."""
    order = environment.place(price="1490")
    assert environment.statuses(order) == TO_OPEN
    environment.freeze("NSE:INFY", "1489")
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1490))


def test_placement_is_not_pushed_and_resting_is_pushed_to_sockets_only(environment: ExchangeEnvironment) -> None:
    """Kite sends no postback for a placement."""
    environment.place(price="1490")
    assert [(push.status, push.audience) for push in environment.pushes] == [("OPEN", "sockets")]


def test_an_order_is_filled_as_far_as_the_quote_offers(environment: ExchangeEnvironment) -> None:
    """The rest stays OPEN until another quote offers more."""
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    order = environment.place()
    assert (order.status, order.filled_quantity, order.pending_quantity) == ("OPEN", 4, 6)
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    assert (order.status, order.filled_quantity) == ("OPEN", 8)
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    assert (order.status, order.filled_quantity) == ("COMPLETE", 10)
    assert [push.status for push in environment.pushes] == ["UPDATE", "UPDATE", "COMPLETE"]
    assert [trade.quantity for trade in order.trades] == [4, 4, 2]


def test_two_orders_share_the_offered_quantity(environment: ExchangeEnvironment) -> None:
    """What the first has taken is not there for the second, also of another user."""
    environment.freeze("NSE:INFY", "1500", liquidity=15)
    first, second = environment.place(), environment.place(OTHER_USER)
    assert (first.filled_quantity, second.filled_quantity) == (10, 5)


def test_a_trade_does_not_make_the_quote_offer_the_quantity_again(environment: ExchangeEnvironment) -> None:
    """The market's next step includes the trade, but its levels have not changed."""
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    order = environment.place()
    environment.clock.advance(1)
    environment.market.step(environment.clock.now())
    assert order.filled_quantity == 4


def test_an_ioc_order_never_rests(environment: ExchangeEnvironment) -> None:
    """The unfilled rest is cancelled immediately."""
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    order = environment.place(validity="IOC")
    assert (order.status, order.filled_quantity, order.cancelled_quantity) == ("CANCELLED", 4, 6)
    assert environment.place(validity="IOC", price="1400").status == "CANCELLED"


def test_a_ttl_order_ends_when_its_minutes_are_over(environment: ExchangeEnvironment) -> None:
    """It is open until then."""
    order = environment.place(price="1490", validity="TTL", validity_ttl=2)
    environment.clock.advance(119)
    environment.exchange.engine.expire(environment.clock.now())
    assert order.status == "OPEN"
    environment.clock.advance(1)
    environment.exchange.engine.expire(environment.clock.now())
    assert order.status == "CANCELLED"


@pytest.mark.parametrize(
    ("side", "trigger", "price", "reached"), [("BUY", "1510", "1515", "1510"), ("SELL", "1490", "1485", "1490")]
)
def test_a_stop_waits_for_its_trigger_then_trades(
    environment: ExchangeEnvironment, side: str, trigger: str, price: str, reached: str
) -> None:
    """TRIGGER PENDING, then OPEN, then as a limit order."""
    order = environment.place(transaction_type=side, order_type="SL", trigger_price=trigger, price=price)
    assert environment.statuses(order) == [*TO_OPEN[:3], "TRIGGER PENDING"]
    environment.freeze("NSE:INFY", reached)
    assert environment.statuses(order)[3:] == ["TRIGGER PENDING", "OPEN", "COMPLETE"]
    assert [(push.status, push.audience) for push in environment.pushes] == [
        ("TRIGGER PENDING", "sockets"),
        ("OPEN", "sockets"),
        ("COMPLETE", "everyone"),
    ]


def test_a_protected_stop_market_trades_within_its_band(environment: ExchangeEnvironment) -> None:
    """SL-M is booked as SL with the band measured from the trigger."""
    order = environment.place(order_type="SL-M", price=None, trigger_price="1510", market_protection="1")
    assert (order.request.order_type, order.request.price) == ("SL", Decimal("1525.10"))
    environment.freeze("NSE:INFY", "1512")
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1512))


def test_a_price_outside_the_circuit_is_accepted_and_then_rejected(environment: ExchangeEnvironment) -> None:
    """The order has an id and is REJECTED in the book, with the reason and without an exchange order id."""
    order = environment.place(price="3000")
    assert environment.statuses(order) == [*TO_OPEN[:3], "REJECTED"]
    assert "circuit limit" in (order.status_message or "")
    assert order.exchange_order_id is None
    assert [push.status for push in environment.pushes] == ["REJECTED"]


def test_cancelling_an_open_order_passes_through_cancel_pending(environment: ExchangeEnvironment) -> None:
    """The update is sent once."""
    order = environment.place(price="1490")
    environment.exchange.cancel(USER, "regular", order.order_id)
    assert environment.statuses(order)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    assert [push.status for push in environment.pushes] == ["OPEN", "CANCELLED"]


@pytest.mark.parametrize(("verb", "word"), [("cancel", "cancelled"), ("modify", "modified")])
def test_a_finished_order_can_neither_be_cancelled_nor_modified(
    environment: ExchangeEnvironment, verb: str, word: str
) -> None:
    """400 InputException with Kite's sentence."""
    order = environment.place()
    acts: dict[str, Callable[[], str]] = {
        "cancel": lambda: environment.exchange.cancel(USER, "regular", order.order_id),
        "modify": lambda: environment.exchange.modify(USER, "regular", order.order_id, {"price": "1501"}),
    }
    with pytest.raises(KiteError) as refused:
        acts[verb]()
    assert str(refused.value) == f"Order cannot be {word} as it is being processed. Try later."
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")


def test_an_order_of_another_user_does_not_exist(environment: ExchangeEnvironment) -> None:
    """An unknown id gets the same answer."""
    order = environment.place(price="1490")
    for user_id, order_id in ((OTHER_USER, order.order_id), (USER, "2000000000000000000")):
        with pytest.raises(KiteError, match="Couldn't find that `order_id`") as refused:
            environment.exchange.cancel(user_id, "regular", order_id)
        assert (refused.value.status, refused.value.error_type) == (400, "GeneralException")


def test_a_modified_order_trades_with_its_new_values(environment: ExchangeEnvironment) -> None:
    """A better price fills it; the UPDATE is pushed before the COMPLETE."""
    order = environment.place(price="1490")
    environment.exchange.modify(USER, "regular", order.order_id, {"price": "1500", "quantity": "20"})
    assert (order.status, order.filled_quantity, order.request.quantity) == ("COMPLETE", 20, 20)
    assert [push.status for push in environment.pushes] == ["OPEN", "UPDATE", "COMPLETE"]


def test_the_quantity_of_a_modification_is_the_new_total(environment: ExchangeEnvironment) -> None:
    """A total below the filled quantity is refused."""
    environment.freeze("NSE:INFY", "1500", liquidity=4)
    order = environment.place()
    with pytest.raises(KiteError, match="filled quantity"):
        environment.exchange.modify(USER, "regular", order.order_id, {"quantity": "4"})
    environment.exchange.modify(USER, "regular", order.order_id, {"quantity": "5"})
    assert (order.request.quantity, order.pending_quantity) == (5, 1)


def test_a_bad_modification_is_refused_and_changes_nothing(environment: ExchangeEnvironment) -> None:
    """Here a price that is not on the tick size."""
    order = environment.place(price="1490")
    with pytest.raises(KiteError, match="Tick size"):
        environment.exchange.modify(USER, "regular", order.order_id, {"price": "1490.01"})
    assert (order.status, order.request.price, order.modifications) == ("OPEN", Decimal(1490), 0)


def test_a_limit_order_becomes_a_market_order_only_with_protection(environment: ExchangeEnvironment) -> None:
    """The modification must have the parameter."""
    order = environment.place(price="1490")
    with pytest.raises(KiteError, match="market protection"):
        environment.exchange.modify(USER, "regular", order.order_id, {"order_type": "MARKET"})
    environment.exchange.modify(USER, "regular", order.order_id, {"order_type": "MARKET", "market_protection": "-1"})
    assert order.status == "COMPLETE"


def test_a_stop_modified_to_a_limit_is_open(environment: ExchangeEnvironment) -> None:
    """It has no trigger any more."""
    order = environment.place(order_type="SL", trigger_price="1510", price="1515")
    environment.exchange.modify(USER, "regular", order.order_id, {"order_type": "LIMIT", "price": "1490"})
    assert (order.status, order.request.trigger_price) == ("OPEN", Decimal(0))


def test_a_triggered_stop_is_modified_as_a_limit_order(environment: ExchangeEnvironment) -> None:
    """Its trigger price is on the wrong side of the market then, and is not checked again."""
    order = environment.place(order_type="SL", trigger_price="1510", price="1515")
    environment.freeze("NSE:INFY", "1520")
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    environment.exchange.modify(USER, "regular", order.order_id, {"price": "1520"})
    assert order.status == "COMPLETE"


def test_the_twenty_sixth_modification_is_refused(environment: ExchangeEnvironment) -> None:
    """429 NetworkException."""
    order = environment.place(price="1490")
    for step in range(25):
        environment.exchange.modify(USER, "regular", order.order_id, {"price": str(1450 + step)})
    with pytest.raises(KiteError) as refused:
        environment.exchange.modify(USER, "regular", order.order_id, {"price": "1400"})
    assert str(refused.value) == "Maximum allowed order modifications exceeded."
    assert (refused.value.status, refused.value.error_type) == (429, "NetworkException")


def test_an_order_is_in_the_ledger_from_the_moment_of_acceptance(environment: ExchangeEnvironment) -> None:
    """The entry has the client's form and the present state; a refused order has no entry."""
    order = environment.place(tag="T1")
    with pytest.raises(KiteError):
        environment.place(price=None)
    [entry] = environment.exchange.ledger.entries()
    assert (entry.seq, entry.order.order_id, entry.request["tag"]) == (1, order.order_id, "T1")
    assert environment.exchange.ledger.entries(user_id=OTHER_USER) == []
    assert environment.exchange.ledger.entries(after_seq=1) == []


def test_a_new_day_empties_the_book_and_keeps_the_ledger(environment: ExchangeEnvironment) -> None:
    """Open DAY orders are CANCELLED."""
    order = environment.place(price="1490")
    environment.exchange.days.reset()
    assert environment.exchange.book.of_user(USER) == []
    assert len(environment.exchange.ledger) == 1
    assert order.status == "CANCELLED"


def test_order_ids_have_nineteen_digits_and_repeat_with_the_seed(market: ReusableMarket) -> None:
    """The same seed and requests give the same ids, another seed others."""
    ids = [[open_environment(market=market, seed=seed).place().order_id for _ in range(1)] for seed in (5, 5, 6)]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(order_id) == 19 and order_id.isdigit() for [order_id] in ids)


def test_a_hidden_order_is_silent_until_it_shows(environment: ExchangeEnvironment) -> None:
    """The ledger has it and it trades, but it is in no book and no push; then it appears in its present state."""
    order_id = environment.exchange.place(USER, "regular", order_params(), OrderFaults(hidden_ms=8_000))
    assert book_rows(environment.exchange.book.of_user(USER), now=START) == []
    assert (len(environment.exchange.ledger), environment.pushes) == (1, [])
    with pytest.raises(KiteError, match="Couldn't find"):
        environment.exchange.order(USER, order_id)
    assert [delay for delay, _ in environment.timers] == [8.0]
    environment.fire_timers()
    assert [row["status"] for row in book_rows(environment.exchange.book.of_user(USER), now=START)] == ["COMPLETE"]
    assert [push.status for push in environment.pushes] == ["COMPLETE"]


@pytest.mark.parametrize("status", TO_OPEN[:3])
def test_a_stuck_order_keeps_its_status_and_then_goes_on(environment: ExchangeEnvironment, status: str) -> None:
    """It can be neither cancelled nor modified until then."""
    faults = OrderFaults(stuck_status=status, stuck_ms=1_000)
    order_id = environment.exchange.place(USER, "regular", order_params(), faults)
    order = environment.exchange.any_order(order_id)
    assert order.status == status
    with pytest.raises(KiteError, match="being processed"):
        environment.exchange.cancel(USER, "regular", order_id)
    environment.fire_timers()
    assert environment.statuses(order) == [*TO_OPEN, "COMPLETE"]


def test_a_refused_order_has_an_id_and_a_reason(environment: ExchangeEnvironment) -> None:
    """The client got 200; the order is REJECTED in the book."""
    order_id = environment.exchange.place(USER, "regular", order_params(), OrderFaults(refusal="RMS: blocked"))
    order = environment.exchange.any_order(order_id)
    assert (order.status, order.status_message) == ("REJECTED", "RMS: blocked")


def test_a_partly_filled_order_of_a_fault_stays_so(environment: ExchangeEnvironment) -> None:
    """Quotes do not fill it; only the control route or a cancel changes it."""
    order = environment.exchange.any_order(
        environment.exchange.place(USER, "regular", order_params(), OrderFaults(fill_at_most=3))
    )
    environment.freeze("NSE:INFY", "1400")
    assert (order.status, order.filled_quantity) == ("OPEN", 3)
    environment.exchange.engine.force_fill(order, 7)
    assert order.status == "COMPLETE"


def test_a_cancel_that_loses_the_race_ends_in_a_fill(environment: ExchangeEnvironment) -> None:
    """The cancel was accepted, and the order is COMPLETE."""
    order = environment.place(price="1490")
    environment.exchange.cancel(USER, "regular", order.order_id, OrderFaults(cancel_race="fill_wins"))
    assert environment.statuses(order)[-2:] == ["CANCEL PENDING", "COMPLETE"]


def test_the_book_of_an_earlier_moment_can_be_read(environment: ExchangeEnvironment) -> None:
    """It is what a lagging replica answers."""
    order = environment.place(price="1490")
    environment.clock.advance(10)
    environment.exchange.cancel(USER, "regular", order.order_id)
    orders = environment.exchange.book.of_user(USER)
    assert [row["status"] for row in book_rows_at(orders, moment=START)] == ["OPEN"]
    assert [row["status"] for row in book_rows(orders, now=environment.clock.now())] == ["CANCELLED"]


def test_control_may_fill_reject_and_cancel(environment: ExchangeEnvironment) -> None:
    """What the status does not allow is refused, and the error names the status."""
    filled, rejected, cancelled = (environment.place(price="1490") for _ in range(3))
    environment.exchange.engine.force_fill(filled, 10)
    environment.exchange.engine.force_reject(rejected, "exchange said no")
    environment.exchange.engine.force_cancel(cancelled)
    assert [order.status for order in (filled, rejected, cancelled)] == ["COMPLETE", "REJECTED", "CANCELLED"]
    with pytest.raises(KiteError, match="cannot fill 1: the order is COMPLETE"):
        environment.exchange.engine.force_fill(filled, 1)
    with pytest.raises(KiteError, match="cannot reject: the order is COMPLETE"):
        environment.exchange.engine.force_reject(filled, "x")
    with pytest.raises(KiteError, match="cannot cancel: the order is CANCELLED"):
        environment.exchange.engine.force_cancel(cancelled)


def test_a_rejected_order_does_not_trade_any_more(environment: ExchangeEnvironment) -> None:
    """It is removed from the index of resting orders."""
    order = environment.place(price="1490")
    environment.exchange.engine.force_reject(order, "no")
    environment.freeze("NSE:INFY", "1480")
    assert order.filled_quantity == 0
