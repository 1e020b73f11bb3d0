"""A service process whose database is put back while it is down: what its clients are answered over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.environment import Broker, Service, limit_order, running_service, wait_for
from tests.faults.loss_environment import running_cluster

KEYS = [f"key-of-the-client-{number}" for number in range(4)]


def place(service: Service, key: str, **changes: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return service.client.post("/orders", params={"wait": 5}, json=limit_order(**changes), headers=headers)


def test_retried_keys_are_answered_with_their_orders_after_a_restart_on_an_older_copy(
    tmp_path: Path, shared_broker: Broker, redis_url: str, redis_prefix: str
) -> None:
    """Redis remembers the database. A new key is refused as unknown until the window is over, then the account reduces
    only until an operator resumes it."""
    shared_broker.freeze("NSE:INFY", last_price=1500)
    with (
        running_cluster(tmp_path / "postgres") as cluster,
        running_service(
            tmp_path, shared_broker, database_url=cluster.url, redis_url=redis_url, redis_prefix=redis_prefix
        ) as service,
    ):
        before = len(shared_broker.ledger())
        cluster.take_copy("file_copy")
        service.wait_for_health("ok")
        placed = [wait_for("an order", partial(placed_order, service, key)) for key in KEYS]
        service.kill()
        cluster.lose("file_copy")
        service.start(until="degraded")
        health = wait_for("health says why", lambda: "recovering" in reasons(service))
        assert health
        new = place(service, "a-key-that-is-new-1").json()
        assert (new["status"], new["code"], new["sent"]) == (409, "RECOVERING", "unknown")
        again = [wait_for("the order", partial(placed_order, service, key)) for key in KEYS]
        assert again == placed
        wait_for("the end of the recovery", lambda: "recovering" not in reasons(service), within_s=30)
        assert reasons(service) == ["reduce_only"]
        lift = {"scope": "account", "account_id": "primary", "reason": "looked at it"}
        service.client.post("/admin/resume", json=lift).raise_for_status()
        assert order_of(place(service, "a-key-that-is-new-1"))
        assert len(shared_broker.ledger()) - before == len(KEYS) + 1


def placed_order(service: Service, key: str) -> str | None:
    return order_of(place(service, key))


def order_of(answer: httpx.Response) -> str | None:
    """The order that the answer names, or None for one that says to repeat the request."""
    body = answer.json()
    if answer.status_code == httpx.codes.CONFLICT:
        assert body["sent"] == "unknown"
        return None
    order_id: str | None = body.get("order_id")
    return order_id


def reasons(service: Service) -> list[str]:
    (account,) = service.health()["orders"]["accounts"]
    found: list[str] = account["reasons"]
    return found
