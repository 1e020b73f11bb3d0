"""A running simulator whose prices do not change by themselves, and a client that is signed in as its first account."""

from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.plain_http import NO_CERTIFICATES

AUTHORIZATION = {"Authorization": "token simkey:simtoken", "X-Kite-Version": "3"}


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """Two accounts, no request limits, no simulated prices, INFY frozen at 1500."""
    settings = SimulatorSettings(
        port=0, accounts=2, ticks_per_second=0, heartbeat_s=0.1, rate_limits=RateLimits(enforced="off")
    )
    async with running_simulator(settings) as running:
        market = running.simulator.market
        infy = market.find("NSE", "INFY")
        assert infy is not None
        market.set_price(infy.instrument_token, Decimal(1500), frozen=True, liquidity=10_000)
        yield running


@pytest.fixture
async def client(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as SIM001."""
    async with httpx.AsyncClient(
        base_url=simulator.url, headers=AUTHORIZATION, timeout=10, verify=NO_CERTIFICATES
    ) as session:
        yield session
