"""Each fault of orders, books, pushes and tickers by the bytes that a raw socket sees; the bytes of the faults of
connections are in `test_faults_connection`.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from simulator.faults.kinds import KINDS
from simulator.server import RunningSimulator
from simulator.stream.packets import MALFORMED_FRAMES
from tests.integration.simulator import test_faults_connection
from tests.integration.simulator.raw_http import exchange_bytes, order_request, raw_request

UPGRADE = (
    b"GET /?api_key=simkey&access_token=simtoken HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HEARTBEAT = b"\x82\x01\x00"
PLACED = {"method": "POST", "path": "/orders/*"}
READ = {"method": "GET", "path": "/orders"}


class Wire:
    """A simulator, seen as bytes."""

    def __init__(self, simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
        self.port = simulator.port
        self._client = client

    async def fault(self, kind: str, **spec: object) -> None:
        (await self._client.post("/_sim/faults", json={"kind": kind, **spec})).raise_for_status()

    async def place(self, *, price: int = 1500, tag: str | None = None) -> str:
        """The order id in the answer."""
        seen = (await exchange_bytes(self.port, order_request(price=price, tag=tag))).data
        assert seen.startswith(b"HTTP/1.1 200 OK"), seen
        return seen.decode().partition('"order_id":"')[2].partition('"')[0]

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        return (await exchange_bytes(self.port, raw_request(method, path, body))).data

    async def statuses(self) -> list[str]:
        """The rows of `GET /orders`."""
        return re.findall(r'"status":"([A-Z ]+)"', (await self.ask("GET", "/orders")).decode())

    @contextlib.asynccontextmanager
    async def ticker(self) -> AsyncIterator[asyncio.StreamReader]:
        """An open ticker socket."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(UPGRADE)
            assert b"101 " in await reader.readuntil(b"\r\n\r\n")
            yield reader
        finally:
            writer.transport.abort()


async def read_for(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """The bytes that come in that time, or until the connection ends."""
    data = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65_536):
                data += chunk
    return data


async def pushed(wire: Wire, kind: str, **params: object) -> list[str]:
    """The final statuses that a socket gets while one order is cancelled and then another is filled."""
    async with wire.ticker() as reader:
        await wire.fault(kind, params=params)
        order_id = await wire.place(price=1490)
        await wire.ask("DELETE", f"/orders/regular/{order_id}")
        await wire.place()
        data = await read_for(reader, 0.4)
    statuses = re.findall(rb'"type":"order","data":\{.*?"status":"([A-Z ]+)"', data)
    return [status.decode() for status in statuses if status in (b"CANCELLED", b"COMPLETE")]


async def late_visible(wire: Wire) -> None:
    await wire.fault("late_visible", **PLACED, params={"ms": 60_000})
    assert await wire.place()
    assert (await wire.ask("GET", "/orders")).endswith(b'"data":[]}')


async def stuck(wire: Wire) -> None:
    await wire.fault("stuck", **PLACED, params={"status": "OPEN PENDING", "ms": -1})
    await wire.place()
    assert await wire.statuses() == ["OPEN PENDING"]


async def reject(wire: Wire) -> None:
    await wire.fault("reject", **PLACED, params={"message": "RMS: no"})
    await wire.place()
    assert b'"status":"REJECTED","status_message":"RMS: no"' in await wire.ask("GET", "/orders")


async def partial_fill(wire: Wire) -> None:
    await wire.fault("partial_fill", **PLACED, params={"quantity": 4})
    await wire.place()
    book = await wire.ask("GET", "/orders")
    assert b'"filled_quantity":4,' in book
    assert b'"pending_quantity":6,' in book


async def cancel_fill_race(wire: Wire) -> None:
    order_id = await wire.place(price=1490)
    await wire.fault("cancel_fill_race", method="DELETE", path="/orders/*")
    assert (await wire.ask("DELETE", f"/orders/regular/{order_id}")).startswith(b"HTTP/1.1 200 OK")
    assert await wire.statuses() == ["COMPLETE"]


async def tag_null(wire: Wire) -> None:
    await wire.place(tag="MINE")
    await wire.fault("tag_null", **READ)
    assert b'"tag":null' in await wire.ask("GET", "/orders")
    assert b'"tag":"MINE"' in await wire.ask("GET", "/orders")


async def odd_rows(wire: Wire) -> None:
    await wire.place(tag="MINE")
    await wire.fault("odd_rows", **READ)
    body = await wire.ask("GET", "/orders")
    assert b'"tag":"MINE"' in body
    assert b'"quantity":"many"' in body
    assert b'"quantity":"many"' not in await wire.ask("GET", "/orders")


async def stale_book(wire: Wire) -> None:
    await wire.place()
    await wire.fault("stale_book", **READ)
    assert (await wire.ask("GET", "/orders")).endswith(b'"data":[]}')


async def shrink_book(wire: Wire) -> None:
    first, second = await wire.place(), await wire.place()
    await wire.fault("shrink_book", **READ)
    book = (await wire.ask("GET", "/orders")).decode()
    assert (first in book, second in book) == (True, False)


async def shrink_trades(wire: Wire) -> None:
    first, second = await wire.place(), await wire.place()
    await wire.fault("shrink_trades", method="GET", path="/trades")
    trades = (await wire.ask("GET", "/trades")).decode()
    assert (first in trades, second in trades) == (True, False)


async def drop_update(wire: Wire) -> None:
    assert await pushed(wire, "drop_update", status="CANCELLED") == ["COMPLETE"]


async def duplicate_update(wire: Wire) -> None:
    assert await pushed(wire, "duplicate_update", status="CANCELLED", copies=2) == ["CANCELLED"] * 3 + ["COMPLETE"]


async def reorder_update(wire: Wire) -> None:
    assert await pushed(wire, "reorder_update", status="CANCELLED", ms=2_000) == ["COMPLETE", "CANCELLED"]


async def ws_refuse(wire: Wire) -> None:
    await wire.fault("ws_refuse", params={"status": 429})
    seen = await wire.ask("GET", "/x")
    assert b"404" in seen  # only upgrades are refused
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(UPGRADE)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 429 ")


async def ws_close(wire: Wire) -> None:
    async with wire.ticker() as reader:
        await wire.fault("ws_close", params={"code": 1012})
        data = await read_for(reader, 0.5)
    assert data.removeprefix(HEARTBEAT).endswith(b"\x88\x02\x03\xf4")
    async with wire.ticker() as reader:
        await wire.fault("ws_close", params={"code": 1006})
        assert (await read_for(reader, 0.5)).replace(HEARTBEAT, b"") == b""
        assert reader.at_eof()


async def ws_silent(wire: Wire) -> None:
    async with wire.ticker() as reader:
        await wire.fault("ws_silent")
        await read_for(reader, 0.15)
        assert await read_for(reader, 0.3) == b""
        assert not reader.at_eof()


async def ws_garbage(wire: Wire) -> None:
    async with wire.ticker() as reader:
        await wire.fault("ws_garbage")
        data = await read_for(reader, 0.4)
    garbage = b"".join(bytes((0x82, len(frame))) + frame for frame in MALFORMED_FRAMES)
    assert garbage in data
    assert data.replace(garbage, b"").replace(HEARTBEAT, b"") == b""  # and heartbeats go on


SCENARIOS: dict[str, Callable[[Wire], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (
        late_visible, stuck, reject, partial_fill, cancel_fill_race, tag_null, odd_rows, stale_book,
        shrink_book, shrink_trades, drop_update, duplicate_update, reorder_update, ws_refuse,
        ws_close, ws_silent, ws_garbage,
    )
}  # fmt: skip


@pytest.mark.parametrize("kind", SCENARIOS)
async def test_a_fault_changes_the_bytes_of_an_answer(
    simulator: RunningSimulator, client: httpx.AsyncClient, kind: str
) -> None:
    """As a TCP client sees them."""
    await SCENARIOS[kind](Wire(simulator, client))


def test_every_kind_has_such_a_test() -> None:
    """Every kind of fault is tested here or in the tests of connection faults."""
    source = Path(test_faults_connection.__file__).read_text(encoding="utf-8")
    there = {kind for kind, entry in KINDS.items() if entry.target == "connection" and f'"{kind}"' in source}
    assert there | SCENARIOS.keys() == KINDS.keys()
