"""``version`` of an order and ``If-Match``: a change that was decided on what has changed since is not made."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.integration.api.test_orders import LIMIT
from tests.integration.conftest import RunningService
from tests.waiting import until


async def resting(service: RunningService) -> dict[str, Any]:
    """An order far below the market, as GET shows it once the book has."""
    quote = (await service.client.get("/quotes", params={"i": "NSE:INFY"})).json()["data"]["NSE:INFY"]
    body = {**LIMIT, "order_type": "LIMIT", "price": round(quote["last_price"] * 0.95), "quantity": 5}
    task = (await service.client.post("/orders", json=body)).json()
    return await shown(service, task["order_id"], state="open")


async def shown(service: RunningService, order_id: str, **wanted: Any) -> dict[str, Any]:
    order: dict[str, Any] = {}

    async def is_shown() -> bool:
        order.update((await service.client.get(f"/orders/{order_id}")).json())
        return all(order.get(name) == value for name, value in wanted.items())

    await until(is_shown)
    return order


async def test_a_change_meant_for_an_older_version_is_refused(service: RunningService) -> None:
    """The version is an ETag too; of two clients with the same version one changes the order, the other is refused."""
    order = await resting(service)
    path = f"/orders/{order['order_id']}"
    answer = await service.client.get(path)
    assert answer.headers["ETag"] == f'"{order["version"]}"'
    seen = {"If-Match": answer.headers["ETag"]}
    first = await service.client.put(path, json={"quantity": 6}, headers=seen)
    assert (first.status_code, first.json()["status"]) == (201, "completed")
    at_once = await service.client.put(path, json={"quantity": 7}, headers=seen)
    assert at_once.status_code == 412  # the broker has taken the change, whether the book shows it or not
    changed = await shown(service, order["order_id"], quantity=6)
    assert changed["version"] != order["version"]
    second = await service.client.put(path, json={"quantity": 7}, headers=seen)
    problem = second.json()
    assert (second.status_code, problem["code"], problem["sent"]) == (412, "VERSION_STALE", "no")
    assert problem["retryable"] == "after_check"
    assert changed["version"] in problem["detail"]
    again = await service.client.put(path, json={"quantity": 7}, headers={"If-Match": changed["version"]})
    assert again.status_code == 201
    assert (await shown(service, order["order_id"], quantity=7))["quantity"] == 7


async def test_a_cancel_may_be_conditional_too_and_needs_not_be(service: RunningService) -> None:
    """A stale version keeps the order alive; without one, or with a star, cancels pass as ever."""
    order = await resting(service)
    path = f"/orders/{order['order_id']}"
    stale = await service.client.delete(path, headers={"If-Match": '"00"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "VERSION_STALE")
    assert (await service.client.get(path)).json()["state"] == "open"
    assert (await service.client.delete(path, headers={"If-Match": "*"})).json()["status"] == "completed"


async def test_a_repeated_request_is_replayed_although_its_version_is_old(service: RunningService) -> None:
    """The key was known before: what it stands for has been done, and doing it is what made the version old."""
    order = await resting(service)
    path = f"/orders/{order['order_id']}"
    headers = {"If-Match": order["version"], "Idempotency-Key": f"key-{uuid4().hex}"}
    first = await service.client.put(path, json={"quantity": 6}, headers=headers)
    await shown(service, order["order_id"], quantity=6)
    second = await service.client.put(path, json={"quantity": 6}, headers=headers)
    assert second.json()["task_id"] == first.json()["task_id"]
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_an_unreadable_header_is_refused(service: RunningService) -> None:
    """400 that names it, and nothing happens to the order."""
    order = await resting(service)
    answer = await service.client.put(
        f"/orders/{order['order_id']}", json={"quantity": 6}, headers={"If-Match": '"a" "b"'}
    )
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, ["header", "If-Match"])


async def test_a_new_order_replaces_a_live_one(service: RunningService) -> None:
    """`replaces` names the order and its version; the dry run shows both requests, the answer is the new order's."""
    order = await resting(service)
    names = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type")
    body = {name: order[name] for name in names} | {"price": order["price"] + 1}
    body["replaces"] = {"order_id": order["order_id"], "version": order["version"]}
    dry = (await service.client.post("/orders", params={"dry_run": True}, json=body)).json()["requests"]
    path = f"/orders/regular/{order['order_id']}"
    assert [(one["method"], one["path"]) for one in dry] == [("DELETE", path), ("POST", "/orders/regular")]
    assert (await shown(service, order["order_id"]))["state"] == "open"
    answer = await service.client.post("/orders", json=body)
    task = answer.json()
    assert (answer.status_code, task["status"], task["replaces"]) == (201, "completed", order["order_id"])
    assert (await service.client.get(f"/orders/{order['order_id']}")).json()["state"] == "cancelled"
    for params in ({}, {"dry_run": True}):
        again = await service.client.post("/orders", params=params, json=body)
        assert (again.status_code, again.json()["code"], again.json()["sent"]) == (409, "ORDER_ALREADY_FINAL", "no")


async def test_every_fault_of_a_replacement_is_named(service: RunningService) -> None:
    """Fields of `replaces`, fields of the order beside it, the wrong side, a stale version in a dry run too."""
    order = await resting(service)
    names = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type", "price")
    good = {name: order[name] for name in names}
    named = {"order_id": order["order_id"], "version": order["version"]}
    bad = await service.client.post("/orders", json={**good, "quantity": 0, "replaces": {"order_id": "a b", "x": 1}})
    assert {tuple(one["loc"]) for one in bad.json()["errors"]} == {
        ("body", "quantity"),
        ("body", "replaces", "order_id"),
        ("body", "replaces", "version"),
        ("body", "replaces", "x"),
    }
    unstorable = await service.client.post("/orders", json={**good, "replaces": {**named, "version": "a\x00b"}})
    assert (unstorable.status_code, unstorable.json()["sent"]) == (400, "no")
    sell = {**good, "transaction_type": "SELL", "replaces": named}
    refused = await service.client.post("/orders", json=sell)
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (400, ["body", "replaces"])
    bounded = await service.client.post("/orders", json={**good, "replaces": named, "not_above": 1, "not_below": 1})
    assert [one["loc"] for one in bounded.json()["errors"]] == [["body", "not_above"], ["body", "not_below"]]
    left = (await service.client.get(f"/orders/{order['order_id']}")).json()
    assert left["state"] == "open"
    stale = {**good, "replaces": {**named, "version": "00"}}
    for params in ({"dry_run": True}, {}):
        answer = await service.client.post("/orders", params=params, json=stale)
        assert (answer.status_code, answer.json()["code"]) == (412, "VERSION_STALE")
    batch = await service.client.post("/advanced/batch-orders", json={"orders": [{**good, "replaces": named}]})
    assert (batch.status_code, batch.json()["errors"][0]["loc"]) == (400, ["body", "orders", 0, "replaces"])
