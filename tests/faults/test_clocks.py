"""A replica whose own clock is wrong decides as every other one: rows are compared with the database's clock alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from app.composition.parts import Overrides
from app.config import Settings
from app.kit.clock import SystemClock
from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService, running_service, settings, simulator
from tests.waiting import until

__all__ = ["settings", "simulator"]

BEING_PROCESSED = {
    "code": 400,
    "error_type": "InputException",
    "message": "Order cannot be cancelled as it is being processed. Try later.",
}
ORDER = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 1,
    "product": "MIS",
    "order_type": "LIMIT",
    "price": 1400,
}


class WrongClock(SystemClock):
    """The machine's clock, set wrong; what it counts is right."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self) -> datetime:
        return super().now() + self._ahead


@pytest.fixture(params=[-90.0, 90.0], ids=["90 s behind", "90 s ahead"])
async def wrong(
    request: pytest.FixtureRequest, settings: Settings, simulator: RunningSimulator
) -> AsyncIterator[RunningService]:
    """A running service whose machine has the wrong time."""
    overrides = Overrides(clock=WrongClock(request.param))
    async with running_service(settings, overrides=overrides) as running:
        await control(running, "/_sim/market", {"instruments": {"NSE:INFY": {"last_price": 1500}}})
        yield running


async def control(service: RunningService, path: str, body: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=service.settings.kite_rest_url, trust_env=False) as client:
        (await client.post(path, json=body)).raise_for_status()


async def fault(service: RunningService, kind: str, *, method: str, **more: Any) -> None:
    await control(service, "/_sim/faults", {"method": method, "path": "/orders/*", "kind": kind, **more})


async def place(service: RunningService, **changes: Any) -> dict[str, Any]:
    answer = await service.client.post("/orders?wait=20", json={**ORDER, **changes})
    document: dict[str, Any] = answer.json()
    return document


async def test_a_batch_is_placed_whole(wrong: RunningService) -> None:
    """By its own clock the replica would call the deadline over as soon as the batch is stored."""
    body = {"orders": [ORDER, {**ORDER, "price": 1401}], "rollback_on_failure": True}
    answer = (await wrong.client.post("/advanced/batch-orders?wait=20", json=body)).json()
    assert (answer["status"], answer["succeeded"]) == ("completed", 2)


async def test_a_cancel_that_came_too_early_is_repeated(wrong: RunningService) -> None:
    """Its freshness and its delay are the database's: it neither ends immediately nor waits for 90 s."""
    order_id = (await place(wrong))["order_id"]
    await fault(wrong, "status", method="DELETE", params=BEING_PROCESSED)
    answer = (await wrong.client.delete(f"/orders/{order_id}?wait=20")).json()
    assert (answer["status"], answer["attempts"]) == ("completed", 2)


async def test_a_rollback_goes_on_after_a_refused_cancel(wrong: RunningService) -> None:
    """The second leg is refused, the cancel of the first one too, once: the rollback ends all the same."""
    await fault(wrong, "status", method="POST", after=1, params={"code": 400, "error_type": "MarginException",
                                                                 "message": "No funds"})  # fmt: skip
    await fault(wrong, "status", method="DELETE", params={**BEING_PROCESSED, "message": "Not now."})
    body = {"orders": [ORDER, {**ORDER, "price": 1401}], "rollback_on_failure": True}
    answer = (await wrong.client.post("/advanced/batch-orders?wait=20", json=body)).json()
    assert answer["status"] == "rolled_back"


async def test_an_order_whose_answer_was_lost_is_found(wrong: RunningService) -> None:
    """The broker's stamps are compared with the time of the send by the same clock."""
    await fault(wrong, "drop_after_accept", method="POST")
    task = await place(wrong)

    async def is_completed() -> bool:
        found = (await wrong.client.get(f"/orders/tasks/{task['task_id']}")).json()
        return bool(found["status"] == "completed")

    await until(is_completed)
