"""A running simulator and a raw ticker client for tests of market and stream."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings

INFY, RELIANCE, SBIN, NIFTY = 408065, 738561, 779521, 256265
HEARTBEAT = b"\x00"
WAIT_S = 20.0

QUIET = SimulatorSettings(port=0, ticks_per_second=0, rate_limits=RateLimits(enforced="off"))
"""No simulated prices: every frame is caused by the test, or a heartbeat."""
LIVELY = replace(QUIET, ticks_per_second=500.0)


@contextlib.asynccontextmanager
async def simulator(settings: SimulatorSettings = QUIET) -> AsyncIterator[RunningSimulator]:
    async with running_simulator(settings) as running:
        yield running


def rest(running: RunningSimulator) -> httpx.AsyncClient:
    """A signed-in client of account 1."""
    headers = {"authorization": "token simkey:simtoken", "x-kite-version": "3"}
    return httpx.AsyncClient(base_url=running.url, headers=headers)


@contextlib.asynccontextmanager
async def ticker(running: RunningSimulator, *, account: str = "") -> AsyncIterator["Ticker"]:
    """A socket of account 1, or of account `account` ("2", ...)."""
    url = f"{running.ws_url}/?api_key=simkey{account}&access_token=simtoken{account}"
    async with connect(url, compression=None, max_size=None, ping_interval=None, close_timeout=0.1) as socket:
        yield Ticker(socket)


class Ticker:
    """Reads frames one by one; every wait has a bound."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, action: str, value: object) -> None:
        await self.socket.send(json.dumps({"a": action, "v": value}))

    async def frame(self) -> str | bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.socket.recv()

    async def text(self) -> dict[str, Any]:
        """The next text frame; binary ones are skipped."""
        while isinstance(frame := await self.frame(), bytes):
            pass
        message: dict[str, Any] = json.loads(frame)
        return message

    async def ticks(self) -> dict[int, int]:
        """Token to packet length of the next tick frame; heartbeats and texts are skipped."""
        while isinstance(frame := await self.frame(), str) or len(frame) == 1:
            pass
        return read_frame(frame)

    async def frames_without_heartbeats(self, count: int) -> Sequence[str | bytes]:
        """The next `count` frames that are no heartbeat."""
        frames: list[str | bytes] = []
        while len(frames) < count:
            if (frame := await self.frame()) != HEARTBEAT:
                frames.append(frame)
        return frames

    async def frames_within(self, seconds: float) -> Sequence[str | bytes]:
        """The frames that come in that time."""
        frames = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    frames.append(await self.socket.recv())
        return frames


async def until(condition: Callable[[], bool]) -> None:
    """Waits until the condition is true."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def read_frame(frame: bytes) -> dict[int, int]:
    """Token to packet length; the last packet of a token counts."""
    (count,) = struct.unpack_from(">H", frame)
    found, at = {}, 2
    for _ in range(count):
        length, token = struct.unpack_from(">HI", frame, at)
        found[token] = length
        at += 2 + length
    assert at == len(frame), "a frame holds its packets and nothing else"
    return found
