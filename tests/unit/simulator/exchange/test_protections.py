"""What the exchange cancels when it matches: far prices of derivatives, and trades of a user with itself."""

from decimal import Decimal
from typing import Any

import pytest

from simulator.exchange.exchange import Exchange
from simulator.exchange.matching.protections import OUTSIDE_PROTECTION, SELF_TRADE
from simulator.exchange.orders.order import Order
from simulator.exchange.orders.rows import order_row
from simulator.market.instrument import Instrument
from tests.unit.simulator.exchange.environment import (
    OTHER_USER,
    START,
    USER,
    ExchangeEnvironment,
    ReusableMarket,
    open_environment,
)
from tests.unit.simulator.exchange.test_varieties import option


@pytest.fixture(scope="module")
def market() -> ReusableMarket:
    return ReusableMarket()


@pytest.fixture
def environment(market: ReusableMarket) -> ExchangeEnvironment:
    return open_environment(market=market, cash=1_000_000_000)


def future(environment: ExchangeEnvironment, *, price: str) -> Instrument:
    found = next(
        item
        for item in environment.market.instruments.values()
        if item.name == "NIFTY" and item.instrument_type == "FUT"
    )
    return environment.freeze(f"NFO:{found.tradingsymbol}", price)


def place(environment: ExchangeEnvironment, instrument: Instrument, **changes: object) -> Order:
    form: dict[str, Any] = {
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.tradingsymbol,
        "product": "NRML",
    }
    return environment.place(**{**form, "quantity": instrument.lot_size, **changes})


@pytest.mark.parametrize(
    ("kind", "last", "side", "price", "status"),
    [
        ("future", "20000", "BUY", "20600", "COMPLETE"),
        ("future", "20000", "BUY", "20600.05", "CANCELLED"),
        ("future", "20000", "SELL", "19400", "COMPLETE"),
        ("future", "20000", "SELL", "19399.95", "CANCELLED"),
        ("option", "200", "BUY", "280", "COMPLETE"),
        ("option", "200", "BUY", "280.05", "CANCELLED"),
        ("option", "200", "SELL", "119.95", "CANCELLED"),
        ("option", "50", "BUY", "70", "COMPLETE"),
        ("option", "50", "SELL", "29.95", "CANCELLED"),
        ("option", "10", "BUY", "30.05", "CANCELLED"),
        ("option", "200", "BUY", "110", "OPEN"),  # far on the side where it cannot trade
    ],
)
def test_a_price_outside_the_protection_is_cancelled_by_the_exchange(
    environment: ExchangeEnvironment, kind: str, last: str, side: str, price: str, status: str
) -> None:
    """3 percent of a future, 40 percent of an option and 20 rupees of a cheap one; it was taken, with an id."""
    instrument = future(environment, price=last) if kind == "future" else option(environment, price=last)
    order = place(environment, instrument, transaction_type=side, price=price)
    assert order.status == status
    if status == "CANCELLED":
        row = order_row(order, order.snapshot(START))
        assert (row["status_message"], row["status_message_raw"]) == (OUTSIDE_PROTECTION, OUTSIDE_PROTECTION)
        assert (row["filled_quantity"], row["exchange_order_id"] is not None) == (0, True)
        assert environment.pushes[-1].status == "CANCELLED"


def test_equity_commodity_and_currency_have_no_such_protection(environment: ExchangeEnvironment) -> None:
    """Far above the last price, it trades at the market."""
    order = environment.place(price=1700)
    assert (order.status, order.average_price) == ("COMPLETE", Decimal(1500))


def test_a_stop_is_checked_when_it_is_triggered(environment: ExchangeEnvironment) -> None:
    """It waited for days at a price that was near the last one then."""
    instrument = option(environment, price="100")
    name = f"NFO:{instrument.tradingsymbol}"
    stop = place(environment, instrument, order_type="SL", price=130, trigger_price=120)
    assert stop.status == "TRIGGER PENDING"
    far = place(environment, instrument, transaction_type="SELL", order_type="SL", price=40, trigger_price=90)
    environment.freeze(name, "80")
    assert (far.status, far.status_message) == ("CANCELLED", OUTSIDE_PROTECTION)
    assert environment.statuses(far)[-3:] == ["TRIGGER PENDING", "OPEN", "CANCELLED"]
    environment.freeze(name, "120")
    assert stop.status == "COMPLETE"


def test_a_modification_outside_the_protection_leaves_the_order(environment: ExchangeEnvironment) -> None:
    """As a refused one, with the reason."""
    instrument = future(environment, price="20000")
    order = place(environment, instrument, price=19900)
    exchange: Exchange = environment.exchange
    exchange.modify(USER, "regular", order.order_id, {"price": "21000"})
    assert (order.status, order.request.price, order.status_message) == ("OPEN", Decimal(19900), OUTSIDE_PROTECTION)
    exchange.modify(USER, "regular", order.order_id, {"price": "20100"})
    assert (order.status, order.request.price) == ("COMPLETE", Decimal(20100))


def test_an_order_does_not_trade_with_one_of_the_same_user(environment: ExchangeEnvironment) -> None:
    """The quote fills what it offers first; then the arriving order is cancelled, and the resting one stays."""
    environment.freeze("NSE:INFY", "1500", liquidity=20)
    environment.place(quantity=20)
    resting = environment.place(quantity=30)
    assert (resting.status, resting.filled_quantity) == ("OPEN", 0)
    sale = environment.place(transaction_type="SELL", quantity=50, price=1490)
    assert (sale.status, sale.filled_quantity, sale.cancelled_quantity) == ("CANCELLED", 0, 50)
    assert (sale.status_message, sale.status_message_raw) == (SELF_TRADE, SELF_TRADE)
    assert (resting.status, resting.filled_quantity) == ("OPEN", 0)
    environment.freeze("NSE:INFY", "1502", liquidity=20)
    sale = environment.place(transaction_type="SELL", quantity=50, price=1490)
    assert (sale.status, sale.filled_quantity, sale.cancelled_quantity) == ("CANCELLED", 20, 30)


def test_two_users_trade_with_each_other_in_the_same_place(environment: ExchangeEnvironment) -> None:
    """What is worse than another user's offer is not reached."""
    environment.freeze("NSE:INFY", "1500", liquidity=20)
    environment.place(quantity=20)
    own, theirs = environment.place(quantity=30, price=1499), environment.place(OTHER_USER, quantity=30)
    environment.freeze("NSE:INFY", "1480", liquidity=0)
    environment.freeze("NSE:INFY", "1500", liquidity=0)
    sale = environment.place(transaction_type="SELL", quantity=30 - theirs.filled_quantity, price=1490)
    assert (sale.status, theirs.status) == ("COMPLETE", "COMPLETE")
    assert own.status == "OPEN"


def test_a_triggered_stop_and_a_modification_do_not_trade_with_oneself(environment: ExchangeEnvironment) -> None:
    """Whatever makes an order one that takes."""
    environment.freeze("NSE:INFY", "1500", liquidity=0)
    resting = environment.place(quantity=10, price=1499)
    sale = environment.place(transaction_type="SELL", quantity=10, price=1520)
    environment.exchange.modify(USER, "regular", sale.order_id, {"price": "1495"})
    assert (sale.status, sale.status_message) == ("CANCELLED", SELF_TRADE)
    stop = environment.place(transaction_type="SELL", quantity=5, order_type="SL", price=1490, trigger_price=1499.5)
    environment.freeze("NSE:INFY", "1499.5", liquidity=0)
    assert (stop.status, stop.status_message) == ("CANCELLED", SELF_TRADE)
    assert resting.status == "OPEN"
