"""Whether an order is as a modification wants it."""

from __future__ import annotations

from typing import Any

import pytest

from app.broker.orders import OrderChanges, Validity
from app.orders.state.order_terms import OrderTerms

ROW: dict[str, Any] = {"quantity": 10, "order_type": "LIMIT", "validity": "TTL", "price": "1400", "validity_ttl": 3}


@pytest.mark.parametrize(("minutes", "shown"), [(3, True), ("3", True), (3.0, True), (5, False), (None, False)])
def test_the_minutes_of_an_order_are_part_of_its_terms(minutes: object, shown: bool) -> None:
    """A book that still shows the old ones does not prove the modification."""
    terms = OrderTerms.of_document({**ROW, "validity_ttl": minutes})
    assert terms.show(OrderChanges(validity=Validity.TTL, validity_ttl=3)) is shown


@pytest.mark.parametrize("odd", ["many", "", [], {}, "NaN", "Infinity", None])
def test_a_count_that_cannot_be_read_counts_as_none(odd: object) -> None:
    """The broker's row is stored as it came."""
    terms = OrderTerms.of_document({**ROW, "validity_ttl": odd, "disclosed_quantity": odd})
    assert (terms.validity_ttl, terms.disclosed_quantity) == (0, 0)
    assert terms.show(OrderChanges(quantity=10))
