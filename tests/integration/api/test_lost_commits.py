"""The database is lost while a command of a client is stored: whatever its answer is, it is true of the orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from app.config import Settings
from chaos.proxy import FaultProxy, Toxic, open_proxy
from simulator.server import RunningSimulator
from tests.faults.outage_environment import port_of, with_port
from tests.integration.conftest import RunningService, running_replica
from tests.waiting import until

ORDER = {
    "exchange": "NSE", "tradingsymbol": "INFY", "transaction_type": "BUY", "quantity": 1, "product": "MIS",
    "order_type": "LIMIT", "price": 1400,
}  # fmt: skip
COMMIT_LOST = Toxic(kind="timeout", directions=frozenset({"down"}), since=b"COMMIT")
"""The server commits, and its answer does not arrive."""


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[FaultProxy]:
    async with open_proxy(port_of(settings.database_url.get_secret_value())) as opened:
        yield opened


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[RunningService]:
    """The replica that sends the orders."""
    async with running_replica(settings, "first") as running:
        yield running


@pytest.fixture
async def replica(settings: Settings, proxy: FaultProxy, service: RunningService) -> AsyncIterator[RunningService]:
    """Another replica, over a line to the database that the test can break; ``service`` sends the orders."""
    url = with_port(settings.database_url.get_secret_value(), proxy.port)
    async with running_replica(settings.model_copy(update={"database_url": SecretStr(url)}), "second") as running:
        yield running


@pytest.fixture
async def sim(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        market = {"NSE:INFY": {"last_price": 1500, "frozen": True}}
        (await client.post("/_sim/market", json={"instruments": market})).raise_for_status()
        yield client


async def _fault(sim: httpx.AsyncClient, kind: str, **more: Any) -> None:
    body = {"method": "POST", "path": "/orders/regular", "kind": kind, **more}
    (await sim.post("/_sim/faults", json=body)).raise_for_status()


async def _ledger(sim: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await sim.get("/_sim/ledger")).json()
    return found


async def test_a_withdrawal_whose_commit_is_lost_is_not_called_unsent(
    service: RunningService,
    sim: httpx.AsyncClient,
    proxy: FaultProxy,
    replica: RunningService,
) -> None:
    """Its cancel goes to the broker; no server error, which client libraries repeat by themselves."""
    task = (await service.client.post("/orders", json=ORDER)).json()
    proxy.toxics = (COMMIT_LOST,)
    answer = await replica.client.delete(f"/orders/tasks/{task['task_id']}")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "ACCEPTANCE_UNKNOWN")
    assert (body["sent"], body["retryable"]) == ("unknown", "after_check")

    async def cancelled() -> bool:
        return [row["state"] for row in await _ledger(sim)] == ["CANCELLED"]

    await until(cancelled)


async def test_a_requeue_whose_commit_is_lost_is_not_called_unsent(
    service: RunningService,
    sim: httpx.AsyncClient,
    proxy: FaultProxy,
    replica: RunningService,
    settings: Settings,
) -> None:
    """The order goes; an operator who reads "not sent" would place another one."""
    await _fault(sim, "drop_before_read")
    task = (await service.client.post("/orders", json=ORDER, params={"wait": 0})).json()
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("UPDATE order_task SET trade_date = trade_date - 3")

    async def is_dead_letter() -> bool:
        return bool((await service.client.get(f"/orders/tasks/{task['task_id']}")).json()["status"] == "dead_letter")

    await until(is_dead_letter)
    proxy.toxics = (COMMIT_LOST,)
    answer = await replica.client.post(
        f"/orders/tasks/{task['task_id']}/resolve", json={"resolution": "requeue", "note": "contract note"}
    )
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "ACCEPTANCE_UNKNOWN")
    assert (body["sent"], body["retryable"]) == ("unknown", "after_check")

    async def placed() -> bool:
        return len(await _ledger(sim)) == 1

    await until(placed)


async def test_a_stored_withdrawal_whose_end_cannot_be_read_is_no_failure(
    service: RunningService,
    proxy: FaultProxy,
    replica: RunningService,
    sim: httpx.AsyncClient,
) -> None:
    """The order is being cancelled; the database goes while the caller waits for its end."""
    await _fault(sim, "late_visible", params={"ms": 6000})
    await _fault(sim, "drop_after_accept")
    task = (await service.client.post("/orders", json=ORDER, params={"wait": 0})).json()

    async def is_in_doubt() -> bool:
        return bool((await service.client.get(f"/orders/tasks/{task['task_id']}")).json()["status"] == "in_doubt")

    await until(is_in_doubt)
    waiting = asyncio.create_task(replica.services.withdrawals.withdraw(task["task_id"], wait_s=2.0))

    async def is_stored() -> bool:
        return bool((await service.client.get(f"/orders/tasks/{task['task_id']}")).json()["cancel_on_sight"])

    await until(is_stored)
    proxy.stop_listening()
    proxy.cut()
    done = await waiting
    assert (done.over, done.document["cancel_on_sight"], done.document["sent"]) == (False, True, "unknown")
