"""Faults of the ticker WebSocket set through the control route, as a client sees them."""

import asyncio

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from simulator.server import RunningSimulator


async def open_ticker(simulator: RunningSimulator) -> ClientConnection:
    url = f"{simulator.ws_url}/?api_key=simkey&access_token=simtoken"
    return await connect(url, compression=None, ping_interval=None)


async def read_for_ever(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


async def set_fault(client: httpx.AsyncClient, kind: str, **spec: object) -> None:
    (await client.post("/_sim/faults", json={"kind": kind, **spec})).raise_for_status()


async def test_a_refused_upgrade_is_an_http_answer(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """With the status of the fault; the next attempt succeeds."""
    await set_fault(client, "ws_refuse", params={"status": 429})
    with pytest.raises(InvalidStatus) as refused:
        await open_ticker(simulator)
    assert refused.value.response.status_code == 429
    socket = await open_ticker(simulator)
    await socket.close()


async def test_an_expired_token_is_refused_at_the_upgrade(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """403; an open socket is not affected."""
    early = await open_ticker(simulator)
    await client.post("/_sim/session", json={"user_id": "SIM001", "expired": True})
    with pytest.raises(InvalidStatus) as refused:
        await open_ticker(simulator)
    assert refused.value.response.status_code == 403
    async with asyncio.timeout(20):
        assert await early.recv()
    await early.close()


async def test_a_socket_is_closed_with_the_code(simulator: RunningSimulator, client: httpx.AsyncClient) -> None:
    """Before its next frame, which may be a heartbeat."""
    socket = await open_ticker(simulator)
    await set_fault(client, "ws_close", params={"code": 1012})
    with pytest.raises(ConnectionClosedError) as closed:
        await asyncio.wait_for(read_for_ever(socket), 20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


async def test_a_silent_socket_stays_open_and_sends_nothing(
    simulator: RunningSimulator, client: httpx.AsyncClient
) -> None:
    """It sends no heartbeat either."""
    socket = await open_ticker(simulator)
    await set_fault(client, "ws_silent", user_id="SIM001")
    await socket.send('{"a":"subscribe","v":[408065]}')
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read_for_ever(socket), 0.8)
    assert socket.state.name == "OPEN"
    await socket.close()
