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
    """Without a session: Kite checks no token here."""
    async with httpx.AsyncClient(base_url=running.url) as opened:
        yield opened


async def test_dump_is_bare_csv_with_the_whole_universe(running: RunningSimulator, client: httpx.AsyncClient) -> None:
    """`text/csv` without a charset: JavaScript's client reads nothing else."""
    response = await client.get("/instruments")
    assert response.headers["content-type"] == "text/csv"
    assert response.text.split("\r\n")[0] == HEADER
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {int(row["instrument_token"]) for row in rows} == set(running.simulator.market.instruments)


async def test_one_exchange_is_its_part_of_the_dump(client: httpx.AsyncClient) -> None:
    """All parts together are the whole; a repeated parameter, as JavaScript sends it, changes nothing."""
    parts = {name: (await client.get(f"/instruments/{name}", params={"exchange": name})).text for name in EXCHANGES}
    lines = [line for part in parts.values() for line in part.split("\r\n")[1:-1]]
    assert sorted(lines) == sorted((await client.get("/instruments")).text.split("\r\n")[1:-1])
    assert all(line.endswith(",NFO") for line in parts["NFO"].split("\r\n")[1:-1])


@pytest.mark.parametrize("wish", ["gzip, deflate", "identity"])
async def test_gzip_only_when_asked(client: httpx.AsyncClient, wish: str) -> None:
    """Once, not twice: the bytes unpack to the same text."""
    async with client.stream("GET", "/instruments/NSE", headers={"accept-encoding": wish}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    zipped = wish.startswith("gzip")
    assert response.headers.get("content-encoding") == ("gzip" if zipped else None)
    text = (gzip.decompress(raw) if zipped else raw).decode()
    assert text.startswith(HEADER + "\r\n")


async def test_unknown_exchange_is_refused(client: httpx.AsyncClient) -> None:
    """400 with the names that exist."""
    response = await client.get("/instruments/NYSE")
    assert (response.status_code, response.json()["error_type"]) == (400, "InputException")
    assert "NSE, BSE, NFO" in response.json()["message"]
