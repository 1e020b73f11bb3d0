"""A simulator in a thread for the synchronous official clients, one for the whole package."""

from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from simulator.server import RunningSimulator
from simulator.settings import RateLimits, SimulatorSettings
from tests.simulator_thread import simulator_in_thread


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[RunningSimulator]:
    """Without request limits: a scripted session sends more than ten requests a second."""
    settings = SimulatorSettings(
        port=0, accounts=2, rate_limits=RateLimits(enforced="off"), opening_cash=Decimal(100_000_000), heartbeat_s=0.2
    )
    with simulator_in_thread(settings) as running:
        yield running


@pytest.fixture
def simulator(shared_simulator: RunningSimulator) -> RunningSimulator:
    """The simulator after a reset, INFY frozen at 1500."""
    market = {"instruments": {"NSE:INFY": {"last_price": 1500, "frozen": True, "liquidity": 10_000}}}
    with httpx.Client(base_url=shared_simulator.url) as control:
        control.post("/_sim/reset").raise_for_status()
        control.post("/_sim/market", json=market).raise_for_status()
    return shared_simulator
