"""The official Python client reads the market: instruments, quotes and candles, through its own parsers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from kiteconnect import KiteConnect
from kiteconnect.exceptions import InputException, TokenException

from simulator.clock import IST
from simulator.server import RunningSimulator
from tests.integration.simulator.ticker_client import INFY, simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSimulator]:
    async with simulator() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def kite(running: RunningSimulator) -> AsyncIterator[Any]:
    client = KiteConnect(api_key="simkey", access_token="simtoken", root=running.url)
    yield client
    client.reqsession.close()


async def test_instruments_parse(kite: Any) -> None:
    """The client gets dates, floats and integers."""
    dump = await asyncio.to_thread(kite.instruments, "NFO")
    option = next(row for row in dump if row["instrument_type"] == "CE")
    assert isinstance(option["expiry"], date)
    assert option["strike"] > 0
    assert option["instrument_token"] == int(option["exchange_token"]) * 256 + 2


async def test_quotes_parse(kite: Any) -> None:
    """The client gets times as datetimes."""
    quote = (await asyncio.to_thread(kite.quote, "NSE:INFY", "NSE:M&M"))["NSE:INFY"]
    assert isinstance(quote["last_trade_time"], datetime)
    ltp = await asyncio.to_thread(kite.ltp, ["NSE:INFY"])
    assert ltp == {"NSE:INFY": {"instrument_token": INFY, "last_price": quote["last_price"]}}


async def test_candles_parse(kite: Any) -> None:
    """The client gets aware datetimes, and open interest as a field."""
    now = datetime.now().astimezone()
    start = (now - timedelta(days=7)).replace(tzinfo=None)
    candles = await asyncio.to_thread(kite.historical_data, INFY, start, now.replace(tzinfo=None), "15minute", oi=True)
    assert candles[0]["date"].utcoffset() == timedelta(hours=5, minutes=30)
    assert set(candles[0]) == {"date", "open", "high", "low", "close", "volume", "oi"}


async def test_refusals_are_the_clients_exceptions(kite: Any) -> None:
    """InputException for a bad token, TokenException for an invalid session."""
    today = datetime.now(IST).date()
    with pytest.raises(InputException, match="invalid token"):
        await asyncio.to_thread(kite.historical_data, 1, today, today, "day")
    kite.set_access_token("dead")
    with pytest.raises(TokenException):
        await asyncio.to_thread(kite.ltp, ["NSE:INFY"])
