"""The broker itself is gone, and comes back: nothing is claimed that is not proven, and ticks flow by themselves."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.environment import Broker, Service, limit_order, running_broker, running_service, wait_for

MODES = {"INFY": "full", "SBIN": "quote", "TCS": "ltp"}
FRESH_S = 3.0


@pytest.fixture(scope="module")
def mortal_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("mortal-broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def alone(
    mortal_broker: Broker, module_database: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose orders are stale after three seconds, with three subscriptions."""
    with running_service(
        tmp_path_factory.mktemp("alone"),
        mortal_broker,
        database_url=module_database,
        redis_url=redis_server,
        redis_prefix="alone:",
        order_freshness_limit_s=str(FRESH_S),
    ) as service:
        items = [{"exchange": "NSE", "tradingsymbol": name, "requested_mode": mode} for name, mode in MODES.items()]
        service.client.post("/subscriptions/bulk", json={"items": items}).raise_for_status()
        yield service


def statuses(service: Service) -> dict[str, tuple[str, str]]:
    rows = service.client.get("/subscriptions/status").json()["data"]
    return {row["tradingsymbol"]: (row["status"], row["mode"]) for row in rows}


def all_tick(service: Service) -> bool:
    return statuses(service) == {name: ("ticking", mode) for name, mode in MODES.items()}


def feed_of(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.health()["ticker"]["accounts"][0]
    return found


def test_a_broker_that_is_gone_and_comes_back(alone: Service, mortal_broker: Broker) -> None:
    """Not connected, said; an order ends `expired`, proven not sent, while it is fresh; then all subscriptions tick."""
    wait_for("every subscription ticks in its mode", lambda: all_tick(alone), within_s=15)
    reconnects = alone.metric("ticker_feed_reconnects_total")
    mortal_broker.stop()
    wait_for("not connected", lambda: feed_of(alone)["connected"] is False, within_s=20)
    health = alone.health()
    assert (health["status"], health["http"]) == ("degraded", 200)
    assert health["dependencies"]["database"] == "ok"

    answer = alone.client.post("/orders", params={"wait": 30}, json=limit_order())
    task = answer.json()
    assert (answer.status_code, task["status"], task["sent"]) == (201, "expired", "no")
    assert task["last_error"]["code"] == "BROKER_UNREACHABLE"
    batch = alone.client.post("/advanced/batch-orders", json={"orders": [limit_order(), limit_order()]}).json()
    assert (batch["status"], batch["succeeded"], batch["residual"]) == ("rolled_back", 0, [])
    assert {leg["order_id"] for leg in batch["orders"]} == {None}
    history = "/history?instrument_token=408065&from=2026-01-05&to=2026-01-06"
    for path in ("/portfolio/margins", "/portfolio/holdings", history):
        refused = alone.client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (502, "BROKER_UNAVAILABLE"), refused.text

    mortal_broker.start()
    wait_for("connected", lambda: feed_of(alone)["connected"], within_s=15)
    wait_for("every subscription ticks in its mode again", lambda: all_tick(alone), within_s=20)
    alone.wait_for_health("ok", within_s=15)
    assert alone.metric("ticker_feed_reconnects_total") > reconnects
    assert mortal_broker.ledger() == []
    wait_for("no breaker is open", lambda: alone.metric("ticker_order_breaker_open") == 0, within_s=20)
    placed = alone.client.post("/orders", json=limit_order())
    assert (placed.status_code, placed.json()["status"]) == (201, "completed"), placed.json()["last_error"]


@pytest.mark.parametrize(
    ("kind", "params"),
    [("ws_close", {"code": 1011}), ("ws_silent", {}), ("ws_garbage", {}), ("ws_refuse", {"status": 503})],
)
def test_a_bad_feed_is_left_and_found_again(
    alone: Service, mortal_broker: Broker, kind: str, params: dict[str, Any]
) -> None:
    """Closed, silent, garbled or refused: within seconds every subscription ticks again in its mode."""
    wait_for("ticking", lambda: all_tick(alone), within_s=20)
    mortal_broker.clear_faults()
    mortal_broker.fault(kind, params=params)
    if kind == "ws_refuse":
        mortal_broker.fault("ws_close", params={"code": 1011})
    wait_for("the fault has struck", mortal_broker.all_struck, within_s=20)
    struck_at_ms = time.time() * 1000

    def ticks_are_newer() -> bool:
        quotes = alone.client.get("/quotes", params={"i": ["NSE:INFY", "NSE:SBIN", "NSE:TCS"]}).json()["data"]
        return all(quote["received_at"] > struck_at_ms for quote in quotes.values()) and all_tick(alone)

    wait_for("new ticks of all", ticks_are_newer, within_s=20)
    alone.wait_for_health("ok")
