"""Which last price says something about the market now."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.orders.state.last_prices import LastPrice, fresh_price


@pytest.mark.parametrize(
    ("last", "price"),
    [
        (None, None),
        (LastPrice(price=Decimal("0.05"), age_s=5.0), Decimal("0.05")),
        (LastPrice(price=Decimal(1500), age_s=5.1), None),
        (LastPrice(price=Decimal(0), age_s=0.0), None),
    ],
)
def test_a_price_is_fresh_and_of_a_trade(last: LastPrice | None, price: Decimal | None) -> None:
    """What has not traded today shows 0, which is no price."""
    assert fresh_price(last, max_age_s=5.0) == price
