"""What is wrong with an order, found without the broker and without stored state."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from app.broker.market import Instrument
from app.broker.orders import Exchange, OrderChanges, OrderType, Product, TransactionType, Validity, Variety
from app.orders.entry.validation import check_changes, check_expiry, check_fields, with_defaults
from tests.order_requests import order


def instrument(**changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "instrument_token": 408065,
        "exchange_token": 1594,
        "tradingsymbol": "INFY",
        "name": "INFOSYS",
        "expiry": None,
        "strike": Decimal(0),
        "tick_size": Decimal("0.05"),
        "lot_size": 1,
        "instrument_type": "EQ",
        "segment": "NSE",
        "exchange": "NSE",
    }
    return Instrument(**{**fields, **changes})


NIFTY_FUT = instrument(
    exchange="NFO", tradingsymbol="NIFTY26JULFUT", lot_size=75, segment="NFO-FUT", expiry=date(2026, 7, 28)
)
FUT: dict[str, Any] = {"exchange": Exchange.NFO, "tradingsymbol": "NIFTY26JULFUT", "product": Product.NRML}


def test_commodities_are_counted_in_lots_on_both_exchanges() -> None:
    """NCO's are ordered like those of MCX: one is one lot, for carrying over, with nothing disclosed."""
    for exchange in ("MCX", "NCO"):
        future = instrument(exchange=exchange, tradingsymbol="GOLD26JULFUT", lot_size=100, segment=f"{exchange}-FUT")
        wanted: dict[str, Any] = {"exchange": Exchange(exchange), "tradingsymbol": "GOLD26JULFUT", "quantity": 1}
        assert check_fields(order(**wanted, product=Product.NRML), instrument=future) == []
        wrong = order(**wanted, product=Product.CNC, disclosed_quantity=1)
        assert [one.loc for one in check_fields(wrong, instrument=future)] == [("disclosed_quantity",), ("product",)]


def test_a_proper_order_has_no_problem() -> None:
    """Equity in shares, futures in lots."""
    assert check_fields(order(), instrument=instrument()) == []
    assert check_fields(order(**FUT, quantity=150), instrument=NIFTY_FUT) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"price": None}, "price"),
        ({"price": Decimal(0)}, "price"),
        ({"price": Decimal("-1.03")}, "price"),  # said once, not of its tick as well
        ({"price": Decimal("1400.03")}, "price"),  # not on the tick
        ({"order_type": OrderType.MARKET}, "price"),  # a market order has none
        ({"order_type": OrderType.SL}, "trigger_price"),
        ({"order_type": OrderType.SL_M, "price": None}, "trigger_price"),
        ({"order_type": OrderType.SL, "trigger_price": Decimal("1390.01")}, "trigger_price"),
        ({"trigger_price": Decimal(1390)}, "trigger_price"),  # a limit order has none
        ({"order_type": OrderType.SL, "trigger_price": Decimal(-1)}, "trigger_price"),
        ({"order_type": OrderType.SL, "trigger_price": Decimal("1400.05")}, "price"),  # buys below its trigger
        (
            {"order_type": OrderType.SL, "transaction_type": TransactionType.SELL, "trigger_price": Decimal("1399.95")},
            "price",  # sells above its trigger
        ),
        ({"variety": Variety.CO}, "trigger_price"),
        ({"market_protection": Decimal(0)}, "market_protection"),
        ({"market_protection": Decimal(101)}, "market_protection"),
        ({"disclosed_quantity": 11}, "disclosed_quantity"),
        ({"validity": Validity.TTL}, "validity_ttl"),
        ({"validity_ttl": 5}, "validity_ttl"),
        ({"product": Product.NRML}, "product"),  # derivatives only
        ({"variety": Variety.ICEBERG, "iceberg_quantity": 5}, "iceberg_legs"),
        ({"variety": Variety.ICEBERG, "iceberg_legs": 51, "iceberg_quantity": 5}, "iceberg_legs"),
        ({"variety": Variety.ICEBERG, "iceberg_legs": 2}, "iceberg_quantity"),
        (
            {"variety": Variety.ICEBERG, "iceberg_legs": 11, "iceberg_quantity": 5},
            "iceberg_legs",
        ),  # of a quantity of 10
        ({"variety": Variety.ICEBERG, "iceberg_legs": 3, "iceberg_quantity": 3}, "iceberg_quantity"),
        (
            {"variety": Variety.ICEBERG, "iceberg_legs": 2, "iceberg_quantity": 5, "validity": Validity.IOC},
            "validity",
        ),
        ({"iceberg_legs": 2}, "variety"),
        ({"variety": Variety.AUCTION}, "auction_number"),
        ({"auction_number": "1"}, "auction_number"),
        ({"autoslice": True, "variety": Variety.AMO}, "autoslice"),
        ({"not_above": Decimal(0)}, "not_above"),
        ({"not_below": Decimal(-1)}, "not_below"),
        ({"not_above": Decimal(1400), "not_below": Decimal("1400.05")}, "not_below"),
    ],
)
def test_each_problem_names_its_field(changes: dict[str, Any], field: str) -> None:
    """One wrong thing, one problem, at the field that is wrong."""
    assert [problem.loc for problem in check_fields(order(**changes), instrument=instrument())] == [(field,)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 76}, "quantity"),  # 75 a lot
        ({"quantity": 75, "product": Product.CNC}, "product"),  # equity only
        ({"quantity": 75, "disclosed_quantity": 10}, "disclosed_quantity"),  # equity only
    ],
)
def test_derivatives_have_limits_of_their_own(changes: dict[str, Any], field: str) -> None:
    """Lots, products, no disclosed quantity."""
    wanted = order(**{**FUT, **changes})
    assert [problem.loc for problem in check_fields(wanted, instrument=NIFTY_FUT)] == [(field,)]


def test_a_modification_keeps_to_lots() -> None:
    """75 a lot; without an instrument nothing is known of lots."""
    assert [one.loc for one in check_changes(OrderChanges(quantity=76), instrument=NIFTY_FUT)] == [("quantity",)]
    assert check_changes(OrderChanges(quantity=150), instrument=NIFTY_FUT) == []
    assert check_changes(OrderChanges(quantity=76), instrument=None) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"price": Decimal("0.05")},
        {"quantity": 1},
        {"disclosed_quantity": 0},
        {"disclosed_quantity": 10},
        {"market_protection": Decimal(-1)},
        {"market_protection": Decimal("0.5")},
        {"market_protection": Decimal(100)},
        {"order_type": OrderType.SL, "trigger_price": Decimal("0.05")},
        {"order_type": OrderType.SL_M, "price": None, "trigger_price": Decimal(1390)},
        {"variety": Variety.CO, "trigger_price": Decimal(1390)},
        {"variety": Variety.AMO},
        {"variety": Variety.AUCTION, "auction_number": "1"},
        {"variety": Variety.ICEBERG, "iceberg_legs": 2, "iceberg_quantity": 5},
        {"variety": Variety.ICEBERG, "iceberg_legs": 10, "iceberg_quantity": 1},
        {"variety": Variety.ICEBERG, "quantity": 50, "iceberg_legs": 50, "iceberg_quantity": 1},
        {"validity": Validity.TTL, "validity_ttl": 1},
        {"validity": Validity.IOC},
        {"autoslice": True},
        {"product": Product.MTF},
    ],
)
def test_orders_at_the_edge_of_what_is_allowed_pass(changes: dict[str, Any]) -> None:
    """The smallest and the largest that is allowed."""
    assert check_fields(order(**changes), instrument=instrument()) == []


def test_mcx_counts_in_lots_and_takes_no_ioc() -> None:
    """Quantity 1 is one lot there, whatever the lot size."""
    gold = instrument(exchange="MCX", segment="MCX-FUT", lot_size=100, tick_size=Decimal(1))
    wanted = order(exchange=Exchange.MCX, product=Product.NRML, quantity=1)
    assert check_fields(wanted, instrument=gold) == []
    ioc = order(exchange=Exchange.MCX, product=Product.NRML, quantity=1, validity=Validity.IOC)
    assert [problem.loc for problem in check_fields(ioc, instrument=gold)] == [("validity",)]


def test_an_expired_contract_cannot_be_traded() -> None:
    """On its last day it can: when it ends is the broker's to say."""
    assert not list(check_expiry(instrument(), today=date(2030, 1, 1)))
    assert not list(check_expiry(NIFTY_FUT, today=date(2026, 7, 28)))
    assert [one.loc for one in check_expiry(NIFTY_FUT, today=date(2026, 7, 29))] == [("tradingsymbol",)]


def test_an_index_cannot_be_traded() -> None:
    """NIFTY 50 is a number, not a security."""
    index = instrument(segment="INDICES", tradingsymbol="NIFTY 50")
    assert "index" in check_fields(order(), instrument=index)[0].msg


def test_all_problems_come_in_one_answer() -> None:
    """A caller mends an order in one round, not in five."""
    found = check_fields(order(quantity=-1, price=None, validity_ttl=1), instrument=None, user_tag="not ok!")
    assert {problem.loc[0] for problem in found} == {"quantity", "price", "validity_ttl", "tag"}


def test_market_orders_get_the_protection_that_is_compulsory() -> None:
    """-1 where the caller said nothing; the caller's own value otherwise; limit orders none."""
    market = order(order_type=OrderType.MARKET, price=None)
    assert with_defaults(market).market_protection == -1
    chosen = order(order_type=OrderType.MARKET, price=None, market_protection=Decimal(2))
    assert with_defaults(chosen).market_protection == 2
    assert with_defaults(order()).market_protection is None


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (OrderChanges(), [()]),
        (OrderChanges(quantity=0), [("quantity",)]),
        (OrderChanges(price=Decimal("1400.03")), [("price",)]),
        (OrderChanges(price=Decimal(-1), trigger_price=Decimal(0)), [("price",), ("trigger_price",)]),
        (OrderChanges(price=Decimal("1400.05")), []),
        (OrderChanges(price=Decimal("0.05"), trigger_price=Decimal("0.05")), []),
        (OrderChanges(trigger_price=Decimal("1400.03")), [("trigger_price",)]),
        (OrderChanges(quantity=1), []),
        (OrderChanges(validity=Validity.TTL), [("validity_ttl",)]),
        (OrderChanges(validity=Validity.TTL, validity_ttl=3), []),
        (OrderChanges(validity=Validity.DAY, validity_ttl=3), [("validity_ttl",)]),
        (OrderChanges(validity_ttl=3), [("validity_ttl",)]),
        (OrderChanges(market_protection=Decimal(0)), [("market_protection",)]),
    ],
)
def test_modifications_are_checked_like_orders(changes: OrderChanges, fields: list[tuple[str, ...]]) -> None:
    """Nothing to change is a problem too."""
    assert [problem.loc for problem in check_changes(changes, instrument=instrument())] == fields
