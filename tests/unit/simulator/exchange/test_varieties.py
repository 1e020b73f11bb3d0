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
from tests.unit.simulator.exchange.environment import (
    START,
    USER,
    ExchangeEnvironment,
    ReusableMarket,
    open_environment,
    order_params,
)


@pytest.fixture(scope="module")
def market() -> ReusableMarket:
    return ReusableMarket()


@pytest.fixture
def environment(market: ReusableMarket) -> ExchangeEnvironment:
    return open_environment(market=market)


def put(environment: ExchangeEnvironment, variety: str, **changes: object) -> Order:
    return environment.exchange.any_order(environment.exchange.place(USER, variety, order_params(**changes)))


def orders(environment: ExchangeEnvironment) -> list[Order]:
    return list(environment.exchange.book.of_user(USER))


def option(environment: ExchangeEnvironment, *, price: str, liquidity: int = 100_000) -> Instrument:
    """A NIFTY option frozen at `price`."""
    found = next(
        item
        for item in environment.market.instruments.values()
        if item.name == "NIFTY" and item.instrument_type == "CE" and item.freeze_quantity
    )
    return environment.freeze(f"NFO:{found.tradingsymbol}", price, liquidity=liquidity)


def test_an_iceberg_sends_its_next_leg_when_the_one_before_is_filled(environment: ExchangeEnvironment) -> None:
    """Each leg is an order of its own, with its number in `meta`."""
    environment.freeze("NSE:INFY", "1500", liquidity=25)
    put(environment, "iceberg", quantity=100, iceberg_legs=5, tag="ICE")
    first, second = orders(environment)
    assert (first.status, first.request.quantity, first.iceberg) == ("COMPLETE", 20, IcebergLeg(1, 5, 20, 100, 80))
    assert (second.status, second.filled_quantity, second.request.tag) == ("OPEN", 5, "ICE")
    environment.freeze("NSE:INFY", "1500", liquidity=200)
    assert [(order.status, order.iceberg.leg if order.iceberg else 0) for order in orders(environment)] == [
        ("COMPLETE", leg) for leg in range(1, 6)
    ]
    assert sum(order.filled_quantity for order in orders(environment)) == 100
    assert second.iceberg is not None
    assert order_row(second, second.snapshot(START))["meta"] == {"iceberg": asdict(second.iceberg)}


def test_a_cancelled_leg_is_the_last(environment: ExchangeEnvironment) -> None:
    """It is cancelled under variety iceberg; the remaining legs are not sent."""
    leg = put(environment, "iceberg", quantity=100, iceberg_legs=5, price=1400)
    with pytest.raises(KiteError, match="variety in the request does not match"):
        environment.exchange.cancel(USER, "regular", leg.order_id)
    environment.exchange.cancel(USER, "iceberg", leg.order_id)
    assert [order.status for order in orders(environment)] == ["CANCELLED"]


def test_a_leg_beyond_the_present_funds_is_rejected(market: ReusableMarket) -> None:
    """The whole was checked with the first leg; funds that were used since are missing for the next."""
    environment = open_environment(market=market, cash=40_000)
    environment.freeze("NSE:INFY", "1500", liquidity=0)
    leg = put(environment, "iceberg", quantity=100, iceberg_legs=2)
    environment.exchange.portfolios[USER].cash["equity"] -= 20_000
    environment.exchange.engine.force_fill(leg, 50)
    second = orders(environment)[1]
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


def test_a_cover_order_gets_its_stop_when_it_is_filled(environment: ExchangeEnvironment) -> None:
    """The second leg names the first, both have product CO, and the stop closes the position."""
    first = put(environment, "co", trigger_price=1480)
    second = orders(environment)[1]
    assert (first.status, first.request.product, second.parent_order_id) == ("COMPLETE", "CO", first.order_id)
    stop = second.request
    assert (second.status, str(stop.transaction_type), stop.trigger_price) == (
        "TRIGGER PENDING",
        "SELL",
        Decimal(1480),
    )
    environment.exchange.modify(USER, "co", second.order_id, {"trigger_price": "1490"})
    assert second.request.trigger_price == 1490
    environment.freeze("NSE:INFY", "1489")
    assert second.status == "COMPLETE"
    assert environment.exchange.portfolios[USER].positions[("NSE", "INFY", "CO")].quantity == 0


def test_a_cover_order_that_never_filled_has_no_stop(environment: ExchangeEnvironment) -> None:
    """It is cancelled as any other order."""
    first = put(environment, "co", price=1450, trigger_price=1440)
    environment.exchange.cancel(USER, "co", first.order_id)
    assert [order.status for order in orders(environment)] == ["CANCELLED"]


def test_cancelling_the_stop_closes_the_position_at_the_market(environment: ExchangeEnvironment) -> None:
    """This exits a cover order; its filled first leg cannot be cancelled."""
    first = put(environment, "co", trigger_price=1480)
    second = orders(environment)[1]
    with pytest.raises(KiteError, match="being processed"):
        environment.exchange.cancel(USER, "co", first.order_id)
    environment.exchange.cancel(USER, "co", second.order_id)
    assert (second.status, second.filled_quantity) == ("COMPLETE", 10)
    assert environment.exchange.portfolios[USER].positions[("NSE", "INFY", "CO")].quantity == 0


def test_an_auction_order_does_not_trade_with_the_quote(environment: ExchangeEnvironment) -> None:
    """It sells holdings under the auction's number; a cancel leaves the quantity pending, as in Kite's rows."""
    number = auction_number(environment.exchange.instrument("NSE", "INFY"))
    changes = {"transaction_type": "SELL", "product": "CNC", "price": 1400}
    order = put(environment, "auction", auction_number=number, **changes)
    assert (order.status, order.filled_quantity) == ("OPEN", 0)
    environment.exchange.cancel(USER, "auction", order.order_id)
    row = order_row(order, order.snapshot(START))
    assert (row["status"], row["pending_quantity"], row["cancelled_quantity"]) == ("CANCELLED", 10, 0)
    assert row["auction_number"] == number


def test_an_after_market_order_waits_at_the_broker(environment: ExchangeEnvironment) -> None:
    """It is not pushed and has no exchange order id; it can be modified and cancelled."""
    order = put(environment, "amo", price=1490)
    assert (environment.statuses(order), environment.pushes, order.exchange_order_id) == (
        ["AMO REQ RECEIVED"],
        [],
        None,
    )
    environment.exchange.modify(USER, "amo", order.order_id, {"price": "1491"})
    assert environment.statuses(order)[1:] == ["MODIFY AMO REQ RECEIVED", "AMO REQ RECEIVED"]
    environment.exchange.cancel(USER, "amo", order.order_id)
    assert (order.status, order.request.price) == ("CANCELLED", Decimal(1491))


def test_an_order_above_the_freeze_quantity_is_sliced_on_request(environment: ExchangeEnvironment) -> None:
    """All slices are placed immediately, tagged with the parent id, which is no order."""
    instrument = option(environment, price="100")
    quantity = instrument.freeze_quantity * 2 + instrument.lot_size
    form = {
        "exchange": "NFO",
        "tradingsymbol": instrument.tradingsymbol,
        "product": "NRML",
        "price": 100,
        "quantity": quantity,
    }
    with pytest.raises(KiteError, match="freeze quantity"):
        put(environment, "regular", **form)
    placed = environment.exchange.place_order(USER, "regular", order_params(**form, autoslice="true"))
    rows = orders(environment)
    assert [child.order_id for child in placed.children] == [order.order_id for order in rows]
    assert sum(order.request.quantity for order in rows) == quantity
    assert {order.request.tags for order in rows} == {("autoslice", f"autoslice:{placed.order_id}")}
    assert environment.exchange.book.find(placed.order_id) is None


def test_slices_beyond_the_funds_are_refused(market: ReusableMarket) -> None:
    """Those within the funds are placed, the others have an error."""
    environment = open_environment(market=market, cash=1_000_000)
    instrument = option(environment, price="100", liquidity=0)
    per_slice = instrument.freeze_quantity * 100
    funded = 1_000_000 // per_slice
    form = {"exchange": "NFO", "tradingsymbol": instrument.tradingsymbol, "product": "NRML", "price": 100}
    quantity = instrument.freeze_quantity * (funded + 2)
    placed = environment.exchange.place_order(
        USER, "regular", order_params(**form, quantity=quantity, autoslice="True", tag="S1")
    )
    errors = [child.error for child in placed.children]
    assert [error is None for error in errors] == [True] * funded + [False] * 2
    assert {error.error_type for error in errors if error is not None} == {"MarginException"}
    assert {order.request.tag for order in orders(environment)} == {"S1"}


def test_more_than_ten_slices_are_refused() -> None:
    """The whole order is refused."""
    assert slice_sizes(2_550, 1_000, step=25) == [1_000, 1_000, 550]
    with pytest.raises(KiteError, match="at most 10 are allowed"):
        slice_sizes(10_001, 1_000, step=1)


def test_an_option_order_far_from_the_market_is_refused(environment: ExchangeEnvironment) -> None:
    """Within a hundred rupees, or half of the price, it is accepted."""
    instrument = option(environment, price="300")
    form = {"exchange": "NFO", "tradingsymbol": instrument.tradingsymbol, "product": "NRML"}
    form |= {"quantity": str(instrument.lot_size)}
    assert put(environment, "regular", **form, price=150).status == "OPEN"
    with pytest.raises(KiteError, match="far away from the LTP are restricted"):
        put(environment, "regular", **form, price=149)


def test_two_accounts_trade_with_each_other_at_the_better_price(environment: ExchangeEnvironment) -> None:
    """A taker gets another account's better resting order before the quote, at the resting price."""
    environment.freeze("NSE:INFY", "1500", liquidity=5)
    maker = environment.place("SIM002", transaction_type="SELL", price="1500.05", quantity=8)
    later = environment.place("SIM002", transaction_type="SELL", price="1500.05", quantity=8)
    own = environment.place(transaction_type="SELL", price="1501", quantity=3)
    taker = environment.place(price="1501", quantity=15)
    assert [(trade.price, trade.quantity) for trade in taker.trades] == [
        (1500, 5),
        (maker.request.price, 8),
        (maker.request.price, 2),
    ]
    assert (maker.status, later.filled_quantity, own.filled_quantity) == ("COMPLETE", 2, 0)


def test_the_next_leg_does_not_interrupt_the_trade_of_the_one_before(environment: ExchangeEnvironment) -> None:
    """A buyer takes an iceberg of another account leg by leg, each share once."""
    environment.freeze("NSE:INFY", "1500", liquidity=0)
    form = order_params(transaction_type="SELL", quantity=40, price="1500", iceberg_legs=4)
    environment.exchange.place("SIM002", "iceberg", form)
    buyer = environment.place(quantity=35, price="1500")
    sold = [order.filled_quantity for order in environment.exchange.book.of_user("SIM002")]
    assert (buyer.status, buyer.filled_quantity, sold) == ("COMPLETE", 35, [10, 10, 10, 5])


def test_a_triggered_stop_can_still_exit_at_the_market(environment: ExchangeEnvironment) -> None:
    """Its price becomes the market's, with a row in the history, so that the journal has it."""
    put(environment, "co", trigger_price=1480)
    second = orders(environment)[1]
    environment.freeze("NSE:INFY", "1460", liquidity=0)
    assert (second.status, second.request.price) == ("OPEN", Decimal("1472.60"))
    environment.exchange.cancel(USER, "co", second.order_id)
    assert second.request.price < 1460
    assert environment.statuses(second)[-2:] == ["OPEN", "OPEN"]
    assert second.history[-1].request == second.request
