"""A simulator that listens, standing still until it is told otherwise, and a client signed in as its first account."""

from collections.abc import AsyncIterator

import httpx
import pytest

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings

AUTHORIZATION = {"Authorization": "token simkey:simtoken", "X-Kite-Version": "3"}


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """Two accounts, no limits, no price changes of its own, INFY frozen at 1500."""
    settings = SimulatorSettings(port=0, accounts=2, ticks_per_second=0, rate_limits=RateLimits(enforced="off"))
    async with running_simulator(settings) as running:
        async with httpx.AsyncClient(base_url=running.url, verify=False) as control:
            market = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True, "liquidity": 10_000}}}
            (await control.post("/_sim/market", json=market)).raise_for_status()
        yield running


@pytest.fixture
async def client(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks as SIM001."""
    async with httpx.AsyncClient(base_url=simulator.url, headers=AUTHORIZATION, timeout=10, verify=False) as session:
        yield session
