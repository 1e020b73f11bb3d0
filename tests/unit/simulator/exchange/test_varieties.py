"""Iceberg, cover, auction, after-market and sliced orders."""

from dataclasses import asdict
from decimal import Decimal

import pytest

from simulator.errors import KiteError
from simulator.exchange.entry.checks import auction_number
from simulator.exchange.orders.order import IcebergLeg, Order
from simulator.exchange.orders.rows import order_row
from simulator.exchange.varieties.autoslice import slice_sizes
from simulator.exchange.varieties.iceberg import leg_sizes
from simulator.market.instrument import Instrument
from simulator.market.market import Market
from tests.unit.simulator.exchange.environment import START, USER, Floor, open_floor, order_params


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(seed=1, now=START, ticks_per_second=0)


@pytest.fixture
def floor(market: Market) -> Floor:
    return open_floor(market=market)


def put(floor: Floor, variety: str, **changes: object) -> Order:
    return floor.exchange.any_order(floor.exchange.place(USER, variety, order_params(**changes)))


def orders(floor: Floor) -> list[Order]:
    return list(floor.exchange.book.of_user(USER))


def option(floor: Floor, *, price: str, liquidity: int = 100_000) -> Instrument:
    """A NIFTY option frozen at `price`."""
    found = next(
        item
        for item in floor.market.instruments.values()
        if item.name == "NIFTY" and item.instrument_type == "CE" and item.freeze_quantity
    )
    return floor.freeze(f"NFO:{found.tradingsymbol}", price, liquidity=liquidity)


def test_an_iceberg_sends_its_next_leg_when_the_one_before_is_filled(floor: Floor) -> None:
    """Each leg is an order of its own with its part in `meta`."""
    floor.freeze("NSE:INFY", "1500", liquidity=25)
    put(floor, "iceberg", quantity=100, iceberg_legs=5, tag="ICE")
    first, second = orders(floor)
    assert (first.status, first.request.quantity, first.iceberg) == ("COMPLETE", 20, IcebergLeg(1, 5, 20, 100, 80))
    assert (second.status, second.filled_quantity, second.request.tag) == ("OPEN", 5, "ICE")
    floor.freeze("NSE:INFY", "1500", liquidity=200)
    assert [(order.status, order.iceberg.leg if order.iceberg else 0) for order in orders(floor)] == [
        ("COMPLETE", leg) for leg in range(1, 6)
    ]
    assert sum(order.filled_quantity for order in orders(floor)) == 100
    assert second.iceberg is not None
    assert order_row(second, second.snapshot(START))["meta"] == {"iceberg": asdict(second.iceberg)}


def test_a_cancelled_leg_is_the_last(floor: Floor) -> None:
    """Under its own variety; what was not sent never comes."""
    leg = put(floor, "iceberg", quantity=100, iceberg_legs=5, price=1400)
    with pytest.raises(KiteError, match="variety in the request does not match"):
        floor.exchange.cancel(USER, "regular", leg.order_id)
    floor.exchange.cancel(USER, "iceberg", leg.order_id)
    assert [order.status for order in orders(floor)] == ["CANCELLED"]


def test_a_leg_that_the_funds_do_not_cover_any_more_is_rejected(market: Market) -> None:
    """The first leg was checked for the whole; money that left since then is missed by the next."""
    floor = open_floor(market=market, cash=40_000)
    floor.freeze("NSE:INFY", "1500", liquidity=0)
    leg = put(floor, "iceberg", quantity=100, iceberg_legs=2)
    floor.exchange.portfolios[USER].cash["equity"] -= 20_000
    floor.exchange.engine.force_fill(leg, 50)
    second = orders(floor)[1]
    assert (second.status, second.status_message) == (
        "REJECTED",
        "Insufficient funds. Required margin is 15000.00 but available margin is 5000.00.",
    )


@pytest.mark.parametrize(
    ("quantity", "legs", "step", "sizes"),
    [(100, 5, 1, [20] * 5), (101, 5, 1, [21, 21, 21, 21, 17]), (10, 4, 5, [5, 5]), (7, 2, 1, [4, 3])],
)
def test_legs_are_equal_in_whole_lots(quantity: int, legs: int, step: int, sizes: list[int]) -> None:
    """The last one takes what is left."""
    assert leg_sizes(quantity, legs, step=step) == sizes


def test_a_cover_order_gets_its_stop_when_it_is_filled(floor: Floor) -> None:
    """The second leg names the first, both have product CO, and the stop closes the position."""
    first = put(floor, "co", trigger_price=1480)
    second = orders(floor)[1]
    assert (first.status, first.request.product, second.parent_order_id) == ("COMPLETE", "CO", first.order_id)
    stop = second.request
    assert (second.status, str(stop.transaction_type), stop.trigger_price) == (
        "TRIGGER PENDING",
        "SELL",
        Decimal(1480),
    )
    floor.exchange.modify(USER, "co", second.order_id, {"trigger_price": "1490"})
    assert second.request.trigger_price == 1490
    floor.freeze("NSE:INFY", "1489")
    assert second.status == "COMPLETE"
    assert floor.exchange.portfolios[USER].positions[("NSE", "INFY", "CO")].quantity == 0


def test_a_cover_order_that_never_filled_has_no_stop(floor: Floor) -> None:
    """It is cancelled as any other."""
    first = put(floor, "co", price=1450, trigger_price=1440)
    floor.exchange.cancel(USER, "co", first.order_id)
    assert [order.status for order in orders(floor)] == ["CANCELLED"]


def test_cancelling_the_stop_leaves_the_position_at_the_market(floor: Floor) -> None:
    """Exit of a cover order; the first leg, which is filled, cannot be cancelled any more."""
    first = put(floor, "co", trigger_price=1480)
    second = orders(floor)[1]
    with pytest.raises(KiteError, match="being processed"):
        floor.exchange.cancel(USER, "co", first.order_id)
    floor.exchange.cancel(USER, "co", second.order_id)
    assert (second.status, second.filled_quantity) == ("COMPLETE", 10)
    assert floor.exchange.portfolios[USER].positions[("NSE", "INFY", "CO")].quantity == 0


def test_an_auction_order_rests_without_the_crowd(floor: Floor) -> None:
    """It sells holdings under the auction's number; a cancel leaves the quantity pending, as Kite's rows have it."""
    number = auction_number(floor.exchange.instrument("NSE", "INFY"))
    changes = {"transaction_type": "SELL", "product": "CNC", "price": 1400}
    order = put(floor, "auction", auction_number=number, **changes)
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    floor.exchange.cancel(USER, "auction", order.order_id)
    row = order_row(order, order.snapshot(START))
    assert (row["status"], row["pending_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 10, 0)
    assert row["auction_number"] == number


def test_an_after_market_order_waits_at_the_broker(floor: Floor) -> None:
    """No push for it; it can be changed and cancelled; it has no number of the exchange."""
    order = put(floor, "amo", price=1490)
    assert (floor.statuses(order), floor.pushes, order.exchange_order_id) == (["AMO REQ RECEIVED"], [], None)
    floor.exchange.modify(USER, "amo", order.order_id, {"price": "1491"})
    assert floor.statuses(order)[1:] == ["MODIFY AMO REQ RECEIVED", "AMO REQ RECEIVED"]
    floor.exchange.cancel(USER, "amo", order.order_id)
    assert (order.status, order.request.price) == ("CANCELLED", Decimal(1491))


def test_an_order_above_the_freeze_quantity_is_sliced_when_asked(floor: Floor) -> None:
    """All slices at once, each tagged with the parent, which is no order itself."""
    instrument = option(floor, price="100")
    quantity = instrument.freeze_quantity * 2 + instrument.lot_size
    form = {
        "exchange": "NFO",
        "tradingsymbol": instrument.tradingsymbol,
        "product": "NRML",
        "price": 100,
        "quantity": quantity,
    }
    with pytest.raises(KiteError, match="freeze quantity"):
        put(floor, "regular", **form)
    placed = floor.exchange.place_order(USER, "regular", order_params(**form, autoslice="true"))
    rows = orders(floor)
    assert [child.order_id for child in placed.children] == [order.order_id for order in rows]
    assert sum(order.request.quantity for order in rows) == quantity
    assert {order.request.tags for order in rows} == {("autoslice", f"autoslice:{placed.order_id}")}
    assert floor.exchange.book.find(placed.order_id) is None


def test_some_slices_may_fail(market: Market) -> None:
    """Those that the money lasts for are placed, the others carry their own error."""
    floor = open_floor(market=market, cash=1_000_000)
    instrument = option(floor, price="100", liquidity=0)
    per_slice = instrument.freeze_quantity * 100
    funded = 1_000_000 // per_slice
    form = {"exchange": "NFO", "tradingsymbol": instrument.tradingsymbol, "product": "NRML", "price": 100}
    quantity = instrument.freeze_quantity * (funded + 2)
    placed = floor.exchange.place_order(
        USER, "regular", order_params(**form, quantity=quantity, autoslice="True", tag="S1")
    )
    errors = [child.error for child in placed.children]
    assert [error is None for error in errors] == [True] * funded + [False] * 2
    assert {error.error_type for error in errors if error is not None} == {"MarginException"}
    assert {order.request.tag for order in orders(floor)} == {"S1"}


def test_at_most_ten_slices_are_made() -> None:
    """More are refused as a whole."""
    assert slice_sizes(2_550, 1_000, step=25) == [1_000, 1_000, 550]
    with pytest.raises(KiteError, match="at most 10 are allowed"):
        slice_sizes(10_001, 1_000, step=1)


def test_an_option_order_far_from_the_market_is_refused(floor: Floor) -> None:
    """Within a hundred rupees, or half of the price, everything goes."""
    instrument = option(floor, price="300")
    form = {"exchange": "NFO", "tradingsymbol": instrument.tradingsymbol, "product": "NRML"}
    form |= {"quantity": str(instrument.lot_size)}
    assert put(floor, "regular", **form, price=150).status == "OPEN"
    with pytest.raises(KiteError, match="far away from the LTP are restricted"):
        put(floor, "regular", **form, price=149)


def test_two_accounts_trade_with_each_other_at_the_better_price(floor: Floor) -> None:
    """An arriving order meets another account's resting one before the dearer crowd, at the resting price."""
    floor.freeze("NSE:INFY", "1500", liquidity=5)
    maker = floor.place("SIM002", transaction_type="SELL", price="1500.05", quantity=8)
    later = floor.place("SIM002", transaction_type="SELL", price="1500.05", quantity=8)
    own = floor.place(transaction_type="SELL", price="1501", quantity=3)
    taker = floor.place(price="1501", quantity=15)
    assert [(trade.price, trade.quantity) for trade in taker.trades] == [
        (1500, 5),
        (maker.request.price, 8),
        (maker.request.price, 2),
    ]
    assert (maker.status, later.filled_quantity, own.filled_quantity) == ("COMPLETE", 2, 0)


def test_a_leg_that_follows_does_not_cut_into_the_trade_that_called_it(floor: Floor) -> None:
    """A buyer who eats an iceberg of another account gets leg after leg, each share once."""
    floor.freeze("NSE:INFY", "1500", liquidity=0)
    form = order_params(transaction_type="SELL", quantity=40, price="1500", iceberg_legs=4)
    floor.exchange.place("SIM002", "iceberg", form)
    buyer = floor.place(quantity=35, price="1500")
    sold = [order.filled_quantity for order in floor.exchange.book.of_user("SIM002")]
    assert (buyer.status, buyer.filled_quantity, sold) == ("COMPLETE", 35, [10, 10, 10, 5])


def test_a_triggered_stop_can_still_leave_at_the_market(floor: Floor) -> None:
    """Repriced to the market, with a row in the history, so that nothing of it is lost."""
    put(floor, "co", trigger_price=1480)
    second = orders(floor)[1]
    floor.freeze("NSE:INFY", "1460", liquidity=0)
    assert (second.status, second.request.price) == ("OPEN", Decimal("1472.60"))
    floor.exchange.cancel(USER, "co", second.order_id)
    assert second.request.price < 1460
    assert floor.statuses(second)[-2:] == ["OPEN", "OPEN"]
    assert second.history[-1].request == second.request
