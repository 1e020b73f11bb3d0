"""The id of a sliced order over HTTP: it works wherever an order id does, or is refused at once."""

from __future__ import annotations

from typing import Any

import httpx

from simulator.server import RunningSimulator
from tests.integration.conftest import RunningService
from tests.waiting import until


async def sliced_order(service: RunningService, simulator: RunningSimulator) -> dict[str, Any]:
    """The task of a resting order of twice the freeze quantity."""
    instruments = simulator.simulator.market.instruments.values()
    option = next(one for one in instruments if one.name == "NIFTY" and one.instrument_type == "PE")
    market = {f"NFO:{option.tradingsymbol}": {"last_price": 100, "frozen": True}}
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as control:
        (await control.post("/_sim/market", json={"instruments": market})).raise_for_status()
    body = {
        "exchange": "NFO",
        "tradingsymbol": option.tradingsymbol,
        "transaction_type": "BUY",
        "quantity": 2 * option.freeze_quantity,
        "product": "NRML",
        "order_type": "LIMIT",
        "price": 90,
        "autoslice": True,
    }
    answer = await service.client.post("/orders", json=body)
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def test_a_group_is_read_cancelled_and_otherwise_refused(
    service: RunningService, simulator: RunningSimulator
) -> None:
    """GET sums it, PUT and the history name its slices, DELETE with a version is refused, DELETE cancels all."""
    client, task = service.client, await sliced_order(service, simulator)
    group, ids = task["order_id"], [child["order_id"] for child in task["children"]]

    async def is_open() -> bool:
        return bool((await client.get(f"/orders/{group}")).json()["state"] == "open")

    await until(is_open)
    for refused in (
        await client.put(f"/orders/{group}", json={"price": 91}),
        await client.get(f"/orders/{group}/history"),
    ):
        assert (refused.status_code, refused.json()["code"], refused.json()["sent"]) == (409, "ORDER_IS_A_GROUP", "no")
        assert all(order_id in refused.json()["detail"] for order_id in ids)
    versioned = await client.delete(f"/orders/{group}", headers={"If-Match": '"0123"'})
    assert (versioned.status_code, versioned.json()["code"]) == (412, "VERSION_STALE")
    answer = await client.delete(f"/orders/{group}")
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/orders/tasks/{task['task_id']}")
    document = (await client.get(f"/orders/{group}")).json()
    assert (document["state"], document["filled_quantity"]) == ("cancelled", 0)
    for order_id in ids:
        assert (await client.get(f"/orders/{order_id}")).json()["state"] == "cancelled"


async def test_a_cancel_of_a_group_that_is_not_waited_for_says_where_to_look(
    service: RunningService, simulator: RunningSimulator
) -> None:
    """202, and its placement's task; the slices go all the same."""
    client, task = service.client, await sliced_order(service, simulator)
    answer = await client.delete(f"/orders/{task['order_id']}", params={"wait": 0})
    assert (answer.status_code, answer.json()["cancel_on_sight"]) == (202, True)

    async def gone() -> bool:
        return bool((await client.get(f"/orders/{task['order_id']}")).json()["state"] == "cancelled")

    await until(gone)
