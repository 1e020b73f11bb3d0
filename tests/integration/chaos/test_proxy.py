"""The fault proxy from both sides of the wire, with plain sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from chaos.proxy import FaultProxy, Toxic, open_proxy

PAYLOAD = bytes(range(256)) * 40


@dataclass(slots=True)
class Echo:
    """A server that sends back what it gets; ``received`` is all that ever arrived."""

    port: int = 0
    received: bytes = b""


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    state = Echo()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                state.received += data
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    yield state
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with open_proxy(echo.port, seed=1) as opened:
        yield opened


async def exchange(proxy: FaultProxy, data: bytes = PAYLOAD, *, timeout_s: float = 20.0) -> tuple[bytes, float]:
    """What comes back within the time, and how long it took; raises what the socket raises."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    started = asyncio.get_running_loop().time()
    got = b""
    try:
        writer.write(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(got) < len(data) and (piece := await reader.read(65_536)):
                    got += piece
        return got, asyncio.get_running_loop().time() - started
    finally:
        writer.transport.abort()


async def test_without_a_toxic_everything_passes(proxy: FaultProxy) -> None:
    """Byte for byte."""
    got, _ = await exchange(proxy)
    assert got == PAYLOAD


async def test_latency_delays_each_way(proxy: FaultProxy) -> None:
    """Up and down 60 ms, and up to 20 more."""
    proxy.toxics = (Toxic(kind="latency", delay_ms=60, jitter_ms=20),)
    got, took = await exchange(proxy, b"x")
    assert got == b"x"
    assert took >= 0.12


async def test_timeout_swallows_the_answer_but_not_the_request(proxy: FaultProxy, echo: Echo) -> None:
    """Down only: the server got it all, the client gets nothing and no end either."""
    proxy.toxics = (Toxic(kind="timeout", directions=frozenset({"down"})),)
    got, _ = await exchange(proxy, timeout_s=0.5)
    assert (got, echo.received) == (b"", PAYLOAD)


async def test_reset_peer_sends_rst(proxy: FaultProxy, echo: Echo) -> None:
    """The client sees a reset, the server not a byte."""
    proxy.toxics = (Toxic(kind="reset_peer"),)
    with pytest.raises(ConnectionResetError):
        await exchange(proxy)
    assert echo.received == b""


async def test_limit_data_cuts_after_so_many_bytes(proxy: FaultProxy, echo: Echo) -> None:
    """Exactly 100 bytes of the answer arrive, then the connection ends."""
    proxy.toxics = (Toxic(kind="limit_data", directions=frozenset({"up"}), size=100),)
    with suppress(ConnectionResetError):
        await exchange(proxy)
    assert echo.received == PAYLOAD[:100]


async def test_slicer_keeps_the_bytes_and_breaks_the_chunks(proxy: FaultProxy) -> None:
    """Ten pieces of ten bytes, 10 ms apart, arrive as one whole."""
    proxy.toxics = (Toxic(kind="slicer", directions=frozenset({"down"}), size=10, delay_ms=10),)
    got, took = await exchange(proxy, PAYLOAD[:100])
    assert got == PAYLOAD[:100]
    assert took >= 0.09


async def test_bandwidth_takes_its_time(proxy: FaultProxy) -> None:
    """200 bytes at 1,000 a second."""
    proxy.toxics = (Toxic(kind="bandwidth", directions=frozenset({"up"}), size=1000),)
    got, took = await exchange(proxy, b"x" * 200)
    assert len(got) == 200
    assert took >= 0.2


async def test_what_was_held_arrives_when_the_toxic_is_gone(proxy: FaultProxy, echo: Echo) -> None:
    """Nothing arrives meanwhile, and nothing is lost: what a frozen line looks like."""
    proxy.toxics = (Toxic(kind="hold", directions=frozenset({"up"})),)
    asking = asyncio.create_task(exchange(proxy))
    await asyncio.sleep(0.3)
    assert echo.received == b""
    proxy.toxics = ()
    got, _ = await asking
    assert got == PAYLOAD


async def test_a_toxic_may_wait_for_what_the_client_says(proxy: FaultProxy, echo: Echo) -> None:
    """The answer of the first chunk that contains the words is held; what came before passed."""
    proxy.toxics = (Toxic(kind="timeout", directions=frozenset({"down"}), since=b"COMMIT"),)
    assert (await exchange(proxy, b"BEGIN"))[0] == b"BEGIN"
    got, _ = await exchange(proxy, b"BEGIN; COMMIT", timeout_s=0.5)
    assert (got, echo.received) == (b"", b"BEGINBEGIN; COMMIT")


async def test_a_toxic_may_be_for_one_kind_of_client(proxy: FaultProxy) -> None:
    """The others notice nothing."""
    proxy.toxics = (Toxic(kind="timeout", client=b"engine"),)
    assert (await exchange(proxy, b"I am the api"))[0] == b"I am the api"
    assert (await exchange(proxy, b"I am the engine", timeout_s=0.5))[0] == b""


async def test_an_answer_may_come_twice(proxy: FaultProxy, echo: Echo) -> None:
    """Its sender sent it once."""
    proxy.toxics = (Toxic(kind="repeat", directions=frozenset({"down"})),)
    got, _ = await exchange(proxy, b"once ")
    assert (got, echo.received) == (b"once once ", b"once ")


async def test_slow_close_delays_the_end(proxy: FaultProxy) -> None:
    """The end of the client's side reaches the server, and comes back, later."""
    proxy.toxics = (Toxic(kind="slow_close", directions=frozenset({"up"}), delay_ms=150),)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    started = asyncio.get_running_loop().time()
    writer.write_eof()
    assert await reader.read() == b""
    assert asyncio.get_running_loop().time() - started >= 0.15
    writer.close()


async def test_connections_are_refused_and_accepted_again_on_the_same_port(proxy: FaultProxy) -> None:
    """Refused, not reset: no byte can have left."""
    port = proxy.port
    proxy.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await exchange(proxy)
    await proxy.start_listening()
    assert proxy.port == port
    assert (await exchange(proxy))[0] == PAYLOAD


async def test_a_server_that_moved_is_found_at_the_same_address(proxy: FaultProxy) -> None:
    """Open connections are reset, new ones reach the new server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"x")
    await reader.read(1)

    async def greet(_reader: asyncio.StreamReader, new: asyncio.StreamWriter) -> None:
        new.write(b"new")
        new.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        proxy.retarget(server.sockets[0].getsockname()[1])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        fresh, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await fresh.read(3) == b"new"
        other.transport.abort()
