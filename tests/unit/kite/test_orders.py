"""Order forms and order rows."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.broker.orders import (
    Exchange,
    OrderChanges,
    OrderRequest,
    OrderType,
    Product,
    TransactionType,
    Validity,
    Variety,
)
from app.broker.outcomes import ChildOrder
from app.errors import BrokerUnavailable
from app.kit.clock import IST
from app.kite.wire.orders import (
    Placed,
    cancel_query,
    margin_body,
    modify_form,
    parse_orders,
    parse_placed,
    parse_trades,
    place_form,
)
from tests.unit.kite.fixtures import official_fixture

LIMIT = OrderRequest(
    exchange=Exchange.NSE,
    tradingsymbol="M&M",
    transaction_type=TransactionType.BUY,
    quantity=10,
    product=Product.MIS,
    order_type=OrderType.LIMIT,
    price=Decimal("1500.05"),
)
ROW: dict[str, Any] = {
    "order_id": "1953341975595868160",
    "status": "OPEN",
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
}


class TestForms:
    def test_place_sends_kites_names_and_nothing_absent(self) -> None:
        """Only what the request has, all of it as text."""
        assert place_form(LIMIT, tag="AB01") == {
            "exchange": "NSE",
            "tradingsymbol": "M&M",
            "transaction_type": "BUY",
            "quantity": "10",
            "product": "MIS",
            "order_type": "LIMIT",
            "price": "1500.05",
            "validity": "DAY",
            "tag": "AB01",
        }

    def test_place_sends_every_field_of_the_request(self) -> None:
        """No field of OrderRequest is forgotten; variety is in the path."""
        full = OrderRequest(
            exchange=Exchange.NFO,
            tradingsymbol="NIFTY25JULFUT",
            transaction_type=TransactionType.SELL,
            quantity=1800,
            product=Product.NRML,
            order_type=OrderType.SL_M,
            variety=Variety.ICEBERG,
            price=Decimal("1E+3"),
            trigger_price=Decimal("0.0005"),
            validity=Validity.TTL,
            validity_ttl=2,
            disclosed_quantity=0,
            iceberg_legs=5,
            iceberg_quantity=360,
            auction_number="22",
            market_protection=Decimal(-1),
            autoslice=True,
            algo_id="NSE:ALGO-17",
        )
        form = place_form(full, tag="T")
        assert set(form) == set(full.to_json()) - {"variety"} | {"tag"}
        assert form["price"] == "1000"
        assert form["trigger_price"] == "0.0005"
        assert (form["order_type"], form["market_protection"], form["autoslice"]) == ("SL-M", "-1", "true")
        assert form["disclosed_quantity"] == "0"

    @given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False))
    def test_prices_are_plain_decimal_text(self, price: Decimal) -> None:
        """No exponent ever reaches the broker, and the value is exact."""
        text = modify_form(OrderChanges(price=price))["price"]
        assert "E" not in text.upper()
        assert Decimal(text) == price

    def test_modify_sends_only_what_changes(self) -> None:
        """An untouched quantity is not repeated: its meaning after a partial fill is undocumented."""
        changes = OrderChanges(price=Decimal("10.5"), order_type=OrderType.LIMIT)
        assert modify_form(changes) == {"price": "10.5", "order_type": "LIMIT"}

    def test_a_modification_has_each_change_and_the_leg_that_a_stop_belongs_to(self) -> None:
        """The minutes of validity TTL too."""
        changes = OrderChanges(validity=Validity.TTL, validity_ttl=3)
        form = modify_form(changes, parent_order_id="7")
        assert form == {"validity": "TTL", "validity_ttl": "3", "parent_order_id": "7"}
        names = set(OrderChanges.__dataclass_fields__)
        assert set(modify_form(OrderChanges(**dict.fromkeys(names, 1)))) == names  # type: ignore[arg-type]

    def test_cancel_names_the_parent_only_if_there_is_one(self) -> None:
        """The second leg of a cover order."""
        assert cancel_query(parent_order_id="7") == {"parent_order_id": "7"}
        assert cancel_query(parent_order_id=None) == {}

    def test_margin_rows_have_numbers(self) -> None:
        """The margins endpoint reads JSON numbers, zero where there is no price."""
        (row,) = margin_body([LIMIT])
        assert (row["price"], row["trigger_price"], row["quantity"], row["variety"]) == (1500.05, 0.0, 10, "regular")


class TestPlaced:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ({"order_id": "1"}, Placed(order_id="1")),
            ({"order_id": 1}, Placed(order_id="1")),
            ({"order_id": "1", "children": []}, Placed(order_id="1")),
            (
                {"order_id": "1", "children": [{"order_id": "2"}]},
                Placed(order_id="1", children=(ChildOrder(order_id="2"),)),
            ),
            (
                [{"order_id": "1"}, {"error": {"error_type": "InputException", "message": "m"}}],
                Placed(
                    order_id="1",
                    children=(ChildOrder(order_id="1"), ChildOrder(error_type="InputException", message="m")),
                ),
            ),
            (
                {"children": [{"error": {}}, {"order_id": "3"}]},
                Placed(
                    order_id="3",
                    children=(
                        ChildOrder(error_type="GeneralException", message="the broker gave no reason"),
                        ChildOrder(order_id="3"),
                    ),
                ),
            ),
            ([{"error": {"error_type": "MarginException", "message": "m"}}], None),
            ([], None),
            ({}, None),
            ("1", None),
            (None, None),
            ({"order_id": {}}, None),
        ],
    )
    def test_shapes_of_a_placement_answer(self, data: object, expected: Placed | None) -> None:
        """Object, object with children, flat array; None wherever no order id can be read."""
        assert parse_placed(data) == expected


class TestOrderRows:
    def test_times_are_ist_and_aware(self) -> None:
        """``2025-08-07 11:56:32`` is the wall clock of Mumbai."""
        (order,) = parse_orders([{**ROW, "order_timestamp": "2025-08-07 11:56:32"}])
        assert order.order_timestamp == datetime(2025, 8, 7, 11, 56, 32, tzinfo=IST)

    def test_each_field_of_a_row_has_its_own_value(self) -> None:
        """All that decides something: what it is an order for, its terms, and what has become of it."""
        texts = {"product": "MIS", "order_type": "LIMIT", "variety": "regular", "validity": "DAY",
                 "parent_order_id": "6", "status_message": "why", "tag": "SV1"}  # fmt: skip
        numbers = {"price": 1400.05, "trigger_price": 1390, "average_price": 1399.95, "filled_quantity": 4,
                   "pending_quantity": 5, "cancelled_quantity": 1, "disclosed_quantity": 2}  # fmt: skip
        (order,) = parse_orders([{**ROW, **texts, **numbers}])
        assert {name: getattr(order, name) for name in (*ROW, *texts)} == {**ROW, **texts}
        found = {name: Decimal(str(getattr(order, name))) for name in numbers if hasattr(order, name)}
        assert found == {name: Decimal(str(numbers[name])) for name in found}
        assert {"price", "trigger_price", "average_price", "filled_quantity"} <= found.keys()

    @pytest.mark.parametrize("value", [None, "", "0001-01-01 00:00:00", "1970-01-01 00:00:00"])
    def test_no_time_has_four_spellings(self, value: object) -> None:
        """All of them are None."""
        (order,) = parse_orders([{**ROW, "exchange_timestamp": value}])
        assert order.exchange_timestamp is None

    def test_missing_keys_have_their_empty_value(self) -> None:
        """The "sometimes" keys may be missing altogether."""
        (order,) = parse_orders([ROW])
        assert (order.filled_quantity, order.average_price, order.tag, order.tags) == (0, Decimal(0), None, ())
        assert order.raw is ROW

    def test_a_row_that_is_as_before_is_taken_as_it_was(self) -> None:
        """What changed, in a field that we name or in another one, is read anew; so is an id of a wrong shape."""
        other = {**ROW, "order_id": "2"}
        before = {order.order_id: order for order in parse_orders([ROW, other])}
        same, named, unnamed = parse_orders(
            [dict(ROW), {**other, "status": "COMPLETE"}, {**other, "meta": 1}], known=before
        )
        assert same is before[ROW["order_id"]]
        assert (named.status, unnamed.raw["meta"]) == ("COMPLETE", 1)
        assert parse_orders([{**ROW, "order_id": []}], known=before).good == []

    @pytest.mark.parametrize("meta", [{}, "text", None, {"iceberg": {"leg": 1}}, [1]])
    def test_meta_may_be_anything(self, meta: object) -> None:
        """It is kept as it came."""
        (order,) = parse_orders([{**ROW, "meta": meta}])
        assert order.raw["meta"] == meta

    def test_unknown_status_and_keys_are_kept(self) -> None:
        """Statuses are an open set; a new one is live."""
        (order,) = parse_orders([{**ROW, "status": "FUTURE STATE", "new_key": 1}])
        assert (order.status, order.is_terminal) == ("FUTURE STATE", False)

    @pytest.mark.parametrize(
        ("tag", "tags"), [("T1", None), (None, ["mktp", "T1"]), ("T1", ["T1", "autoslice:5"]), (None, "T1")]
    )
    def test_our_tag_is_found_in_tag_and_tags(self, tag: object, tags: object) -> None:
        """Kite repeats it in both, sometimes only in one."""
        (order,) = parse_orders([{**ROW, "tag": tag, "tags": tags}])
        assert "T1" in {order.tag, *order.tags}

    def test_prices_keep_their_shortest_form(self) -> None:
        """Any binary tail of a float is the broker's; none is added here."""
        (order,) = parse_orders([{**ROW, "price": 109.4, "average_price": "109.35", "quantity": 10.0}])
        assert (order.price, order.average_price, order.quantity) == (Decimal("109.4"), Decimal("109.35"), 10)

    @pytest.mark.parametrize(
        "change",
        [
            {"order_id": None},
            {"order_id": ""},
            {"status": None},
            {"quantity": "ten"},
            {"filled_quantity": 1.5},
            {"price": "NaN"},
            {"price": {}},
            {"quantity": True},
            {"quantity": -1},
            {"quantity": 3e9},
            {"price": "1e-999999"},
            {"average_price": "0." + "1" * 100_000},
            {"order_id": "7" * 4000},
            {"tag": {}},
            {"tags": [None]},
        ],
    )
    def test_one_unreadable_row_does_not_hide_the_others(self, change: dict[str, Any]) -> None:
        """It is left out and named, so that the reader knows that the book may lack an order."""
        found = parse_orders([ROW, {**ROW, "order_id": "8", **change}, {**ROW, "order_id": "9"}])
        assert [row.order_id for row in found] == [ROW["order_id"], "9"]
        (bad,) = found.bad
        assert bad.place == "row 1"
        assert bad.reason.startswith(next(iter(change)))

    @pytest.mark.parametrize(
        ("row", "subject", "tags"),
        [
            ({"order_id": "8", "tag": "T", "tags": ["T", "U"]}, "8", {"T", "U"}),
            ({"order_id": "8", "tag": None}, "8", set()),
            ({"order_id": 8, "tags": "T"}, "8", {"T"}),
            ({"order_id": "8", "tag": []}, "8", None),
            ({"order_id": "8", "tag": "T", "tags": [1]}, "8", None),
            ({"order_id": "", "tag": "T"}, None, {"T"}),
            ({}, None, set()),
            (None, None, None),
            ([], None, None),
        ],
    )
    def test_what_is_legible_of_an_unreadable_row(
        self, row: object, subject: str | None, tags: set[str] | None
    ) -> None:
        """Its id, and its tags only as a whole: one that cannot be read may be ours."""
        (bad,) = parse_orders([row]).bad
        assert (bad.subject, bad.tags) == (subject, tags)

    @pytest.mark.parametrize(
        "time",
        ["yesterday", 5, "0000-00-00 00:00:00", "17:29:00", "31-12-2026 09:15:00", "9999-12-31T23:59:59-12:00",
         "0001-01-01 00:00:00", "1970-01-01 00:00:00", {}],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["order_timestamp", "exchange_timestamp", "exchange_update_timestamp"])
    def test_a_time_that_is_none_leaves_the_row_readable(self, name: str, time: object) -> None:
        """An order is known by its id; its times may be missing."""
        (order,) = parse_orders([{**ROW, name: time}])
        assert getattr(order, name) is None

    @pytest.mark.parametrize("data", [None, {}, ""])
    def test_an_answer_without_a_list_of_rows_is_no_book(self, data: object) -> None:
        """An empty list is a book; null is not."""
        with pytest.raises(BrokerUnavailable, match="order book"):
            parse_orders(data)

    def test_empty_book(self) -> None:
        """The morning's book."""
        assert parse_orders([]).good == []

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(), st.lists))
    def test_arbitrary_values_raise_only_our_error(self, value: object) -> None:
        """Every field of a row may be anything; the answer is a row or BrokerUnavailable."""
        for name in (*ROW, "price", "order_timestamp", "tag", "tags", "meta"):
            try:
                found = parse_orders([{**ROW, name: value}])
            except BrokerUnavailable:
                continue
            assert len(found.good) + len(found.bad) == 1


class TestTrades:
    TRADE = {  # noqa: RUF012 - a constant of the test
        "trade_id": "10000000",
        "order_id": "200000000000000",
        "exchange": "NSE",
        "tradingsymbol": "SBIN",
        "transaction_type": "BUY",
        "average_price": 420.65,
        "fill_timestamp": "2021-05-31 09:16:39",
        "order_timestamp": "09:16:39",
        "exchange_timestamp": "09:16:39",
    }

    def test_quantity_may_be_called_filled(self) -> None:
        """The documentation's table and its sample disagree."""
        (by_quantity, by_filled) = parse_trades([{**self.TRADE, "quantity": 5}, {**self.TRADE, "filled": 5}])
        assert by_quantity.quantity == by_filled.quantity == 5

    def test_bare_times_are_no_moments(self) -> None:
        """``HH:MM:SS`` has no day: None, not an error."""
        (trade,) = parse_trades([{**self.TRADE, "quantity": 1}])
        assert trade.exchange_timestamp is None
        assert trade.fill_timestamp == datetime(2021, 5, 31, 9, 16, 39, tzinfo=IST)


class TestOfficialFixtures:
    def test_orders(self) -> None:
        """Every row of the official sample is read, with its tags."""
        rows = json.loads(official_fixture("orders.json"))["data"]
        orders = parse_orders(rows)
        assert [order.order_id for order in orders] == [row["order_id"] for row in rows]
        assert [order.filled_quantity for order in orders] == [row["filled_quantity"] for row in rows]
        assert {tag for order in orders for tag in order.tags} >= {"icebergord"}

    def test_trades(self) -> None:
        """Every fill of the official sample is read."""
        rows = json.loads(official_fixture("trades.json"))["data"]
        assert [trade.trade_id for trade in parse_trades(rows)] == [row["trade_id"] for row in rows]

    @pytest.mark.parametrize("name", ["order_response.json", "order_modify.json", "order_cancel.json"])
    def test_answers(self, name: str) -> None:
        """The official place, modify and cancel answers have an order id."""
        assert parse_placed(json.loads(official_fixture(name))["data"]) is not None


def test_a_quantity_that_no_table_can_hold_makes_its_row_unreadable() -> None:
    """As any other number that cannot be meant."""
    row = {"order_id": "1", "status": "OPEN", "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY"}
    found = parse_orders([{**row, "quantity": 1, "filled_quantity": 2**31}])
    assert (found.good, [bad.reason.split()[0] for bad in found.bad]) == ([], ["filled_quantity"])
