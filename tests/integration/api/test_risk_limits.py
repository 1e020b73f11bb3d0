"""The limits of orders at the running service: they use the prices that it streams, and the lots that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import psycopg

from app.config import Settings
from tests.integration.conftest import RunningService, running_service
from tests.waiting import until

PRICE = 1500
ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "order_type": "MARKET",
}


async def refusal(service: RunningService, **changes: Any) -> str | None:
    """The code with which an order is refused; None when it is taken."""
    answer = await service.client.post("/orders", json={**ORDER, **changes})
    return None if answer.status_code == 201 else str(answer.json()["code"])


async def control(service: RunningService, path: str, body: Mapping[str, Any]) -> None:
    """Tell the simulator something."""
    answer = await service.anonymous.post(f"{service.settings.kite_rest_url}{path}", json=body)
    answer.raise_for_status()


async def stream_infy(service: RunningService) -> int:
    """Subscribe, and wait for the first tick at the price; returns the instrument's token."""
    await control(service, "/_sim/market", {"instruments": {"NSE:INFY": {"last_price": PRICE}}})
    created = await service.client.post("/subscriptions", json={"exchange": "NSE", "tradingsymbol": "INFY"})
    token = int(created.json()["instrument_token"])

    async def ticked() -> bool:
        return (await service.client.get("/health")).json()["ticker"]["accounts"][0]["last_tick_age_ms"] is not None

    await until(ticked)
    return token


async def test_prices_are_held_against_the_last_price_that_is_streamed(settings: Settings) -> None:
    """Before the first tick nothing is known; then the band refuses what lies outside of it, on both sides."""
    banded = settings.model_copy(update={"risk_price_band_percent": Decimal(5)})
    async with running_service(banded) as service:
        far = {"order_type": "LIMIT", "price": 1300}
        assert await refusal(service, **far) is None
        await stream_infy(service)
        assert await refusal(service, **far) == "PRICE_BAND"
        assert await refusal(service, order_type="LIMIT", price=1700) == "PRICE_BAND"
        assert await refusal(service, order_type="LIMIT", price=1480) is None


async def test_a_market_order_is_valued_at_the_last_price(settings: Settings) -> None:
    """Ten at 1500 are below 20,000, twenty are not; a quantity has a limit of its own."""
    valued = settings.model_copy(update={"risk_max_order_value": Decimal(20_000), "risk_max_quantity": 30})
    async with running_service(valued) as service:
        await stream_infy(service)
        assert await refusal(service) is None
        assert await refusal(service, quantity=20) == "ORDER_VALUE_LIMIT"
        assert await refusal(service, quantity=31, order_type="LIMIT", price=1) == "QUANTITY_LIMIT"


async def test_an_old_price_refuses_where_that_is_set(settings: Settings) -> None:
    """Without a tick, and again after a silence that is longer than the age; in between orders pass."""
    strict = settings.model_copy(
        update={
            "risk_max_order_value": Decimal(20_000),
            "risk_stale_price": "refuse",
            "risk_price_max_age_s": 2.0,
        }
    )
    async with running_service(strict) as service:
        assert await refusal(service) == "STALE_PRICE"
        token = await stream_infy(service)

        async def passes() -> bool:
            return await refusal(service) is None

        await until(passes)
        answer = await service.client.delete(f"/subscriptions/{token}")
        assert answer.status_code in {200, 204}

        async def is_refused() -> bool:
            return await refusal(service) == "STALE_PRICE"

        await until(is_refused, every_s=0.2)


async def test_lots_are_valued_by_their_pieces(settings: Settings, database_url: str) -> None:
    """On MCX a quantity counts lots: one lot is worth its price times its size."""
    async with running_service(settings) as service:
        (future, *_) = (await service.client.get("/instruments?exchange=MCX&instrument_type=FUT")).json()["data"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE instrument SET lot_size = 100 WHERE exchange = 'MCX'")
    valued = settings.model_copy(update={"risk_max_order_value": Decimal(100_000)})
    async with running_service(valued) as service:
        lot = {"exchange": "MCX", "tradingsymbol": future["tradingsymbol"], "quantity": 1, "product": "NRML"}
        assert await refusal(service, **lot, order_type="LIMIT", price=1001) == "ORDER_VALUE_LIMIT"
        assert await refusal(service, **lot, order_type="LIMIT", price=1000) != "ORDER_VALUE_LIMIT"


async def test_repeated_and_open_orders_are_limited(settings: Settings) -> None:
    """Each count limit by its setting."""
    counted = settings.model_copy(
        update={"risk_max_identical_orders": 1, "risk_identical_window_s": 60.0, "risk_max_open_orders": 2}
    )
    async with running_service(counted) as service:
        # a price that does not move: outside of the circuit the exchange would reject the orders
        market = {"ticks_per_second": 0, "instruments": {"NSE:INFY": {"last_price": PRICE}}}
        await control(service, "/_sim/market", market)
        resting = {"order_type": "LIMIT", "price": 1480}
        assert await refusal(service, **resting) is None
        assert await refusal(service, **resting) == "DUPLICATE_SUSPECT"
        assert await refusal(service, **{**resting, "price": 1481}) is None
        assert await refusal(service, **{**resting, "price": 1482}) == "OPEN_ORDER_LIMIT"
