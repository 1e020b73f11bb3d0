"""A simulator and an order environment per test: the plugin behind every test of the order engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulator.server import RunningSimulator, running_simulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.order_environment import OrderEnvironment, open_order_environment


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    settings = SimulatorSettings(port=0, ticks_per_second=0, rate_limits=RateLimits(enforced="on"))
    async with running_simulator(settings) as running:
        yield running


@pytest.fixture
async def environment(database_url: str, simulator: RunningSimulator) -> AsyncIterator[OrderEnvironment]:
    async with open_order_environment(database_url, simulator.url) as opened:
        await opened.set_price("NSE:INFY", 1500)
        yield opened
