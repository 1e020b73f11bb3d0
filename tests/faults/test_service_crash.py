"""kill -9 of the service at the worst moments of a batch; the next process brings it to its end by itself."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e.environment import Broker, Service, limit_order, running_service, wait_for

LEGS = 10
ENDS = {"completed", "rolled_back", "rolled_back_with_fills", "needs_attention"}


@pytest.fixture(scope="module")
def mortal(
    shared_broker: Broker, module_database: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service of this module's own."""
    with running_service(
        tmp_path_factory.mktemp("mortal"),
        shared_broker,
        database_url=module_database,
        redis_url=redis_server,
        redis_prefix="crash:",
    ) as service:
        yield service


def accept_batch(service: Service, symbols: tuple[str, ...] = ("INFY", "SBIN")) -> str:
    """Ten resting legs on these instruments in turn, accepted and not waited for; the batch's address."""
    orders = [limit_order(tradingsymbol=symbols[leg % len(symbols)], price=1400 + leg) for leg in range(LEGS)]
    answer = service.client.post("/advanced/batch-orders", params={"wait": 0}, json={"orders": orders})
    assert answer.status_code == 202
    assert answer.json()["status"] == "running"
    return answer.headers["location"]


def end_of(service: Service, location: str) -> dict[str, Any]:
    """The batch once it is finished, without any further request."""

    def ended() -> dict[str, Any] | None:
        batch: dict[str, Any] = service.client.get(location).json()
        return batch if batch["status"] in ENDS else None

    found: dict[str, Any] = wait_for("the batch's end", ended, within_s=45)
    return found


def check_books(service: Service, broker: Broker, batch: dict[str, Any], *, since: int, database_url: str) -> None:
    """No tag and no order twice, no order without a task, and the batch's words agree with the ledger."""
    ledger = broker.ledger(since)
    tags = [row["tag"] for row in ledger]
    assert len(set(tags)) == len(tags)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tag, task_id FROM order_attempt WHERE tag = ANY(%s)", (tags,)).fetchall()
    task_of_tag = {tag: str(task_id) for tag, task_id in rows}
    assert set(task_of_tag) == set(tags), "an order of the ledger has no attempt in the database"
    tasks = [task_of_tag[tag] for tag in tags]
    assert len(set(tasks)) == len(tasks), "a task has two orders"
    legs = {leg["task_id"]: leg for leg in batch["orders"]}
    assert set(tasks) <= set(legs)
    for row in ledger:
        leg = legs[task_of_tag[row["tag"]]]
        assert (leg["order_id"], leg["filled_quantity"]) == (row["order_id"], 0)
    states = {row["state"] for row in ledger}
    if batch["status"] == "completed":
        assert (len(ledger), states) == (LEGS, {"OPEN"})
    else:
        assert batch["status"] == "rolled_back"
        assert states <= {"CANCELLED"}
    health = service.health()
    assert (health["status"], health["orders"]["in_doubt"]) == ("ok", 0)


def test_before_the_first_send(mortal: Service, broker: Broker, module_database: str) -> None:
    """The batch is durable, no byte has left: the next process places all of it, once."""
    since = len(broker.ledger())
    broker.post("/_sim/session", {"user_id": "SIM001", "expired": True})
    mortal.client.post("/orders", params={"wait": 2}, json=limit_order())  # the service learns that the token is dead
    location = accept_batch(mortal)
    mortal.kill()
    assert broker.ledger(since) == []
    broker.post("/_sim/session", {"user_id": "SIM001", "expired": False})
    mortal.start()
    batch = end_of(mortal, location)
    assert batch["status"] == "completed"
    wait_for("eleven orders", lambda: len(broker.ledger(since)) == LEGS + 1)
    alone = [row for row in broker.ledger(since) if row["order_id"] not in {leg["order_id"] for leg in batch["orders"]}]
    assert len(alone) == 1


@pytest.mark.parametrize("sent", [1, 4, 7])
def test_between_the_legs(mortal: Service, broker: Broker, module_database: str, sent: int) -> None:
    """Some legs are placed, two are on the wire and arrive later, some are not sent: none is lost, none is doubled."""
    since = len(broker.ledger())
    broker.fault("delay", after=sent, times=2, params={"ms": 1_000})
    broker.fault("hang", after=sent + 2, times=-1, params={"ms": 60_000, "process": False})
    location = accept_batch(mortal)
    wait_for("some legs are placed", lambda: len(broker.ledger(since)) >= sent, within_s=20)
    wait_for("one is on the wire", lambda: broker.get("/_sim/faults")[0]["struck"] >= 1, within_s=20)
    mortal.kill()
    assert len(broker.ledger(since)) < LEGS, "the crash came too late to show anything"
    broker.clear_faults()
    mortal.start()
    batch = end_of(mortal, location)
    check_books(mortal, broker, batch, since=since, database_url=module_database)


def test_while_the_answer_is_withheld(mortal: Service, broker: Broker, module_database: str) -> None:
    """The exchange has the order, the service dies before it hears so: found by its tag, never sent again."""
    since = len(broker.ledger())
    broker.fault("hang", after=2, params={"ms": 60_000})
    location = accept_batch(mortal, ("INFY",))  # one at a time: no other leg is half-way when the service dies
    wait_for("the third order is at the exchange", lambda: len(broker.ledger(since)) >= 3, within_s=20)
    mortal.kill()
    broker.clear_faults()
    mortal.start()
    batch = end_of(mortal, location)
    check_books(mortal, broker, batch, since=since, database_url=module_database)
    assert batch["status"] == "completed", batch["error"]


def test_in_the_middle_of_a_rollback(mortal: Service, broker: Broker, module_database: str) -> None:
    """Killed while it takes orders back: the next process cancels the rest, each order once."""
    since = len(broker.ledger())
    broker.fault("reject", after=6)
    unheard = {"ms": 60_000, "process": False}
    broker.fault("hang", method="DELETE", path="/orders/regular/*", after=1, times=-1, params=unheard)
    location = accept_batch(mortal)
    wait_for("a first cancel, and a second without an answer", broker.all_struck, within_s=20)
    mortal.kill()
    states = [row["state"] for row in broker.ledger(since)]
    assert (states.count("CANCELLED"), "OPEN" in states) == (1, True)
    broker.clear_faults()
    mortal.start()
    batch = end_of(mortal, location)
    assert (batch["status"], batch["residual"]) == ("rolled_back", [])
    ledger = broker.ledger(since)
    assert {row["state"] for row in ledger} <= {"CANCELLED", "REJECTED"}
    assert len({row["tag"] for row in ledger}) == len(ledger) <= LEGS


def test_midway_of_an_exit(mortal: Service, broker: Broker) -> None:
    """Killed when the exit has filled in part and a move of it is on the wire: the next process finishes that exit, and
    sells what was held, once."""
    infy = {"last_price": 1500, "frozen": True}
    broker.post("/_sim/market", {"instruments": {"NSE:INFY": infy}})
    bought = mortal.client.post("/orders", params={"wait": 10}, json=limit_order(price=1510)).json()
    assert bought["status"] == "completed", bought
    since = len(broker.ledger())
    broker.post("/_sim/market", {"instruments": {"NSE:INFY": infy | {"liquidity": 0}}})
    headers = {"Idempotency-Key": f"close-{time.time_ns()}"}
    body = {"tradingsymbol": "INFY"}
    answer = mortal.client.post("/positions/close", params={"wait": 0}, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    wait_for("the exit rests", lambda: len(broker.ledger(since)) == 1)
    (sold,) = broker.ledger(since)
    broker.post(f"/_sim/orders/{sold['order_id']}", {"fill": 4})
    broker.fault("hang", method="PUT", path="/orders/regular/*", params={"ms": 60_000})
    broker.post("/_sim/market", {"instruments": {"NSE:INFY": infy | {"last_price": 1480, "liquidity": 0}}})
    wait_for("a move is on the wire", broker.all_struck, within_s=30)
    mortal.kill()
    broker.clear_faults()
    mortal.start()
    broker.post("/_sim/market", {"instruments": {"NSE:INFY": infy | {"last_price": 1480, "liquidity": 100}}})
    batch = end_of(mortal, answer.headers["location"])
    assert (batch["status"], batch["residual"]) == ("completed", [])
    sales = broker.ledger(since)
    assert sum(row["filled_quantity"] for row in sales) == int(sales[0]["request"]["quantity"])
    assert {row["state"] for row in sales} <= {"COMPLETE", "CANCELLED"}
    again = mortal.client.post("/positions/close", params={"wait": 0}, json=body, headers=headers)
    assert (again.json()["batch_id"], len(broker.ledger(since))) == (batch["batch_id"], len(sales))
