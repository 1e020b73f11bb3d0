"""A database that stalls: bounded answers that are true, no order after its time, and trading that goes on."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

from tests.e2e.environment import Broker, Service, limit_order, wait_for
from tests.faults.outage_environment import Server

ANSWER_S = 5.0
"""What an answer may take beyond the ``wait`` of the request, whatever stalls."""

SLACK_S = 1.0
STALL_S = 9.0
"""Longer than any answer may take, and three times as long as a MARKET order stays fresh."""

RECOVERS_S = 15.0
KEY = {"Idempotency-Key": "asked-in-a-stall-1"}


class Asking(threading.Thread):
    """One request beside others; ``answer`` and ``seconds`` when it has ended."""

    answer: httpx.Response
    seconds: float

    def __init__(self, service: Service, method: str, path: str, **more: Any) -> None:
        super().__init__()
        self._service, self._method, self._path, self._more = service, method, path, more

    def run(self) -> None:
        begun_at = time.monotonic()
        self.answer = self._service.client.request(self._method, self._path, timeout=40, **self._more)
        self.seconds = time.monotonic() - begun_at


def market_order() -> dict[str, Any]:
    body = limit_order(order_type="MARKET")
    del body["price"]
    return body


def test_a_stalled_database_costs_bounded_time_and_sends_nothing_late(
    outage_service: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """Placing, reading and cancelling are answered in time; what was asked for meanwhile never goes later."""
    resting = outage_service.client.post("/orders", json=limit_order()).json()["order_id"]
    since = len(broker.ledger())
    asked = [
        *(Asking(outage_service, "POST", "/orders", params={"wait": 1}, json=market_order()) for _ in range(6)),
        Asking(outage_service, "POST", "/orders", params={"wait": 0}, json=market_order(), headers=KEY),
        Asking(outage_service, "GET", "/orders", params={"account_id": "primary"}),
        Asking(outage_service, "DELETE", f"/orders/{resting}", params={"wait": 1}),
    ]  # fmt: skip
    with postgres_of_its_own.stalled():
        for one in asked:
            one.start()
        time.sleep(STALL_S)
    for one in asked:
        one.join(timeout=40)
    assert max(one.seconds for one in asked) < 1 + ANSWER_S + SLACK_S
    for one in asked[:7]:
        problem = one.answer.json()
        assert one.answer.status_code in {409, 503}, problem
        assert problem["sent"] == ("no" if one.answer.status_code == 503 else "unknown")
    assert asked[7].answer.status_code == 503
    time.sleep(1.0)
    assert broker.ledger(since) == []
    _assert_trading_goes_on(outage_service)


def test_an_outage_under_load_ends_with_the_outage(
    outage_service: Service, broker: Broker, postgres_of_its_own: Server
) -> None:
    """More callers wait than either pool admits, for longer than each of them waits; nothing of it outlives them."""
    since = len(broker.ledger())
    with postgres_of_its_own.away():
        for _ in range(2):
            asked = [
                Asking(outage_service, "POST", "/orders", params={"wait": 0}, json=market_order()) for _ in range(60)
            ]
            for one in asked:
                one.start()
            for one in asked:
                one.join(timeout=40)
            assert {(one.answer.status_code, one.answer.json()["sent"]) for one in asked} == {(503, "no")}
        time.sleep(5.0)
    _assert_trading_goes_on(outage_service)
    assert len(broker.ledger(since)) == 1


READS = ("/portfolio/*", "/user/margins/*", "/user/margins", "/margins/*", "/orders/*")


def test_a_broker_that_hangs_costs_no_answer_its_time(outage_service: Service, broker: Broker) -> None:
    """Positions, margins and histories that never come: reads fail within the bound, orders are stored without them."""
    resting = outage_service.client.post("/orders", json=limit_order()).json()["order_id"]
    halt = {"scope": "account", "account_id": "primary", "reason": "test"}
    outage_service.client.post("/admin/kill", json=halt | {"mode": "reduce_only"}).raise_for_status()
    for path in READS:
        broker.fault("hang", method="GET", path=path, times=-1, params={"ms": 30_000})
    broker.fault("hang", method="POST", path="/margins/*", times=-1, params={"ms": 30_000})
    batch = {"orders": [limit_order(), limit_order()]}
    asked = {
        "order": Asking(outage_service, "POST", "/orders", params={"wait": 0}, json=limit_order()),
        "batch": Asking(outage_service, "POST", "/advanced/batch-orders", params={"wait": 0}, json=batch),
        "waves": Asking(
            outage_service, "POST", "/advanced/batch-orders", params={"wait": 0}, json=batch | {"order": "margin_first"}
        ),
        "positions": Asking(outage_service, "GET", "/portfolio/positions"),
        "margins": Asking(outage_service, "GET", "/portfolio/margins"),
        "history": Asking(outage_service, "GET", f"/orders/{resting}/history"),
    }
    try:
        for one in asked.values():
            one.start()
        for one in asked.values():
            one.join(timeout=60)
    finally:
        broker.clear_faults()
        outage_service.client.post("/admin/resume", json=halt).raise_for_status()
    assert max(one.seconds for one in asked.values()) < ANSWER_S + SLACK_S
    statuses = {name: one.answer.status_code for name, one in asked.items()}
    assert statuses == {"order": 202, "batch": 202, "waves": 502, "positions": 502, "margins": 502, "history": 502}
    assert asked["waves"].answer.json()["sent"] == "no"


def _assert_trading_goes_on(service: Service) -> None:
    placed: list[httpx.Response] = []

    def goes() -> bool:
        answer = service.client.post("/orders", params={"wait": 5}, json=limit_order())
        placed.append(answer)
        return answer.status_code == 201 and answer.json()["status"] == "completed"

    wait_for("an order to go", goes, within_s=RECOVERS_S)
