"""Faults of ticker sockets as a client sees them."""

from dataclasses import replace

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator.stream.packets import MALFORMED_FRAMES
from tests.integration.simulator.ticker_client import INFY, QUIET, simulator, ticker, until

BRISK = replace(QUIET, heartbeat_s=0.05)


@pytest.mark.parametrize(("code", "seen"), [(1001, 1001), (1011, 1011), (4000, 4000), (1006, 1006)])
async def test_ws_close_ends_one_socket_with_the_code(code: int, seen: int) -> None:
    """1006 is never sent: the connection ends without a close frame. Another socket of the user stays."""
    async with simulator(BRISK) as running, ticker(running) as first, ticker(running) as second:
        running.simulator.faults.add({"kind": "ws_close", "params": {"code": code}})
        await until(lambda: len(running.simulator.sockets.stats()) == 1)
        codes = []
        for client in (first, second):
            try:
                await client.frames_within(0.3)
            except ConnectionClosed as closed:
                codes.append(closed.rcvd.code if closed.rcvd else 1006)
        assert codes == [seen]
        assert len(running.simulator.sockets.stats()) == 1


async def test_ws_silent_leaves_the_socket_open_without_a_byte() -> None:
    """No ticks, order texts or heartbeats come, and the client's messages have no effect; a new socket works."""
    async with simulator(BRISK) as running, ticker(running) as client:
        running.simulator.faults.add({"kind": "ws_silent"})
        await until(lambda: all(fault.struck for fault in running.simulator.faults.active()))
        await client.frames_within(0.2)
        await client.send("subscribe", [INFY])
        running.simulator.sockets.push_order("SIM001", {"order_id": "1"})
        assert await client.frames_within(0.3) == []
        assert client.socket.state.name == "OPEN"
        async with ticker(running) as other:
            await other.send("subscribe", [INFY])
            assert await other.ticks() == {INFY: 44}


async def test_ws_refuse_answers_the_upgrade_with_the_status() -> None:
    """Once; the next attempt is accepted."""
    async with simulator(BRISK) as running:
        running.simulator.faults.add({"kind": "ws_refuse", "params": {"status": 502}})
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"{running.ws_url}/?api_key=simkey&access_token=simtoken")
        assert refusal.value.response.status_code == 502
        async with ticker(running) as client:
            await client.send("subscribe", [INFY])
            assert await client.ticks() == {INFY: 44}


async def test_ws_garbage_sends_malformed_frames_and_goes_on() -> None:
    """A client that ignores them keeps its subscription."""
    async with simulator(BRISK) as running, ticker(running) as client:
        await client.send("subscribe", [INFY])
        await client.ticks()
        running.simulator.faults.add({"kind": "ws_garbage"})
        assert await client.frames_without_heartbeats(len(MALFORMED_FRAMES)) == list(MALFORMED_FRAMES)
        running.simulator.market.set_price(INFY, liquidity=3)
        assert await client.ticks() == {INFY: 44}
