"""`/instruments` over the wire."""

import csv
import gzip
import io
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from simulator.market.csv_dump import HEADER
from simulator.market.instrument import EXCHANGES
from simulator.server import RunningSimulator
from tests.integration.simulator.ticker_client import simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[RunningSimulator]:
    async with simulator() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a session: Kite checks no token here."""
    async with httpx.AsyncClient(base_url=running.url) as opened:
        yield opened


async def test_the_dump_is_csv_with_all_instruments(running: RunningSimulator, client: httpx.AsyncClient) -> None:
    """The type is `text/csv` without a charset: the JavaScript client reads only that."""
    response = await client.get("/instruments")
    assert response.headers["content-type"] == "text/csv"
    assert response.text.split("\r\n")[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {int(row["instrument_token"]) for row in rows} == set(running.simulator.market.instruments)


async def test_the_dump_of_an_exchange_is_a_part_of_the_whole(client: httpx.AsyncClient) -> None:
    """All parts together are the whole; a repeated parameter, as the JavaScript client sends it, has no effect."""
    parts = {name: (await client.get(f"/instruments/{name}", params={"exchange": name})).text for name in EXCHANGES}
    lines = [line for part in parts.values() for line in part.split("\r\n")[1:-1]]
    assert sorted(lines) == sorted((await client.get("/instruments")).text.split("\r\n")[1:-1])
    assert all(line.endswith(",NFO") for line in parts["NFO"].split("\r\n")[1:-1])


@pytest.mark.parametrize("accept_encoding", ["gzip, deflate", "identity"])
async def test_gzip_only_on_request(client: httpx.AsyncClient, accept_encoding: str) -> None:
    """It is compressed once: the bytes unpack to the same text."""
    async with client.stream("GET", "/instruments/NSE", headers={"accept-encoding": accept_encoding}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    zipped = accept_encoding.startswith("gzip")
    assert response.headers.get("content-encoding") == ("gzip" if zipped else None)
    text = (gzip.decompress(raw) if zipped else raw).decode()
    assert text.startswith(HEADER + "\r\n")


async def test_unknown_exchange_is_refused(client: httpx.AsyncClient) -> None:
    """400 with the known names."""
    response = await client.get("/instruments/NYSE")
    assert (response.status_code, response.json()["error_type"]) == (400, "InputException")
    assert "NSE, BSE, NFO" in response.json()["message"]
