"""A client that waits for its order while the service stops or loses its database."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.e2e.environment import SHORT_TIMES, Broker, Service, limit_order, running_service, wait_for
from tests.faults.outage_environment import Server, next_tick

NOT_READ_BACK = "what was accepted could not be read back"


class Waiting(threading.Thread):
    """A client that waits; ``answer`` is None when its connection was cut."""

    answer: httpx.Response | None = None

    def __init__(self, service: Service, *, wait: float = 20, key: str | None = None) -> None:
        super().__init__()
        self._service, self._wait = service, wait
        self._headers = {} if key is None else {"Idempotency-Key": key}

    def run(self) -> None:
        with suppress(httpx.TransportError):  # then there is no answer, and the test says so
            self.answer = self._service.client.post(
                "/orders", params={"wait": self._wait}, json=limit_order(), headers=self._headers
            )


def test_the_database_lost_while_waiting_is_no_503(
    outage_service: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """The order is accepted and at the exchange: 202 with what is known, never `503 sent: no, retryable: yes`."""
    since = len(broker.ledger())
    looked_in_vain = outage_service.log.read_text().count(NOT_READ_BACK)
    broker.fault("delay", params={"ms": 1_500})
    client = Waiting(outage_service)
    client.start()
    wait_for("the send", broker.all_struck)
    with postgres_of_its_own.away():
        wait_for("the order at the exchange", lambda: len(broker.ledger(since)) == 1)
        wait_for(
            "a look for its state that fails",
            lambda: outage_service.log.read_text().count(NOT_READ_BACK) > looked_in_vain,
            within_s=30,
        )
    client.join(timeout=30)
    outage_service.wait_for_health("ok", within_s=30)
    assert client.answer is not None
    assert client.answer.status_code in {201, 202}, client.answer.text
    assert client.answer.headers["location"]


def test_a_replay_without_the_database_does_not_claim_that_nothing_was_sent(
    outage_service: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """The key is that of an order at the exchange, which cannot be read now: the same resource, `sent` says unknown."""
    key = f"replayed-{time.time_ns()}"
    first = outage_service.client.post("/orders", json=limit_order(), headers={"Idempotency-Key": key})
    assert first.json()["status"] == "completed"
    with postgres_of_its_own.away():
        again = outage_service.client.post("/orders", json=limit_order(), headers={"Idempotency-Key": key})
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert again.json()["task_id"] == first.json()["task_id"]
        assert (again.json()["status"], again.json()["sent"]) == ("in_doubt", "unknown")
    outage_service.wait_for_health("ok", within_s=30)


@pytest.fixture
def stopping(
    shared_broker: Broker, database_url: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_service(
        tmp_path_factory.mktemp("stopping"),
        shared_broker,
        database_url=database_url,
        redis_url=redis_server,
        redis_prefix="stop-waiting:",
        order_send_timeout_s="8",
    ) as service:
        yield service


def test_a_stop_answers_the_clients_that_wait(stopping: Service, broker: Broker) -> None:
    """SIGTERM while a client waits for a hanging broker: 202 with `Location`, never a 500, never a cut connection."""
    broker.fault("late_visible", params={"ms": 20_000})
    broker.fault("hang", params={"ms": 60_000})
    client = Waiting(stopping, wait=30)
    client.start()
    wait_for("the send", broker.all_struck)
    code, seconds = stopping.terminate()
    client.join(timeout=10)
    assert client.answer is not None, "the connection was cut"
    assert client.answer.status_code == 202, (client.answer.status_code, client.answer.text)
    assert client.answer.headers["location"]
    assert (code, seconds < 10) == (0, True)


def test_metrics_of_orders_are_there(outage_service: Service) -> None:
    """The promised families of the order engine."""
    text = httpx.get(f"{outage_service.url}/metrics", trust_env=False).text
    promised = (
        "ticker_order_tasks",
        "ticker_order_task_seconds",
        "ticker_batches",
        "ticker_batch_seconds",
        "ticker_broker_wait_seconds",
        "ticker_leader",
    )
    missing = [name for name in promised if not re.search(rf"^# TYPE {name}(_total)? ", text, re.MULTILINE)]
    assert missing == []


def test_ticks_outlive_the_database(
    outage_service: Service, redis_of_its_own: Server, postgres_of_its_own: Server
) -> None:
    """Market data needs no order database: ticks still arrive when no lease of before can be trusted any more."""
    wait_for("ticks", lambda: next_tick(redis_of_its_own.url))
    with postgres_of_its_own.away():
        time.sleep(2.5 * float(SHORT_TIMES["ACCOUNT_LEASE_S"]))
        tick = next_tick(redis_of_its_own.url)
    outage_service.wait_for_health("ok", within_s=30)
    assert tick is not None


def test_problems_of_form_and_of_instruments_in_one_answer(outage_service: Service) -> None:
    """An unknown symbol in one leg is reported together with a missing price in another: all in one answer."""
    orders = [limit_order(price=None), limit_order(tradingsymbol="NOSUCHTHING"), limit_order(price=1400.03)]
    answer = outage_service.client.post("/advanced/batch-orders", json={"orders": orders})
    assert answer.status_code == 400
    places = {tuple(error["loc"]) for error in answer.json()["errors"]}
    assert places == {
        ("body", "orders", 0, "price"),
        ("body", "orders", 1, "tradingsymbol"),
        ("body", "orders", 2, "price"),
    }


@pytest.fixture
def with_product_times(
    shared_broker: Broker, database_url: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_service(
        tmp_path_factory.mktemp("product-times"),
        shared_broker,
        database_url=database_url,
        redis_url=redis_server,
        redis_prefix="product-times:",
        account_lease_s="30",
        order_freshness_market_s="15",  # less than the lease
    ) as service:
        yield service


def test_a_market_order_right_after_a_crash_goes(with_product_times: Service, broker: Broker) -> None:
    """kill -9, start, healthy: an order that is accepted then is sent, not left to expire behind the dead owner."""
    service = with_product_times
    service.client.post("/orders", json=limit_order()).raise_for_status()
    service.kill()
    service.start()
    health = service.health()
    market = limit_order(order_type="MARKET")
    del market["price"]
    answer = service.client.post("/orders", params={"wait": 20}, json=market)
    assert answer.json()["status"] == "completed", (health, answer.text)
