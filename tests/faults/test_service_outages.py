"""Redis and PostgreSQL go away and come back under a running service: what it says, what it keeps, what it sends."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
import redis

from app.db.migrate import migrate
from embedded.postgres import start_postgres
from embedded.process import Child, start_program
from embedded.redis import start_redis
from tests.e2e.stage import Broker, Service, authenticate, limit_order, receive, running_service, wait_for

STOP_S = 5.0
TICKING = ("TCS", "RELIANCE")


@dataclass
class Server:
    """A server that comes back on the port and the data that it had. ``answers`` is one round trip."""

    url: str
    child: Child
    answers: Callable[[str], bool]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stopped in order inside the block, running again behind it."""
        self.child.stop(timeout=STOP_S)
        try:
            yield
        finally:
            self.child = start_program(self.child.program)
            wait_for("the server answers", lambda: self.answers(self.url), within_s=20)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and says nothing inside the block: the kernel still accepts for it."""
        os.kill(self.child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.child.pid, signal.SIGCONT)


def redis_answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def redis_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_redis(tmp_path_factory.mktemp("redis"))
    server = Server(started.url, started.child, redis_answers)
    yield server
    server.child.stop(timeout=STOP_S)


@pytest.fixture(scope="module")
def postgres_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_postgres(tmp_path_factory.mktemp("postgres"))
    server = Server(started.url, started.child, postgres_answers)
    migrate(started.url)
    yield server
    server.child.stop(timeout=STOP_S)


@pytest.fixture(scope="module")
def standing(
    shared_broker: Broker,
    redis_of_its_own: Server,
    postgres_of_its_own: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service on those two, with ticks flowing."""
    with running_service(
        tmp_path_factory.mktemp("standing"),
        shared_broker,
        database_url=postgres_of_its_own.url,
        redis_url=redis_of_its_own.url,
        redis_prefix="ticker:",
    ) as service:
        items = [{"exchange": "NSE", "tradingsymbol": name, "requested_mode": "full"} for name in TICKING]
        service.client.post("/subscriptions/bulk", json={"items": items}).raise_for_status()
        yield service


def next_tick(url: str) -> dict[str, Any] | None:
    """What a subscriber that comes now is sent."""
    with redis.Redis.from_url(url) as client, client.pubsub(ignore_subscribe_messages=True) as channels:
        channels.psubscribe("ticker:ticks:*")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            message = channels.get_message(timeout=0.5)
            if message is not None:
                return dict(message)
    return None


def test_without_redis_orders_go_on_and_it_comes_back_by_itself(
    standing: Service, broker: Broker, redis_of_its_own: Server
) -> None:
    """Degraded, said; orders and their events as always; ticks conflated and counted; publishing resumes."""
    since = len(broker.ledger())
    wait_for("ticks", lambda: next_tick(redis_of_its_own.url))
    with standing.stream() as stream:
        authenticate(stream)
        assert receive(stream)["type"] == "snapshot"
        with redis_of_its_own.away():
            health = standing.wait_for_health("degraded")
            assert (health["http"], health["dependencies"]["redis"]) == (200, "down")
            assert health["dependencies"]["database"] == "ok"
            conflated = standing.metric("ticker_ticks_conflated_total")
            begun = time.monotonic()
            answer = standing.client.post("/orders", json=limit_order())
            assert (answer.status_code, answer.json()["status"]) == (201, "completed")
            event = receive(stream, timeout=5)
            assert time.monotonic() - begun < 3
            assert (event["event"], event["data"]["order_id"]) == ("order_placed", answer.json()["order_id"])
            wait_for("conflation", lambda: standing.metric("ticker_ticks_conflated_total") > conflated)
            assert standing.client.get("/quotes", params={"i": "NSE:TCS"}).json()["data"]["NSE:TCS"]["stale"] is False
        standing.wait_for_health("ok", within_s=15)
        assert wait_for("ticks again", lambda: next_tick(redis_of_its_own.url), within_s=15)
        second = standing.client.post("/orders", json=limit_order())
        seen = event
        while (seen["event"], seen["data"]["order_id"]) != ("order_placed", second.json()["order_id"]):
            message = receive(stream, timeout=5)
            assert message["seq"] == seen["seq"] + 1
            seen = message
    assert len(broker.ledger(since)) == 2


def test_a_frozen_redis_holds_nothing_up(standing: Service, broker: Broker, redis_of_its_own: Server) -> None:
    """It accepts and never answers, which is worse than being gone: an order still takes at most seconds."""
    since = len(broker.ledger())
    with redis_of_its_own.frozen():
        begun = time.monotonic()
        answer = standing.client.post("/orders", json=limit_order())
        assert (answer.status_code, answer.json()["status"]) == (201, "completed")
        assert time.monotonic() - begun < 4
        assert standing.wait_for_health("degraded")["dependencies"]["redis"] == "down"
        begun = time.monotonic()
        assert standing.client.get("/orders").status_code == 200
        assert time.monotonic() - begun < 1
    standing.wait_for_health("ok", within_s=15)
    assert wait_for("ticks again", lambda: next_tick(redis_of_its_own.url), within_s=15)
    assert len(broker.ledger(since)) == 1


def test_without_the_database_nothing_is_accepted_and_it_comes_back_by_itself(
    standing: Service, broker: Broker, redis_of_its_own: Server, postgres_of_its_own: Server
) -> None:
    """503 that says `sent: no`; down, said; ticks flow on; the same process serves again, and nothing is doubled."""
    since = len(broker.ledger())
    assert standing.child is not None
    headers = {"Idempotency-Key": f"outage-{time.time_ns()}"}
    with postgres_of_its_own.away():
        assert wait_for("ticks all the while", lambda: next_tick(redis_of_its_own.url))
        for path, body in (("/orders", limit_order()), ("/advanced/batch-orders", {"orders": [limit_order()] * 2})):
            begun = time.monotonic()
            refused = standing.client.post(path, json=body, headers=headers)
            assert time.monotonic() - begun < 5
            check_not_accepted(refused)
        health = standing.wait_for_health("down")
        assert (health["http"], health["dependencies"]["database"]) == (503, "down")
        assert httpx.get(f"{standing.url}/health/live", trust_env=False).status_code == 200
        assert httpx.get(f"{standing.url}/health/ready", trust_env=False).status_code == 503
        read = standing.client.get("/orders")
        assert (read.status_code, read.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert standing.metric("ticker_service_db_connection_errors_total") > 0
    standing.wait_for_health("ok", within_s=20)
    assert standing.child.exit_code() is None
    again = standing.client.post("/orders", json=limit_order(), headers=headers)
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
    standing: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """Sent, and the database gone before the broker answers: afterwards it is one order, and the key finds it."""
    since = len(broker.ledger())
    broker.fault("delay", params={"ms": 1_500})
    headers = {"Idempotency-Key": f"under-way-{time.time_ns()}"}
    accepted = standing.client.post("/orders", params={"wait": 0}, json=limit_order(), headers=headers)
    assert accepted.status_code == 202
    wait_for("the send", broker.all_struck)
    with postgres_of_its_own.away():
        wait_for("the order at the exchange", lambda: len(broker.ledger(since)) == 1)
    standing.wait_for_health("ok", within_s=20)
    again = standing.client.post("/orders", params={"wait": 20}, json=limit_order(), headers=headers)
    assert (again.status_code, again.json()["status"]) == (201, "completed")
    assert again.json()["task_id"] == accepted.json()["task_id"]
    assert [row["order_id"] for row in broker.ledger(since)] == [again.json()["order_id"]]
