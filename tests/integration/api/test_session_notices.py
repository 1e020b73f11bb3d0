"""A token that the broker rejects at one replica: the others learn of it through PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from app.config import Settings
from app.db.notifications import CHANNEL
from app.orders.state.wakeups import session_notice
from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService, running_replica
from tests.waiting import until

ARRIVES_WITHIN_S = 20.0


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[RunningService]:
    """The replica that sends the orders."""
    async with running_replica(settings, "first") as running:
        yield running


async def test_the_owner_learns_of_a_token_that_another_replica_finds_rejected(
    service: RunningService, settings: Settings, simulator: RunningSimulator
) -> None:
    """The other replica does not send orders and meets the rejection by a read; the owner says why it cannot trade."""
    url = settings.database_url.get_secret_value()
    listening = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with listening, running_replica(settings, "second") as other:
        await listening.execute(f"LISTEN {CHANNEL}")
        async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as sim:
            (await sim.post("/_sim/session", json={"user_id": "SIM001", "expired": True})).raise_for_status()
        refused = await other.client.get("/portfolio/positions")
        assert refused.json()["code"] == "SESSION_EXPIRED", refused.text
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            async for notice in listening.notifies():
                if notice.payload == session_notice("primary"):
                    break

        async def is_said() -> bool:
            (account,) = (await service.client.get("/health")).json()["orders"]["accounts"]
            return "no_session" in account["reasons"]

        await until(is_said)
