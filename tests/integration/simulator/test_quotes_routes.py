"""`/quote`, `/quote/ohlc`, `/quote/ltp` and `/instruments/trigger_range` over the wire."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from simulator.server import RunningSimulator
from tests.integration.simulator.ticker_client import INFY, NIFTY, rest, simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSimulator]:
    async with simulator() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with rest(running) as opened:
        yield opened


async def get(client: httpx.AsyncClient, path: str, *instruments: str) -> dict[str, Any]:
    response = await client.get(path, params=[("i", name) for name in instruments])
    assert response.headers["content-type"].startswith("application/json")
    body: dict[str, Any] = response.json()
    return body


async def test_quotes_have_the_keys_of_the_request_without_unknown_ones(client: httpx.AsyncClient) -> None:
    """Symbols with spaces and ampersands, expired contracts, unknown names, a numeric token."""
    keys = ["NSE:INFY", "NSE:NIFTY 50", "NSE:M&M", "NFO:NIFTY20JANFUT", "INFY", ":", "408065", "9" * 30]
    data = (await get(client, "/quote", *keys))["data"]
    assert list(data) == ["NSE:INFY", "NSE:NIFTY 50", "NSE:M&M", "408065"]
    assert data["NSE:INFY"] == data["408065"]
    assert data["NSE:INFY"]["instrument_token"] == INFY
    assert data["NSE:NIFTY 50"]["depth"]["buy"] == [{"price": 0, "quantity": 0, "orders": 0}] * 5


async def test_all_unknown_is_an_empty_success(client: httpx.AsyncClient) -> None:
    """Kite leaves them out without an error; the client must notice the missing keys."""
    assert await get(client, "/quote/ltp", "NSE:NOSUCH") == {"status": "success", "data": {}}


async def test_short_quotes_agree_with_the_full_one(client: httpx.AsyncClient) -> None:
    """The three routes show one market."""
    full = (await get(client, "/quote", "NSE:INFY"))["data"]["NSE:INFY"]
    ohlc = (await get(client, "/quote/ohlc", "NSE:INFY"))["data"]["NSE:INFY"]
    ltp = (await get(client, "/quote/ltp", "NSE:INFY"))["data"]["NSE:INFY"]
    assert ohlc == {name: full[name] for name in ("instrument_token", "last_price", "ohlc")}
    assert ltp == {name: full[name] for name in ("instrument_token", "last_price")}


@pytest.mark.parametrize(("path", "limit"), [("/quote", 500), ("/quote/ohlc", 1_000), ("/quote/ltp", 1_000)])
async def test_too_many_instruments_are_refused_as_a_whole(client: httpx.AsyncClient, path: str, limit: int) -> None:
    """The limit itself is served; one more gets Kite's sentence."""
    assert (await get(client, path, *["NSE:INFY"] * limit))["status"] == "success"
    body = await get(client, path, *["NSE:INFY"] * (limit + 1))
    assert body["error_type"] == "InputException"
    assert body["message"] == f"Too many tokens requested. Max permitted is {limit}."


async def test_no_instrument_is_refused(client: httpx.AsyncClient) -> None:
    """A request without an instrument is an error."""
    response = await client.get("/quote")
    assert (response.status_code, response.json()["message"]) == (400, "Missing or empty field `i`")


@pytest.mark.parametrize("path", ["/quote", "/quote/ltp", "/quote/ohlc", "/instruments/trigger_range/buy"])
async def test_quotes_need_a_session(running: RunningSimulator, path: str) -> None:
    """403 TokenException."""
    async with httpx.AsyncClient(base_url=running.url) as stranger:
        response = await stranger.get(path, params={"i": "NSE:INFY"})
    assert (response.status_code, response.json()["error_type"]) == (403, "TokenException")


@pytest.mark.parametrize("side", ["buy", "sell"])
async def test_trigger_range_lies_on_the_losing_side_of_the_last_price(client: httpx.AsyncClient, side: str) -> None:
    """Below it for a bought position, above it for a sold one; on the tick size."""
    last = (await get(client, "/quote/ltp", "NSE:INFY"))["data"]["NSE:INFY"]["last_price"]
    body = await get(client, f"/instruments/trigger_range/{side}", "NSE:INFY", "NSE:NOSUCH")
    (found,) = body["data"].values()
    assert found["instrument_token"] == INFY
    assert found["lower"] < found["upper"]
    assert found["upper"] < last if side == "buy" else found["lower"] > last
    assert round(found["lower"] * 100) % 5 == 0


async def test_unknown_trigger_side_is_no_route(client: httpx.AsyncClient) -> None:
    """404, as for every unknown path."""
    response = await client.get("/instruments/trigger_range/hold", params={"i": "NSE:INFY"})
    assert (response.status_code, response.json()["message"]) == (404, "Route not found")


async def test_quotes_have_the_price_that_was_set(running: RunningSimulator, client: httpx.AsyncClient) -> None:
    """Whole prices are written without a decimal point."""
    market = running.simulator.market
    market.set_price(INFY, market.last_price(INFY).to_integral_value(), frozen=True, liquidity=4)
    market.set_price(NIFTY, frozen=True)
    quote = (await get(client, "/quote", "NSE:INFY"))["data"]["NSE:INFY"]
    assert quote["last_price"] == market.last_price(INFY)
    assert isinstance(quote["last_price"], int)
    assert [level["quantity"] for level in quote["depth"]["sell"]] == [4, 0, 0, 0, 0]
