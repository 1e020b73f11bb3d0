"""Orders over HTTP, as a REST client uses them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from app.config import Settings
from tests.integration.conftest import RunningService, running_service
from tests.waiting import until

LIMIT: dict[str, Any] = {
    "exchange": "NSE",
    "tradingsymbol": "INFY",
    "transaction_type": "BUY",
    "quantity": 1,
    "product": "MIS",
    "order_type": "MARKET",
}


def fields(problem: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {tuple(one["loc"]) for one in problem["errors"]}


async def test_an_order_answers_201_with_its_task_and_where_it_lives(service: RunningService) -> None:
    """The task is finished; Location leads to it."""
    answer = await service.client.post("/orders", json={**LIMIT, "tag": "mine1"})
    task = answer.json()
    assert answer.status_code == 201
    assert (task["status"], task["sent"], task["tag"]) == ("completed", "yes", "mine1")
    again = await service.client.get(answer.headers["Location"])
    assert again.json()["task_id"] == task["task_id"]
    order = (await service.client.get(f"/orders/{task['order_id']}")).json()
    assert (order["order_id"], order["tag"]) == (task["order_id"], "mine1")


async def test_a_wait_that_ends_answers_202_and_the_order_goes_on(service: RunningService) -> None:
    """The order does not depend on a client that waits."""
    answer = await service.client.post("/orders", params={"wait": 0}, json=LIMIT)
    assert answer.status_code == 202

    async def completed() -> bool:
        task = (await service.client.get(answer.headers["Location"])).json()
        return bool(task["status"] == "completed")

    await until(completed)


async def test_a_repeated_key_replays_and_a_reused_key_is_refused(service: RunningService) -> None:
    """Same request: the same resource, marked; another request: 422, `sent` says no."""
    headers = {"Idempotency-Key": f"key-{uuid4().hex}"}
    first = await service.client.post("/orders", json=LIMIT, headers=headers)
    second = await service.client.post("/orders", json=LIMIT, headers=headers)
    assert second.json()["task_id"] == first.json()["task_id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = await service.client.post("/orders", json={**LIMIT, "quantity": 2}, headers=headers)
    assert other.status_code == 422
    assert (other.json()["code"], other.json()["sent"]) == ("IDEMPOTENCY_KEY_REUSED", "no")


async def test_production_demands_a_key(settings: Settings) -> None:
    """A client that repeats an order without one would place it twice; with one it is taken."""
    async with running_service(settings.model_copy(update={"environment": "production"})) as service:
        answer = await service.client.post("/orders", json=LIMIT)
        assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
        assert fields(answer.json()) == {("header", "Idempotency-Key")}
        assert (await service.client.get("/orders/tasks")).json()["data"] == []
        taken = await service.client.post("/orders", json=LIMIT, headers={"Idempotency-Key": "k" * 16})
        assert taken.status_code == 201


async def test_the_answer_to_a_bad_order_has_every_problem_at_once(service: RunningService) -> None:
    """Wrong fields, fields that do not fit, limits of the instrument: one answer names them all, nothing is stored."""
    bad = {**LIMIT, "quantity": 0, "order_type": "LIMIT", "validity": "TTL", "product": "NOPE", "colour": "red"}
    off_tick = {**LIMIT, "order_type": "LIMIT", "price": 1400.03, "product": "NOPE"}
    orders = [bad, {**LIMIT, "trigger_price": 5}, {**LIMIT, "tradingsymbol": "NOSUCHTHING"}, off_tick]
    answer = await service.client.post("/advanced/batch-orders", json={"orders": orders})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    where = ("body", "orders", 0)
    assert fields(problem) == {
        (*where, "quantity"),
        (*where, "product"),
        (*where, "colour"),
        (*where, "price"),
        (*where, "validity_ttl"),
        ("body", "orders", 1, "trigger_price"),
        ("body", "orders", 2, "tradingsymbol"),
        ("body", "orders", 3, "product"),
        ("body", "orders", 3, "price"),
    }
    assert (problem["sent"], problem["retryable"]) == ("no", "no")
    assert (await service.client.get("/orders/tasks")).json()["data"] == []


async def test_the_limits_of_the_instrument_are_checked_too(service: RunningService) -> None:
    """Tick size, lot size and whether there is such an instrument at all."""
    cases = [
        ({**LIMIT, "order_type": "LIMIT", "price": 1400.03}, "price"),
        ({**LIMIT, "tradingsymbol": "NOSUCHTHING"}, "tradingsymbol"),
        ({**LIMIT, "tradingsymbol": "NIFTY 50"}, "tradingsymbol"),
    ]
    for order, field in cases:
        answer = await service.client.post("/orders", json=order)
        assert answer.status_code == 400
        assert fields(answer.json()) == {("body", field)}


async def test_prices_are_exact_whether_number_or_text(service: RunningService) -> None:
    """0.1 is one tenth; what is not a number is refused."""
    for price in (1400.05, "1400.05"):
        order = {**LIMIT, "order_type": "LIMIT", "price": price}
        answer = await service.client.post("/orders", params={"dry_run": True}, json=order)
        assert answer.json()["requests"][0]["form"]["price"] == "1400.05"
    wrong: list[Any] = ["NaN", "Infinity", True, [], "12,5"]
    for value in wrong:
        answer = await service.client.post("/orders", json={**LIMIT, "order_type": "LIMIT", "price": value})
        assert answer.status_code == 400


async def test_an_algorithms_id_and_minutes_reach_the_broker(service: RunningService) -> None:
    """The id on the placement, `validity_ttl` on a change too; one without the other is named once."""
    quote = (await service.client.get("/quotes", params={"i": "NSE:INFY"})).json()["data"]["NSE:INFY"]
    low = round(quote["last_price"] * 0.95)
    order = {**LIMIT, "order_type": "LIMIT", "price": low, "algo_id": "NSE:17-ALGO"}
    shown = await service.client.post("/orders", params={"dry_run": True}, json=order)
    assert shown.json()["requests"][0]["form"]["algo_id"] == "NSE:17-ALGO"
    placed = await service.client.post("/orders", json=order)
    path = f"/orders/{placed.json()['order_id']}"
    changed = await service.client.put(path, json={"validity": "TTL", "validity_ttl": 3})
    assert changed.json()["status"] == "completed", changed.text
    for body in ({"validity": "TTL"}, {"validity_ttl": 3}):
        refused = await service.client.put(path, json=body)
        assert refused.status_code == 400
        assert [one["loc"] for one in refused.json()["errors"]] == [["body", "validity_ttl"]]
    strange = await service.client.put(path, json={"validity_ttl": 3, "algo_id": "A"})
    assert [one["loc"] for one in strange.json()["errors"]] == [["body", "algo_id"]]


async def test_a_dry_run_shows_the_brokers_requests_and_stores_nothing(service: RunningService) -> None:
    """The exact form, with the market protection that is compulsory."""
    answer = await service.client.post("/advanced/batch-orders", params={"dry_run": True}, json={"orders": [LIMIT]})
    request = answer.json()["requests"][0]
    assert (request["method"], request["path"]) == ("POST", "/orders/regular")
    assert request["form"]["market_protection"] == "-1"
    assert (await service.client.get("/orders/tasks")).json()["data"] == []
    assert (await service.client.get("/advanced/batch-orders")).json()["data"] == []


async def test_modify_and_cancel_are_tasks_too(service: RunningService) -> None:
    """Both wait for the broker's answer and name the order."""
    quote = (await service.client.get("/quotes", params={"i": "NSE:INFY"})).json()["data"]["NSE:INFY"]
    low = round(quote["last_price"] * 0.95)
    task = (await service.client.post("/orders", json={**LIMIT, "order_type": "LIMIT", "price": low})).json()
    path = f"/orders/{task['order_id']}"
    modified = await service.client.put(path, json={"price": low + 1})
    assert (modified.status_code, modified.json()["operation"]) == (201, "modify")
    assert modified.json()["request"]["changes"] == {"price": low + 1}
    cancelled = await service.client.delete(path)
    assert (cancelled.status_code, cancelled.json()["status"]) == (201, "completed")

    async def gone() -> bool:
        return bool((await service.client.get(path)).json()["state"] == "cancelled")

    await until(gone)
    history = (await service.client.get(f"{path}/history")).json()["data"]
    assert [row["status"] for row in history][-1] == "CANCELLED"


async def test_a_placement_is_withdrawn_by_its_task(service: RunningService) -> None:
    """202 while its order lives, 200 once nothing of it does; asking again adds nothing; only placements are."""
    placed = (await service.client.post("/orders", json={**LIMIT, "order_type": "LIMIT", "price": 1400})).json()
    path = f"/orders/tasks/{placed['task_id']}"
    first = await service.client.delete(path)
    assert (first.status_code, first.json()["cancel_on_sight"]) == (202, True)

    async def over() -> bool:
        return (await service.client.delete(path)).status_code == 200

    await until(over)
    assert (await service.client.get(f"/orders/{placed['order_id']}")).json()["state"] == "cancelled"
    tasks = (await service.client.get("/orders/tasks")).json()["data"]
    (cancel,) = [task for task in tasks if task["operation"] == "cancel"]
    odd = await service.client.delete(f"/orders/tasks/{cancel['task_id']}")
    assert (odd.status_code, odd.json()["code"], odd.json()["sent"]) == (409, "NOT_A_PLACEMENT", "no")
    assert (await service.client.delete(f"/orders/tasks/{uuid4()}")).status_code == 404
    assert (await service.anonymous.delete(path)).status_code == 401


async def test_a_batch_is_listed_and_its_orders_name_it(service: RunningService) -> None:
    """GET by id, in the list, and from each order."""
    answer = await service.client.post("/advanced/batch-orders", json={"orders": [LIMIT, {**LIMIT, "quantity": 2}]})
    batch = answer.json()
    assert (answer.status_code, batch["status"]) == (201, "completed")
    assert (await service.client.get(answer.headers["Location"])).json() == batch
    assert (await service.client.get("/advanced/batch-orders")).json()["data"] == [batch]
    orders = (await service.client.get("/orders")).json()["data"]
    assert {order["batch_id"] for order in orders} == {batch["batch_id"]}

    async def all_traded() -> bool:
        trades = (await service.client.get("/trades")).json()["data"]
        return bool(sum(trade["quantity"] for trade in trades) == 3)

    await until(all_traded)


async def test_lists_are_paged_by_cursor_without_overlap(service: RunningService) -> None:
    """Page by page is the same as all at once."""
    for quantity in range(1, 6):
        await service.client.post("/orders", json={**LIMIT, "quantity": quantity})
    for path, key in (("/orders/tasks", "task_id"), ("/orders", "order_id")):
        whole = [row[key] for row in (await service.client.get(path)).json()["data"]]
        pages: list[str] = []
        cursor: str | None = None
        while True:
            params: dict[str, str] = {"limit": "2", **({"cursor": cursor} if cursor else {})}
            page = (await service.client.get(path, params=params)).json()
            pages += [row[key] for row in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert pages == whole
        assert len(whole) == 5


async def test_unknown_things_are_404_and_bad_keys_400(service: RunningService) -> None:
    """Each with a code; nothing is a server error."""
    for path in ("/orders/123", f"/orders/tasks/{uuid4()}", f"/advanced/batch-orders/{uuid4()}"):
        assert (await service.client.get(path)).status_code == 404
    assert (await service.client.get("/orders/tasks/not-a-uuid")).status_code == 400
    assert (await service.client.get("/orders/tasks", params={"cursor": "x"})).status_code == 400
    short = await service.client.post("/orders", json=LIMIT, headers={"Idempotency-Key": "short"})
    assert short.status_code == 400
    assert fields(short.json()) == {("header", "Idempotency-Key")}
    foreign = await service.client.post("/orders", json={**LIMIT, "account_id": "unknown"})
    assert foreign.status_code == 404
