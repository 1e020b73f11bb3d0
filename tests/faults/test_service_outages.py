"""Redis and PostgreSQL go away and come back under a running service: what it says, what it keeps, what it sends."""

import time

import httpx
from websockets.sync.client import ClientConnection

from tests.e2e.environment import Broker, Service, authenticate, limit_order, receive, wait_for
from tests.faults.outage_environment import Server, next_tick

HANGS_S = 15.0
"""What takes so long waits for what does not come."""


def receive_placed(stream: ClientConnection, order_id: str, *, after: int) -> int:
    """Read on, without a gap, to this order's placement; the other orders of the day may come before it."""
    seq = after
    while True:
        message = receive(stream)
        seq += 1
        assert message["seq"] == seq
        if (message["event"], message["data"]["order_id"]) == ("order_placed", order_id):
            return seq


def test_without_redis_orders_go_on_and_it_comes_back_by_itself(
    outage_service: Service, broker: Broker, redis_of_its_own: Server
) -> None:
    """Degraded, said; orders and their events as always; ticks conflated and counted; publishing resumes."""
    since = len(broker.ledger())
    wait_for("ticks", lambda: next_tick(redis_of_its_own.url))
    with outage_service.stream() as stream:
        authenticate(stream)
        snapshot = receive(stream)
        assert snapshot["type"] == "snapshot"
        with redis_of_its_own.away():
            health = outage_service.wait_for_health("degraded")
            assert (health["http"], health["dependencies"]["redis"]) == (200, "down")
            assert health["dependencies"]["database"] == "ok"
            conflated = outage_service.metric("ticker_ticks_conflated_total")
            answer = outage_service.client.post("/orders", json=limit_order())
            assert (answer.status_code, answer.json()["status"]) == (201, "completed")
            seq = receive_placed(stream, answer.json()["order_id"], after=snapshot["seq"])
            wait_for("conflation", lambda: outage_service.metric("ticker_ticks_conflated_total") > conflated)
            assert (
                outage_service.client.get("/quotes", params={"i": "NSE:TCS"}).json()["data"]["NSE:TCS"]["stale"]
                is False
            )
        outage_service.wait_for_health("ok", within_s=30)
        assert wait_for("ticks again", lambda: next_tick(redis_of_its_own.url), within_s=30)
        second = outage_service.client.post("/orders", json=limit_order())
        receive_placed(stream, second.json()["order_id"], after=seq)
    assert len(broker.ledger(since)) == 2


def test_a_frozen_redis_holds_nothing_up(outage_service: Service, broker: Broker, redis_of_its_own: Server) -> None:
    """It accepts and never answers, which is worse than being gone: nothing waits for its answer."""
    since = len(broker.ledger())
    with redis_of_its_own.frozen():
        answer = outage_service.client.post("/orders", json=limit_order(), timeout=HANGS_S)
        assert (answer.status_code, answer.json()["status"]) == (201, "completed")
        assert outage_service.wait_for_health("degraded")["dependencies"]["redis"] == "down"
        assert outage_service.client.get("/orders", timeout=HANGS_S).status_code == 200
    outage_service.wait_for_health("ok", within_s=30)
    assert wait_for("ticks again", lambda: next_tick(redis_of_its_own.url), within_s=30)
    assert len(broker.ledger(since)) == 1


def test_without_the_database_nothing_is_accepted_and_it_comes_back_by_itself(
    outage_service: Service, broker: Broker, redis_of_its_own: Server, postgres_of_its_own: Server
) -> None:
    """503 that says `sent: no`; down, said; ticks flow on; the same process serves again, and nothing is doubled."""
    since = len(broker.ledger())
    assert outage_service.child is not None
    headers = {"Idempotency-Key": f"outage-{time.time_ns()}"}
    with postgres_of_its_own.away():
        assert wait_for("ticks all the while", lambda: next_tick(redis_of_its_own.url))
        for path, body in (("/orders", limit_order()), ("/advanced/batch-orders", {"orders": [limit_order()] * 2})):
            refused = outage_service.client.post(path, json=body, headers=headers, timeout=HANGS_S)
            check_not_accepted(refused)
        health = outage_service.wait_for_health("down")
        assert (health["http"], health["dependencies"]["database"]) == (503, "down")
        assert httpx.get(f"{outage_service.url}/health/live", trust_env=False).status_code == 200
        assert [one["reasons"] for one in health["orders"]["accounts"]] == [["database_stalled"]]
        # no other replica could do better, and operators need this one
        assert httpx.get(f"{outage_service.url}/health/ready", trust_env=False).status_code == 200
        read = outage_service.client.get("/orders")
        assert (read.status_code, read.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert outage_service.metric("ticker_service_db_connection_errors_total") > 0
    outage_service.wait_for_health("ok", within_s=30)
    assert outage_service.child.exit_code() is None
    again = outage_service.client.post("/orders", json=limit_order(), headers=headers)
    assert (again.status_code, again.json()["status"]) == (201, "completed")
    assert "idempotent-replayed" not in again.headers
    assert len(broker.ledger(since)) == 1


def check_not_accepted(answer: httpx.Response) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["sent"], body["retryable"]) == ("no", "yes")
    assert int(answer.headers["retry-after"]) >= 1


def test_an_order_under_way_survives_the_database(
    outage_service: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """Sent, and the database gone before the broker answers: afterwards it is one order, and the key finds it."""
    since = len(broker.ledger())
    broker.fault("delay", params={"ms": 1_500})
    headers = {"Idempotency-Key": f"under-way-{time.time_ns()}"}
    accepted = outage_service.client.post("/orders", params={"wait": 0}, json=limit_order(), headers=headers)
    assert accepted.status_code == 202
    wait_for("the send", broker.all_struck)
    with postgres_of_its_own.away():
        wait_for("the order at the exchange", lambda: len(broker.ledger(since)) == 1)
    outage_service.wait_for_health("ok", within_s=30)
    again = outage_service.client.post("/orders", params={"wait": 20}, json=limit_order(), headers=headers)
    assert (again.status_code, again.json()["status"]) == (201, "completed")
    assert again.json()["task_id"] == accepted.json()["task_id"]
    assert [row["order_id"] for row in broker.ledger(since)] == [again.json()["order_id"]]
