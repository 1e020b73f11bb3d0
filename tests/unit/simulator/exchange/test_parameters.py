"""Refused parameters: the sentence, type and code of each refusal."""

from decimal import Decimal

import pytest

from simulator.errors import KiteError
from simulator.exchange.entry.market_protection import automatic_band, protected_price
from simulator.exchange.entry.parameters import parse_place
from tests.unit.simulator.exchange.environment import (
    USER,
    ExchangeEnvironment,
    ReusableMarket,
    open_environment,
    order_params,
)

FUTURE = {"exchange": "NFO", "tradingsymbol": "NIFTY26JULFUT", "product": "NRML", "price": "25000"}


@pytest.fixture(scope="module")
def market() -> ReusableMarket:
    return ReusableMarket()


@pytest.fixture
def environment(market: ReusableMarket) -> ExchangeEnvironment:
    environment = open_environment(market=market)
    environment.freeze("NFO:NIFTY26JULFUT", "25000")
    return environment


@pytest.mark.parametrize(
    "field", ["exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type", "price"]
)
def test_a_missing_field_is_named(environment: ExchangeEnvironment, field: str) -> None:
    """400 InputException with Kite's sentence; nothing is placed."""
    with pytest.raises(KiteError) as refused:
        environment.place(USER, **{field: None})
    assert str(refused.value) == f"Missing or empty field `{field}`"
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")
    assert len(environment.exchange.ledger) == 0


REFUSALS = [
    ({"exchange": "NYSE"}, "Invalid `exchange`."),
    ({"tradingsymbol": "NOSUCH"}, "has either expired or does not exist"),
    ({"tradingsymbol": "NIFTY 50"}, "is an index and cannot be traded"),
    ({"transaction_type": "HOLD"}, "Invalid `transaction_type`."),
    ({"product": "BO"}, "Invalid `product`."),
    ({"order_type": "STOP"}, "Invalid `order_type`."),
    ({"validity": "GTC"}, "Invalid `validity`."),
    ({"validity": "TTL"}, "Missing or empty field `validity_ttl`"),
    ({"quantity": "0"}, "Invalid `quantity`."),
    ({"quantity": "-5"}, "Invalid `quantity`."),
    ({"quantity": "1.5"}, "Invalid `quantity`."),
    ({"quantity": "many"}, "Invalid `quantity`."),
    ({"quantity": "NaN"}, "Invalid `quantity`."),
    ({"price": "-1"}, "Invalid `price`."),
    ({"price": "1500.03"}, "Tick size for this script is 0.05."),
    ({"price": "Infinity"}, "Invalid `price`."),
    ({"disclosed_quantity": 11}, "`disclosed_quantity` cannot be more than `quantity`."),
    ({"product": "NRML"}, "NRML orders are allowed only in derivatives"),
    ({"tag": "A" * 21}, "`tag` should be max 20 characters"),
    ({"tag": "a-b"}, "`tag` should be alphanumeric"),
    ({"order_type": "SL", "trigger_price": None}, "Missing or empty field `trigger_price`"),
    ({"order_type": "SL", "trigger_price": "1499", "price": "1510"}, "should be higher than the last traded price"),
    ({"order_type": "SL", "trigger_price": "1510", "price": "1505"}, "cannot be below the trigger price"),
    (
        {"order_type": "SL", "transaction_type": "SELL", "trigger_price": "1", "price": "1"},
        "Trigger price for stoploss sell orders cannot be below the lower circuit price",
    ),
    ({"order_type": "SL", "trigger_price": "1510", "price": "1515", "validity": "IOC"}, "only with DAY validity"),
    ({**FUTURE, "quantity": 10}, "multiples of the lot size 75"),
    ({**FUTURE, "quantity": 1875}, "above the freeze quantity 1800"),
    ({**FUTURE, "quantity": 75, "product": "CNC"}, "CNC orders are allowed only in equity"),
    ({**FUTURE, "quantity": 75, "disclosed_quantity": 75}, "allowed only in equity"),
    ({"order_type": "MARKET", "market_protection": "101"}, "`market_protection` should be -1 or a percentage"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS)
def test_a_bad_field_is_refused_before_anything_is_placed(
    environment: ExchangeEnvironment, changes: dict[str, object], message: str
) -> None:
    """400 InputException that names the field; neither book nor ledger has the order."""
    with pytest.raises(KiteError) as refused:
        environment.place(USER, **changes)
    assert message in str(refused.value)
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")
    assert len(environment.exchange.ledger) == 0
    assert environment.exchange.book.of_user(USER) == []


@pytest.mark.parametrize("order_type", ["MARKET", "SL-M"])
@pytest.mark.parametrize("protection", [None, "0"])
def test_market_orders_without_protection_are_refused_with_kites_sentence(
    environment: ExchangeEnvironment, order_type: str, protection: str | None
) -> None:
    """As at Kite since April 2026."""
    with pytest.raises(KiteError) as refused:
        environment.place(order_type=order_type, price=None, trigger_price="1510", market_protection=protection)
    assert str(refused.value) == (
        "Market orders without market protection are not allowed via API. "
        "Please set market protection or use a Limit order."
    )
    assert (refused.value.status, refused.value.error_type) == (400, "InputException")


@pytest.mark.parametrize(
    ("protection", "price", "tag"), [("-1", "1507.50", "mktp:0.50"), ("2", "1530.00", "mktp:2.00")]
)
def test_a_protected_market_order_is_booked_as_a_limit(
    environment: ExchangeEnvironment, protection: str, price: str, tag: str
) -> None:
    """Its limit is the last price plus the band; it is tagged, and the parameter is 0."""
    request = environment.place(order_type="MARKET", price=None, market_protection=protection, tag="MINE").request
    assert (request.order_type, request.price, request.market_protection) == (
        "LIMIT",
        Decimal(price),
        Decimal(0),
    )
    assert request.tags == ("MINE", "mktp", tag)


@pytest.mark.parametrize(
    ("price", "kind", "band"),
    [
        ("9.95", "other", "2"),  # below 10
        ("10", "other", "2"),
        ("99.95", "other", "2"),
        ("100", "other", "1"),
        ("500", "other", "0.5"),
        ("9.95", "option", "5"),
        ("10", "option", "3"),
        ("100", "option", "2"),
        ("500", "option", "1"),
    ],
)
def test_the_automatic_band_follows_kites_table(price: str, kind: str, band: str) -> None:
    """The band depends on the price and the kind of instrument."""
    assert automatic_band(Decimal(price), kind="option" if kind == "option" else "other") == Decimal(band)


def test_a_protected_price_is_rounded_outwards_to_the_tick() -> None:
    """Buys up and sells down, so that the band is never narrower than requested."""
    tick = Decimal("0.05")
    assert protected_price(Decimal("1500.05"), band=Decimal(1), side="BUY", tick_size=tick) == Decimal("1515.10")
    assert protected_price(Decimal("1500.05"), band=Decimal(1), side="SELL", tick_size=tick) == Decimal("1485.00")


def test_unknown_fields_and_whole_floats_are_accepted() -> None:
    """Official clients repeat `variety` in the body and write 10 as 10.0."""
    request = parse_place("regular", order_params(quantity="10.0", variety="regular", whatever="x"))
    assert request.quantity == 10


def test_prices_that_an_order_type_does_not_use_are_dropped() -> None:
    """A LIMIT has no trigger, a MARKET has no price."""
    assert parse_place("regular", order_params(trigger_price="1490")).trigger_price == 0
    assert parse_place("regular", order_params(order_type="MARKET")).price == 0


@pytest.mark.parametrize(
    ("variety", "changes", "message"),
    [
        ("iceberg", {}, "Missing or empty field `iceberg_legs`"),
        ("iceberg", {"iceberg_legs": 1}, "`iceberg_legs` should be between 2 and 50"),
        ("iceberg", {"iceberg_legs": 11}, "cannot be cut into 11 legs"),
        ("iceberg", {"iceberg_legs": 2, "validity": "IOC"}, "not allowed with IOC"),
        ("iceberg", {"iceberg_legs": 2, "order_type": "SL", "trigger_price": 1510, "price": 1520}, "only with LIMIT"),
        ("co", {}, "Missing or empty field `trigger_price`"),
        ("co", {"trigger_price": 1500}, "should be lower than its price"),
        ("co", {"transaction_type": "SELL", "trigger_price": 1499}, "should be higher than its price"),
        ("amo", {"validity": "IOC"}, "only with DAY validity"),
        ("auction", {}, "Missing or empty field `auction_number`"),
        ("auction", {"auction_number": "1"}, "only for selling holdings"),
        ("auction", {"auction_number": "1", "transaction_type": "SELL", "product": "CNC"}, "No auction with this"),
    ],
)
def test_a_variety_requires_its_own_fields(
    environment: ExchangeEnvironment, variety: str, changes: dict[str, object], message: str
) -> None:
    """400 that names the field or the rule; there is no order."""
    with pytest.raises(KiteError, match=message) as refused:
        environment.exchange.place(USER, variety, order_params(**changes))
    assert (refused.value.status, len(environment.exchange.ledger)) == (400, 0)


def test_an_unknown_variety_is_a_method_that_is_not_allowed(environment: ExchangeEnvironment) -> None:
    """405 GeneralException: Kite routes by variety."""
    with pytest.raises(KiteError) as refused:
        environment.exchange.place(USER, "foo", order_params())
    assert (refused.value.status, str(refused.value)) == (405, "Request method not allowed")
