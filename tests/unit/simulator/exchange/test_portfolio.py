"""Funds and shares: one margin rule for placement, funds and margin routes; positions that equal their trades."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import KiteError
from simulator.exchange.accounts.charges import charges
from simulator.exchange.accounts.margins import Exposure, OpenOrder, blocked
from simulator.exchange.accounts.positions import Conversion, Position, position_row
from simulator.exchange.orders.request import TransactionType
from simulator.market.instrument import Instrument
from tests.unit.simulator.exchange.environment import USER, ExchangeEnvironment, ReusableMarket, open_environment


@pytest.fixture(scope="module")
def market() -> ReusableMarket:
    return ReusableMarket()


@pytest.fixture
def environment(market: ReusableMarket) -> ExchangeEnvironment:
    return open_environment(market=market, cash=100_000)


@pytest.fixture(scope="module")
def infy(market: ReusableMarket) -> Instrument:
    instrument = market.find("NSE", "INFY")
    assert instrument is not None
    return instrument


def available(environment: ExchangeEnvironment) -> Decimal:
    return environment.exchange.portfolios[USER].available(environment.exchange.unfilled_orders(USER), segment="equity")


def test_an_order_beyond_the_funds_is_refused_and_not_in_the_book(environment: ExchangeEnvironment) -> None:
    """400 MarginException with both amounts; the ledger has no entry."""
    with pytest.raises(KiteError) as refused:
        environment.place(product="CNC", quantity=100, price="1490")
    assert str(refused.value) == ("Insufficient funds. Required margin is 149000.00 but available margin is 100000.00.")
    assert (refused.value.status, refused.value.error_type) == (400, "MarginException")
    assert len(environment.exchange.ledger) == 0


def test_an_open_order_blocks_what_its_fill_would_block(environment: ExchangeEnvironment) -> None:
    """Placing and filling at the limit block the same amount."""
    order = environment.place(product="CNC", price="1490")
    assert available(environment) == 100_000 - 14_900
    environment.freeze("NSE:INFY", "1490")
    assert order.status == "COMPLETE"
    assert available(environment) == 100_000 - 14_900


def test_a_cancel_releases_the_blocked_funds(environment: ExchangeEnvironment) -> None:
    """The available funds are as before the order."""
    order = environment.place(price="1490")
    assert available(environment) == 100_000 - 14_900 * Decimal("0.2")
    environment.exchange.cancel(USER, "regular", order.order_id)
    assert available(environment) == 100_000


def test_closing_a_position_needs_no_funds_and_adds_the_profit(environment: ExchangeEnvironment) -> None:
    """Bought at 1500, sold at 1510: 100 rupees more than before."""
    environment.place(quantity=10, price="1500")
    environment.freeze("NSE:INFY", "1510")
    environment.place(quantity=10, price="1505", transaction_type="SELL")
    assert available(environment) == 100_000 + 10 * (environment.exchange.book.of_user(USER)[1].average_price - 1500)


def test_shares_that_the_user_does_not_have_cannot_be_sold(environment: ExchangeEnvironment) -> None:
    """400 HoldingException; holdings of the first day can be sold."""
    with pytest.raises(KiteError) as refused:
        environment.place(product="CNC", transaction_type="SELL", quantity=101)
    assert (refused.value.status, refused.value.error_type) == (400, "HoldingException")
    assert str(refused.value).startswith("Insufficient stock holding")
    assert environment.place(product="CNC", transaction_type="SELL", quantity=100, price="1490").status == "COMPLETE"
    with pytest.raises(KiteError, match="0 available"):
        environment.place(product="CNC", transaction_type="SELL", quantity=1, price="1490")


def test_pending_sales_reduce_the_sellable_shares(environment: ExchangeEnvironment) -> None:
    """Two orders cannot sell the same shares."""
    environment.place(product="CNC", transaction_type="SELL", quantity=60, price="1600")
    with pytest.raises(KiteError, match="40 available"):
        environment.place(product="CNC", transaction_type="SELL", quantity=60, price="1600")


def test_a_modification_is_paid_for_without_counting_the_order_twice(environment: ExchangeEnvironment) -> None:
    """The order as it was is left out while the modified one is checked."""
    order = environment.place(product="CNC", quantity=60, price="1490")
    environment.exchange.modify(USER, "regular", order.order_id, {"price": "1495"})
    with pytest.raises(KiteError, match="Insufficient funds"):
        environment.exchange.modify(USER, "regular", order.order_id, {"quantity": "70"})


def test_conversion_moves_a_position_between_products_at_its_price(environment: ExchangeEnvironment) -> None:
    """The margin is that of the new product."""
    environment.place(quantity=10)
    instrument = environment.exchange.instrument("NSE", "INFY")
    conversion = Conversion(USER, instrument, "BUY", 4, old_product="MIS", new_product="CNC", overnight=False)
    environment.exchange.convert(conversion)
    quantities = {
        key[2]: position.quantity for key, position in environment.exchange.portfolios[USER].positions.items()
    }
    assert quantities == {"MIS": 6, "CNC": 4}
    assert available(environment) == 100_000 - 6 * 300 - 4 * 1500
    with pytest.raises(KiteError, match="more than the open position"):
        environment.exchange.convert(replace(conversion, quantity=7))


def test_a_position_row_follows_kites_formulas(infy: Instrument) -> None:
    """Bought 10 at 100, sold 4 at 110, last price 120, previous close 90."""
    position = Position(infy, "MIS")
    position.trade("BUY", 10, Decimal(100))
    position.trade("SELL", 4, Decimal(110))
    row = position_row(position, last_price=Decimal(120), close_price=Decimal(90))
    assert len(row) == 29
    assert (row["quantity"], row["average_price"], row["value"]) == (6, 100, -560)
    assert row["pnl"] == row["m2m"] == row["unrealised"] == -560 + 6 * 120
    assert (row["buy_quantity"], row["buy_price"], row["sell_price"]) == (10, 100, 110)


def test_a_currency_position_is_valued_by_the_units_of_its_lot(market: ReusableMarket) -> None:
    """The quantity counts lots; a lot of USDINR is 1,000 dollars."""
    usd = next(i for i in market.instruments.values() if i.exchange == "CDS" and i.instrument_type == "FUT")
    position = Position(usd, "NRML")
    position.trade("BUY", 2, Decimal("83.5"))
    row = position_row(position, last_price=Decimal("83.6"), close_price=Decimal(83))
    assert (row["multiplier"], row["buy_value"], row["buy_price"], row["pnl"]) == (1000, 167_000, 83.5, 200)


def test_charges_of_a_delivery_order_match_kites_sample(infy: Instrument) -> None:
    """One INFY at 1498: tax and the fees of exchange and SEBI as in Kite's contract note, stamp duty unrounded."""
    row = charges(infy, product="CNC", side="BUY", quantity=1, price=Decimal(1498))
    assert row["transaction_tax"] == 1.498
    assert row["exchange_turnover_charge"] == 0.051681
    assert row["sebi_turnover_charge"] == 0.001498
    assert row["stamp_duty"] == 0.2247


SIDES = st.sampled_from(["BUY", "SELL"])


@given(
    st.lists(
        st.tuples(SIDES, st.integers(1, 50), st.integers(1, 500).map(lambda tick: Decimal(tick) / 20)), max_size=12
    )
)
def test_a_position_equals_the_sum_of_its_trades(
    infy: Instrument, trades: Sequence[tuple[TransactionType, int, Decimal]]
) -> None:
    """In quantity, value, and realised and unrealised profit."""
    position = Position(infy, "MIS")
    for side, quantity, price in trades:
        position.trade(side, quantity, price)
    signed = sum(quantity if side == "BUY" else -quantity for side, quantity, _ in trades)
    spent = sum((quantity * price * (1 if side == "BUY" else -1) for side, quantity, price in trades), Decimal(0))
    assert position.quantity == signed
    assert position.buy_value - position.sell_value == spent
    assert abs(position.quantity * position.open_price - position.realised - spent) < Decimal("0.0001")
    assert position.open_price >= 0


@given(
    quantity=st.integers(-50, 50),
    orders=st.lists(st.tuples(SIDES, st.integers(1, 50), st.integers(1, 500)), max_size=6),
)
def test_blocked_funds_are_never_negative_and_never_fall_with_an_order(
    infy: Instrument, quantity: int, orders: Sequence[tuple[TransactionType, int, int]]
) -> None:
    """An order may need no funds, but it never releases any."""
    exposure = Exposure(infy, "MIS", quantity, Decimal(100))
    for side, size, price in orders:
        larger = exposure.adding(OpenOrder(side=side, quantity=size, price=Decimal(price)))
        assert blocked(larger) >= blocked(exposure) - Decimal("0.0001") >= Decimal("-0.0001")
        exposure = larger
