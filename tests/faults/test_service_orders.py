"""The broker misbehaves while a client waits over HTTP: what the client is answered, and what the ledger says."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e.environment import Broker, Service, limit_order, wait_for

ENDS = {"completed", "rolled_back", "rolled_back_with_fills", "partially_completed", "needs_attention"}


def place_batch(service: Service, *orders: dict[str, Any], wait: float = 30, **options: Any) -> httpx.Response:
    body = {"orders": list(orders), **options}
    return service.client.post("/advanced/batch-orders", params={"wait": wait}, json=body)


def legs(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Resting orders on two instruments in turn."""
    return [limit_order(tradingsymbol=("INFY", "SBIN")[index % 2], **changes) for index in range(count)]


def ledger_by_id(broker: Broker, since: int) -> dict[str, dict[str, Any]]:
    return {row["order_id"]: row for row in broker.ledger(since)}


def test_a_lost_answer_ends_completed_and_once(service: Service, broker: Broker) -> None:
    """drop_after_accept on a leg of a batch: 201 `completed`, each order once in the ledger under its own tag."""
    since = len(broker.ledger())
    broker.fault("drop_after_accept", after=1)
    answer = place_batch(service, *legs(3))
    assert (answer.status_code, answer.json()["status"]) == (201, "completed"), answer.json()["error"]
    ledger = broker.ledger(since)
    assert sorted(row["order_id"] for row in ledger) == sorted(leg["order_id"] for leg in answer.json()["orders"])
    assert len({row["tag"] for row in ledger}) == 3


def test_a_hanging_broker_gives_202_in_time_with_a_location(service: Service, broker: Broker) -> None:
    """The wait ends, the order does not: 202 with the present state, and the task behind `Location` ends right."""
    since = len(broker.ledger())
    broker.fault("late_visible", params={"ms": 3_000})  # until then it cannot be finished
    broker.fault("hang", params={"ms": 20_000})
    answer = service.client.post("/orders", params={"wait": 0.5}, json=limit_order())
    assert answer.status_code == 202
    assert answer.json()["status"] in {"pending", "running", "in_doubt"}
    location = answer.headers["location"]
    assert location == f"/orders/tasks/{answer.json()['task_id']}"

    def ended() -> dict[str, Any] | None:
        task: dict[str, Any] = service.client.get(location).json()
        return task if task["status"] == "completed" else None

    task = wait_for("the task completes", ended, within_s=30)
    assert (task["sent"], task["attempts"]) == ("yes", 1)
    assert [row["order_id"] for row in broker.ledger(since)] == [task["order_id"]]


@pytest.mark.parametrize("kind", ["half_headers", "half_body", "html_200", "status", "reset", "drop_before_read"])
def test_no_fault_of_the_broker_is_a_5xx(service: Service, broker: Broker, kind: str) -> None:
    """A client library repeats a 5xx by itself; so the answer is 201 or 202, and the end agrees with the ledger."""
    since = len(broker.ledger())
    broker.fault(kind, params={"process": True} if kind in {"half_headers", "half_body", "html_200", "status"} else {})
    answer = service.client.post("/orders", params={"wait": 8}, json=limit_order(price=1401))
    assert answer.status_code in {201, 202}
    location = answer.headers["location"]
    ends = {"completed", "failed"}
    task = wait_for(
        "an end", lambda: (one := service.client.get(location).json())["status"] in ends and one, within_s=40
    )
    rows = broker.ledger(since)
    assert [row["order_id"] for row in rows] == ([task["order_id"]] if task["status"] == "completed" else [])
    assert (task["status"] == "completed") == (kind not in {"reset", "drop_before_read"})


def test_a_refused_order_says_why_in_the_brokers_words(service: Service, broker: Broker) -> None:
    """More than the account can pay: `failed` with the broker's message, proven without effect."""
    since = len(broker.ledger())
    answer = service.client.post("/orders", json=limit_order(quantity=10_000_000, product="CNC"))
    task = answer.json()
    assert (answer.status_code, task["status"]) == (201, "failed")
    assert "insufficient" in task["last_error"]["message"].lower()
    assert task["last_error"]["broker"]["error_type"] == "MarginException"
    assert task["sent"] == "yes"
    assert broker.ledger(since) == []


def test_a_rejected_third_leg_takes_the_first_two_back(service: Service, broker: Broker) -> None:
    """`rolled_back` only when nothing filled and every leg is finished; cancelled under the leg's own variety."""
    since = len(broker.ledger())
    broker.fault("reject", after=2)
    body = place_batch(service, *legs(4)).json()
    assert (body["status"], body["success"], body["residual"]) == ("rolled_back", False, [])
    ledger = ledger_by_id(broker, since)
    states = [ledger[leg["order_id"]]["state"] if leg["order_id"] else None for leg in body["orders"]]
    refused = states.index("REJECTED")
    assert f"leg {refused} was rejected" in body["error"]["message"]
    assert states.count("CANCELLED") >= 2
    assert set(states[:refused] + states[refused + 1 :]) <= {None, "CANCELLED"}
    assert body["succeeded"] == 0
    assert body["failed"] + body["rolled_back"] == body["total_orders"] == 4
    assert {row["filled_quantity"] for row in ledger.values()} == {0}


def test_with_the_first_leg_filled_the_residual_is_exact(service: Service, broker: Broker) -> None:
    """What filled cannot be taken back: `rolled_back_with_fills`, and the position that is left, to the piece."""
    since = len(broker.ledger())
    broker.fault("reject", after=2)
    first = limit_order(price=1510, quantity=7)
    body = place_batch(service, first, limit_order(tradingsymbol="SBIN"), limit_order()).json()
    assert body["status"] == "rolled_back_with_fills"
    assert body["residual"] == [
        {"tradingsymbol": "INFY", "exchange": "NSE", "product": "MIS", "quantity": 7, "average_price": 1500}
    ]
    ledger = ledger_by_id(broker, since)
    assert [ledger[leg["order_id"]]["state"] for leg in body["orders"]] == ["COMPLETE", "CANCELLED", "REJECTED"]
    assert (body["succeeded"], body["failed"], body["rolled_back"]) == (1, 1, 1)


def test_square_off_sells_what_filled(service: Service, broker: Broker) -> None:
    """`on_filled: square_off` takes the fill back by an opposite order; nothing is left over."""
    since = len(broker.ledger())
    broker.fault("reject", after=1)
    orders = (limit_order(price=1510, quantity=3), limit_order(tradingsymbol="SBIN"))
    body = place_batch(service, *orders, on_filled="square_off").json()
    assert (body["status"], body["residual"]) == ("rolled_back_with_fills", [])
    sides = [(row["request"]["transaction_type"], row["filled_quantity"]) for row in broker.ledger(since)]
    assert ("BUY", 3) in sides
    assert ("SELL", 3) in sides


def test_the_same_key_at_the_same_moment_is_one_order(service: Service, broker: Broker) -> None:
    """A client that repeats after a lost answer gets the same task, says the service, and nothing is sent again."""
    since = len(broker.ledger())
    headers = {"Idempotency-Key": f"once-{time.time_ns()}"}
    answers = [service.client.post("/orders", json=limit_order(), headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true", "true"]
    assert len(broker.ledger(since)) == 1
    other = service.client.post("/orders", json=limit_order(price=1402), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert (other.json()["sent"], other.json()["retryable"]) == ("no", "no")
    assert len(broker.ledger(since)) == 1


def test_a_dead_session_holds_and_a_login_releases(service: Service, broker: Broker) -> None:
    """The token dies: held, not lost, not sent; after a login over the API it is sent immediately."""
    since = len(broker.ledger())
    broker.post("/_sim/session", {"user_id": "SIM001", "expired": True})
    held = service.client.post("/orders", params={"wait": 0}, json=limit_order())
    assert held.status_code == 202
    location = held.headers["location"]
    task = wait_for("it is held", lambda: (one := service.client.get(location).json())["status"] == "held" and one)
    assert task["sent"] == "no"
    link = service.client.get("/accounts/primary/login-url").json()["login_url"]
    redirect = httpx.get(link, trust_env=False).headers["location"]
    request_token = parse_qs(urlsplit(redirect).query)["request_token"][0]
    login = service.client.post("/accounts/primary/session", json={"request_token": request_token})
    assert login.status_code == 200, login.text
    wait_for("the order goes", lambda: service.client.get(location).json()["status"] == "completed", within_s=20)
    assert len(broker.ledger(since)) == 1
    broker.post("/_sim/session", {"user_id": "SIM001", "expired": False})
    service.wait_for_health("ok", within_s=20)
