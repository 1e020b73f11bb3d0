"""When orders are taken outside continuous trading: windows of after-market orders, and the closing session."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from simulator.errors import KiteError
from tests.unit.simulator.exchange.environment import USER, ExchangeEnvironment
from tests.unit.simulator.exchange.test_trading_days import at, open_day, pass_to, put


@pytest.fixture(scope="module")
def any_day() -> ExchangeEnvironment:
    """A market of which only the clock moves: a new one for each moment takes a while."""
    return open_day(at(12))


FUTURES = {"CDS": "USDINR", "MCX": "CRUDEOIL", "NCO": "CRUDEOILM", "NFO": "NIFTY"}


def listed(environment: ExchangeEnvironment, exchange: str) -> dict[str, Any]:
    """The form of a buy at the last price: of INFY, or of the first future of the exchange."""
    if exchange == "NSE":
        return {"product": "CNC"}
    future = next(
        item
        for item in environment.market.instruments.values()
        if (item.exchange, item.name, item.instrument_type) == (exchange, FUTURES[exchange], "FUT")
    )
    form = {"exchange": exchange, "tradingsymbol": future.tradingsymbol, "product": "NRML"}
    price = environment.market.last_price(future.instrument_token)
    return {**form, "price": price, "quantity": future.lot_size}


@pytest.mark.parametrize(
    ("exchange", "moment", "taken"),
    [
        ("NSE", at(15, 45), False),  # the closing session is under way
        ("NSE", at(15, 59), False),
        ("NSE", at(16), True),
        ("NSE", at(8, 57, days=1), True),
        ("NSE", at(8, 58, days=1), False),
        ("NFO", at(15, 44), False),
        ("NFO", at(15, 45), True),
        ("NFO", at(9, 9, days=1), True),
        ("NFO", at(9, 10, days=1), False),
        ("CDS", at(16, 59), False),
        ("CDS", at(17), True),
        ("MCX", at(23, 29), False),
        ("MCX", at(23, 30), True),
        ("NCO", at(23, 29), False),
        ("NCO", at(23, 30), True),
        ("MCX", at(8, 57, days=1), True),
        ("NSE", at(3, 59, days=1), True),
        ("NSE", at(4, days=1), False),  # maintenance
        ("NSE", at(5, 30, days=1), True),
        ("NSE", at(12, days=5), True),  # a Saturday
    ],
)
def test_after_market_orders_are_taken_in_their_windows(
    any_day: ExchangeEnvironment, exchange: str, moment: datetime, taken: bool
) -> None:
    """Each segment has its own."""
    any_day.clock.moment = moment
    form, before = listed(any_day, exchange), len(any_day.exchange.book.of_user(USER))
    if taken:
        assert put(any_day, "amo", **form).status == "AMO REQ RECEIVED"
        return
    with pytest.raises(KiteError) as refused:
        put(any_day, "amo", **form)
    assert refused.value.status == 400
    assert len(any_day.exchange.book.of_user(USER)) == before


def test_the_closing_session_trades_at_the_closing_price() -> None:
    """MARKET orders of CNC, filled completely; nothing else is taken, and nothing in derivatives."""
    environment = open_day(at(15, 29))
    environment.freeze("NSE:INFY", "1512.5", liquidity=1)
    pass_to(environment, at(15, 39))
    market: dict[str, Any] = {"order_type": "MARKET", "price": None, "market_protection": -1, "product": "CNC"}
    with pytest.raises(KiteError, match="Use the AMO variety"):
        put(environment, **market)
    pass_to(environment, at(15, 40))
    bought = put(environment, quantity=100, **market)
    sold = put(environment, transaction_type="SELL", quantity=40, **market)
    assert [(order.status, order.filled_quantity, order.average_price) for order in (bought, sold)] == [
        ("COMPLETE", 100, Decimal("1512.5")),
        ("COMPLETE", 40, Decimal("1512.5")),
    ]
    others: list[dict[str, Any]] = [{"product": "CNC"}, {**market, "product": "MIS"}, {**market, "product": "MTF"}]
    for changes in others:
        with pytest.raises(KiteError, match="closing session"):
            put(environment, **changes)
    with pytest.raises(KiteError, match="Use the AMO variety"):
        put(environment, **{**listed(environment, "NFO"), "order_type": "LIMIT"})
    pass_to(environment, at(16))
    with pytest.raises(KiteError, match="Use the AMO variety"):
        put(environment, **market)
