"""`/instruments/historical/...` over the wire."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from simulator.clock import IST
from simulator.server import RunningSimulator
from tests.integration.simulator.ticker_client import INFY, QUIET, rest, simulator

NOON = datetime(2026, 7, 6, 12, 0, tzinfo=IST)  # a Monday

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSimulator]:
    async with simulator(replace(QUIET, start_time=NOON, sessions="calendar")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with rest(running) as opened:
        yield opened


async def ask(client: httpx.AsyncClient, interval: str, token: object = INFY, **params: str) -> httpx.Response:
    defaults = {"from": "2026-07-03 09:15:00", "to": "2026-07-03 15:30:00"}
    return await client.get(f"/instruments/historical/{token}/{interval}", params={**defaults, **params})


async def test_candles_have_kites_shape(client: httpx.AsyncClient) -> None:
    """Six columns, seven with oi; the time with +0530."""
    response = await ask(client, "minute")
    candles = response.json()["data"]["candles"]
    assert response.headers["content-type"] == "application/json"
    assert len(candles) == 375
    assert candles[0][0] == "2026-07-03T09:15:00+0530"
    assert {len(candle) for candle in candles} == {6}
    assert {len(candle) for candle in (await ask(client, "minute", oi="1")).json()["data"]["candles"]} == {7}


@pytest.mark.parametrize("interval", ["minute", "5minute", "60minute", "day"])
async def test_the_same_request_has_the_same_answer(client: httpx.AsyncClient, interval: str) -> None:
    """Past candles do not change."""
    assert (await ask(client, interval)).content == (await ask(client, interval)).content


async def test_dates_alone_mean_whole_days(client: httpx.AsyncClient) -> None:
    """From its first minute to its last; unknown parameters are ignored."""
    whole = await ask(client, "day", **{"from": "2026-06-29", "to": "2026-07-03", "junk": "1"})
    assert [candle[0][8:10] for candle in whole.json()["data"]["candles"]] == ["29", "30", "01", "02", "03"]


async def test_empty_range_is_an_empty_list(client: httpx.AsyncClient) -> None:
    """For a Sunday, and for the future."""
    for day in ("2026-07-05", "2026-07-09"):
        response = await ask(client, "minute", **{"from": day, "to": day})
        assert response.json() == {"status": "success", "data": {"candles": []}}


@pytest.mark.parametrize(
    ("interval", "first", "days"),
    [
        ("minute", "2026-05-04", 60),
        ("5minute", "2026-03-25", 100),
        ("15minute", "2025-12-15", 200),
        ("60minute", "2025-05-29", 400),
        ("day", "2021-01-10", 2_000),
    ],
)
async def test_a_range_above_the_limit_is_refused(
    client: httpx.AsyncClient, interval: str, first: str, days: int
) -> None:
    """The limit itself is served; a day more gets Kite's sentence with the limit."""
    start = datetime.fromisoformat(first)
    end = datetime.fromordinal(start.toordinal() + days)
    served = await ask(client, interval, **{"from": str(start), "to": str(end)})
    assert served.status_code == 200
    beyond = datetime.fromordinal(start.toordinal() + days + 1)
    refused = await ask(client, interval, **{"from": str(start), "to": str(beyond)})
    assert (refused.status_code, refused.json()["error_type"]) == (400, "InputException")
    assert refused.json()["message"] == f"interval exceeds max limit: {days} days"


@pytest.mark.parametrize(
    ("interval", "token", "params", "message"),
    [
        ("minute", "1", {}, "invalid token"),
        ("minute", "INFY", {}, "invalid token"),
        ("7minute", INFY, {}, "invalid interval"),
        ("minute", INFY, {"from": ""}, "Missing or empty field `from`"),
        ("minute", INFY, {"to": "03/07/2026"}, "invalid `to` date: expected YYYY-MM-DD HH:MM:SS"),
        ("minute", INFY, {"from": "2026-07-04"}, "`from` date must not be after `to` date"),
        (
            "minute",
            INFY,
            {"continuous": "1"},
            "continuous data is available for day candles of NFO and MCX futures only",
        ),
    ],
)
async def test_a_bad_request_is_refused(
    client: httpx.AsyncClient, interval: str, token: object, params: dict[str, str], message: str
) -> None:
    """400 InputException that names the reason."""
    response = await ask(client, interval, token, **params)
    assert (response.status_code, response.json()["error_type"]) == (400, "InputException")
    assert response.json()["message"] == message


async def test_candles_need_a_session(client: httpx.AsyncClient) -> None:
    """403 TokenException."""
    client.headers["authorization"] = "token simkey:dead"
    assert (await ask(client, "day")).status_code == 403


@pytest.mark.parametrize("interval", ["minute", "5minute"])
@pytest.mark.parametrize("token", [INFY, "future"])
async def test_a_closed_candle_stays_what_it_was(interval: str, token: object) -> None:
    """While the market moves, jumps and trades; the forming candle ends at the last price, and the volume adds up."""
    start = NOON + timedelta(seconds=30)
    settings = replace(QUIET, start_time=start, sessions="calendar", ticks_per_second=2_000)
    async with simulator(settings) as running, rest(running) as client:
        market = running.simulator.market
        if token == "future":
            token = next(one.instrument_token for one in market.instruments.values() if one.segment == "NFO-FUT")
        instrument = market.instruments[int(str(token))]
        key = f"{instrument.exchange}:{instrument.tradingsymbol}"
        seen: dict[str, list[object]] = {}
        for minutes in range(8):
            now = start + timedelta(minutes=minutes)
            await client.post("/_sim/clock", json={"now": now.isoformat(), "speed": 0})
            up = 1 if minutes % 2 else -1
            price = market.last_price(instrument.instrument_token) + up * 40 * instrument.tick_size
            await client.post("/_sim/market", json={"instruments": {key: {"last_price": str(price), "frozen": True}}})
            span = {"from": "2026-07-06 09:15:00", "to": "2026-07-06 15:30:00", "oi": "1"}
            rows = (await ask(client, interval, token, **span)).json()["data"]["candles"]
            shown = {row[0]: row for row in rows}
            assert {time: shown[time] for time in seen} == seen
            length = timedelta(minutes=int(interval.removesuffix("minute") or 1))
            seen = {time: row for time, row in shown.items() if datetime.fromisoformat(time) + length <= now}
            assert rows[-1][4] == float(price)
            assert all(row[3] <= min(row[1], row[4]) and max(row[1], row[4]) <= row[2] for row in rows)
        assert len(seen) > 30
